// SPDX-License-Identifier: Apache-2.0
#pragma once

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
#include "cache/index_committer.h"
#include "cache/orphan_sweep.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// The only thread that writes, punches and unlinks data files and small records, in the order it
// was told.
//
// Before a block is written its room is reserved, and made by eviction where there is none. A disk
// that fails or is full costs the block, not the caller; it is tried again every few seconds.
// Thread-safe.
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
  // Returns once everything queued so far is done. Blocks.
  void drain() EXCLUDES(mutex_);

 private:
  using Drops = IndexCommitter::Drops;
  struct Job {
    EntryPtr entry;
    bool write = false;
    bool store = false;
    std::uint64_t block = 0;
    std::uint64_t fill = 0;
    Blocks blocks;
  };

  void queue(Job job) EXCLUDES(mutex_);
  void run() EXCLUDES(mutex_);
  void run_write(const Job& job);
  Result<void> store(const EntryPtr& entry, std::uint64_t block, std::uint64_t fill,
                     const Bytes& bytes);
  Result<void> make_room(std::uint64_t bytes);
  void evict(std::uint64_t bytes);
  Result<FileCache::File> data_file(const EntryPtr& entry);
  Result<FileCache::File> as_we_made_it(const EntryPtr& entry, const FileCache::File& file);
  void run_drops(Drops drops);
  void punch(const EntryPtr& entry, const Blocks& blocks);
  void punch_file(const EntryPtr& entry, const Blocks& blocks);
  void retire_if_idle(const EntryPtr& entry);

  StoreContext& context_;
  IndexCommitter& committer_;
  std::unique_ptr<OrphanSweep> sweep_;  // the thread's
  std::thread thread_;

  Mutex mutex_;  // Lock rank: leaf.
  CondVar changed_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  std::uint64_t queued_ GUARDED_BY(mutex_) = 0;
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
