// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "cache/blob_entry.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// Reads blocks: from memory while they wait to be written, else from the disk.
//
// The first read of a block in this process's life reads all of it and checks its checksum; later
// ones read what is asked for. Waits for the disk only, never for another thread. Thread-safe.
class BlockReader {
 public:
  // Gets blocks that turned out to be damaged, already dropped, to punch them.
  using OnDamage =
      std::function<void(const std::shared_ptr<BlobEntry>&, std::vector<std::uint64_t>)>;

  BlockReader(StoreContext& context, OnDamage on_damage)
      : context_(context), on_damage_(std::move(on_damage)) {}

  // Copies `out.size()` bytes from `within` the block on, as `viewer` may see it; no viewer: the
  // store itself. kNotFound: absent, or dropped just now as damaged. kIo: the disk failed.
  Result<void> read(const std::shared_ptr<BlobEntry>& entry, std::uint64_t block,
                    std::uint64_t within, std::span<std::byte> out, const EndpointId* viewer);

  // Reads a whole block from the disk and checks it, whether that was done before or not; nothing
  // is dropped. kCancelled: it is not on the disk (any more). kCorrupt, kIo and others: `found` is
  // bad.
  Result<void> examine(BlobEntry& entry, std::uint64_t block, std::span<std::byte> out,
                       BlobEntry::Found& found);

 private:
  Result<void> read_disk(const BlobEntry& entry, std::uint64_t block, const BlobEntry::Found& found,
                         std::uint64_t within, std::span<std::byte> out);
  Result<void> read_small(const BlobEntry& entry, std::uint64_t within, std::span<std::byte> out);
  Result<void> read_checked(const BlobEntry& entry, int fd, std::uint64_t block,
                            const BlobEntry::Found& found, std::uint64_t within,
                            std::span<std::byte> out);
  void drop(const std::shared_ptr<BlobEntry>& entry, const BlobEntry::Found& found,
            const Error& why);
  std::unique_ptr<Bytes> take_buffer() EXCLUDES(mutex_);
  void give_buffer(std::unique_ptr<Bytes> buffer) EXCLUDES(mutex_);

  StoreContext& context_;
  const OnDamage on_damage_;
  Mutex mutex_;  // Lock rank: leaf.
  std::vector<std::unique_ptr<Bytes>> buffers_
      GUARDED_BY(mutex_);  // of one block each, to use again
};

}  // namespace hubvfs::cache
