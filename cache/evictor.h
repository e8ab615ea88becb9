// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cache/blob_entry.h"
#include "cache/eviction_policy.h"
#include "cache/ghost_filter.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// Decides what goes. Only the writer's thread uses it.
//
// A plan is made for all that has to go (a tenth of the cache, as a rule) and carried out in parts,
// so that fills and readers go on meanwhile; what is used after it was planned is spared. It takes
// blocks from readers and leaves the disk to BlockPuncher. Pinned blobs, those whose file is in use
// and blocks that are being read are left out.
//
// A scan of files that are read once must not drive out what is used again and again, so half of
// the cache is kept for that (choose_victims). Hot is a block that was used a minute or more after
// it came in (BlobEntry), or that came back soon after it was evicted: else a new working set
// larger than the other half would never become hot.
class Evictor {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;
  using Drops = std::vector<std::pair<EntryPtr, std::vector<std::uint64_t>>>;

  explicit Evictor(StoreContext& context) : context_(context) {}

  // Plans to evict so many bytes in all, in the order of the policy.
  void plan(std::uint64_t bytes);
  // Plans to drop every block that was not used for that long; `expired`: counted as such.
  void plan_unused_for(Duration age, bool expired);
  bool planned() const { return next_ < plan_.size(); }
  // Drops about `most` blocks of what is planned; they are to be punched.
  Drops drop_next(std::size_t most);

  // Whether that block was evicted lately: it is fetched again because it was missed.
  bool came_back(const BlobEntry& entry, std::uint64_t block) const;

 private:
  static constexpr std::uint32_t kWhole = UINT32_MAX;  // a block number that stands for the blob
  struct Victim {
    std::uint64_t epoch = 0;  // spared if it was used later
    std::uint32_t entry = 0;  // index into entries_
    std::uint32_t block = 0;
  };

  bool may_go(const BlobEntry& entry) const;
  void begin_plan();
  std::vector<EvictionCandidate> choose(std::uint64_t bytes, bool by_use) const;
  bool leave_out_used(const std::vector<EvictionCandidate>& victims);
  void add_candidates(std::uint32_t entry, bool by_use, std::vector<EvictionCandidate>& candidates,
                      std::vector<bool>& complete) const;
  BlobEntry::Uses uses_of(const Victim& victim) const;

  StoreContext& context_;
  std::optional<GhostFilter> ghosts_;  // from the first plan on
  std::vector<EntryPtr> entries_;      // those of the plan
  std::vector<Victim> plan_;
  std::size_t next_ = 0;
  std::uint64_t planned_bytes_ = 0;  // of plan_ from next_ on
  bool for_room_ = false;            // what goes was not done with: it may come back
  bool expired_ = false;
};

}  // namespace hubvfs::cache
