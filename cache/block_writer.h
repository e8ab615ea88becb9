// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "cache/blob_entry.h"
#include "cache/block_puncher.h"
#include "cache/evictor.h"
#include "cache/index_committer.h"
#include "cache/orphan_sweep.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// The only thread that writes, punches and unlinks data files and small records, in the order it
// was told.
//
// Before a block is written its room is reserved, and made by eviction where there is none. Once
// the high watermark is passed eviction goes on down to the low one while there is nothing to
// write. A disk that fails or is full costs the block, not the caller; it is tried again every few
// seconds. Thread-safe.
class BlockWriter {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;
  using Blocks = std::vector<std::uint64_t>;

  BlockWriter(StoreContext& context, IndexCommitter& committer);
  ~BlockWriter();

  // `sweep` (or none) is worked off while there is nothing else to do.
  void start(std::unique_ptr<OrphanSweep> sweep);
  // Works off what is queued. Nothing may be handed in any more.
  void stop() EXCLUDES(mutex_);

  // Stores a pending block, or (not `store`) only forgets it.
  void write(const EntryPtr& entry, std::uint64_t block, std::uint64_t fill, bool store)
      EXCLUDES(mutex_);
  // Punches blocks that were dropped; an entry left idle is taken off the disk.
  void drop(const EntryPtr& entry, Blocks blocks) EXCLUDES(mutex_);
  // Returns once everything queued so far is done, and what was to be evicted for it. Blocks.
  void drain() EXCLUDES(mutex_);
  // Drops what the ttl, the watermarks and the disk's free space want dropped, and punches what was
  // open in passthrough before. Returns at once.
  void keep_house() EXCLUDES(mutex_);

  // Bytes freed by dropping every block of it, or what `options` say. Behind what was queued
  // before. Both block.
  std::uint64_t evict(const EntryPtr& entry) EXCLUDES(mutex_);
  std::uint64_t prune(const PruneOptions& options) EXCLUDES(mutex_);

 private:
  struct Job {
    EntryPtr entry;
    bool write = false;
    bool store = false;
    std::uint64_t block = 0;
    std::uint64_t fill = 0;
    Blocks blocks;
    std::function<void()> task;  // instead of all that
  };

  void queue(Job job) EXCLUDES(mutex_);
  void run_task(std::function<void()> task) EXCLUDES(mutex_);
  void run() EXCLUDES(mutex_);
  void run_job(const Job& job);
  void run_write(const Job& job);
  Result<void> store(const EntryPtr& entry, std::uint64_t block, std::uint64_t fill,
                     const Bytes& bytes);
  Result<void> make_room(std::uint64_t bytes);
  Result<void> make_disk_room(std::uint64_t bytes);
  void plan_eviction(std::uint64_t bytes);
  Result<void> reserve(std::uint64_t bytes);
  bool reserve_by_evicting(std::uint64_t bytes);
  std::uint64_t evict_some();
  std::uint64_t evict_planned();
  void look_after_house();
  Result<FileCache::File> data_file(const EntryPtr& entry);
  Result<FileCache::File> as_we_made_it(const EntryPtr& entry, const FileCache::File& file);

  StoreContext& context_;
  IndexCommitter& committer_;
  BlockPuncher puncher_;  // the thread's, as those below
  Evictor evictor_;
  std::unique_ptr<OrphanSweep> sweep_;
  std::chrono::steady_clock::time_point no_room_until_;
  std::thread thread_;

  Mutex mutex_;  // Lock rank: leaf.
  CondVar changed_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  std::uint64_t queued_ GUARDED_BY(mutex_) = 0;
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;
  bool evicting_ GUARDED_BY(mutex_) = false;
  bool house_waits_ GUARDED_BY(mutex_) = false;  // keep_house() was called
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
