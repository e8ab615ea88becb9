// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cache/blob_entry.h"
#include "cache/index_committer.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// Gives the disk the room of dropped blocks back. Only the writer's thread uses it.
//
// Index record first, then sidecar and hole. Where the disk cannot punch holes a file goes with the
// last of its blocks. A file that is in use (StoreContext::in_use) is not touched: its blocks,
// which nobody is given any more, are punched when it is closed. One whose passthrough was asked
// for a moment too late is seen here, since the blocks were dropped before this looks.
class BlockPuncher {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;
  using Blocks = std::vector<std::uint64_t>;
  using Drops = IndexCommitter::Drops;

  BlockPuncher(StoreContext& context, IndexCommitter& committer)
      : context_(context), committer_(committer) {}

  // Those of `drops` that are still dropped. Returns the bytes that it gave back.
  std::uint64_t punch(Drops drops);
  // What was in use and is so no more.
  std::uint64_t punch_closed();
  // A block that was dropped while it was written.
  void punch_unindexed(const EntryPtr& entry, std::uint64_t block);
  // Takes an entry that nobody would miss off the disk.
  void retire_if_idle(const EntryPtr& entry);

 private:
  void put_off(Drops& drops);
  void punch(const EntryPtr& entry, const Blocks& blocks);
  void punch_file(const EntryPtr& entry, const Blocks& blocks);
  void remove_files(const EntryPtr& entry);

  StoreContext& context_;
  IndexCommitter& committer_;
  Drops open_;  // in use
};

// Whether holes can be punched in files of this directory, found by trying. True where that cannot
// be tried now, on a full disk.
bool can_punch_holes(const Directory& directory);

}  // namespace hubvfs::cache
