// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "cache/blob_entry.h"
#include "cache/meta_index.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// Makes written blocks durable, and is the only thread that uses the index.
//
// Order of a batch (1 s or 64 MiB): fdatasync of the data files, their sidecars, then the index. A
// power cut loses the last batches and never leaves a record whose data is not there. While disk or
// index fail it tries them every now and then, so that a disk that works again is known to without
// anybody's asking. Thread-safe.
class IndexCommitter {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;
  using Blocks = std::vector<std::uint64_t>;
  using Drops = std::vector<std::pair<EntryPtr, Blocks>>;
  // Gets blocks that are lost, to punch them.
  using OnLost = std::function<void(const EntryPtr&, Blocks)>;

  IndexCommitter(StoreContext& context, MetaIndex& index, OnLost on_lost);
  ~IndexCommitter();

  void start();
  // Commits what is left, and the uses. Nothing may be handed in any more.
  void stop() EXCLUDES(mutex_);

  // A block of a file (or, small, of a record) was written.
  void filled(const EntryPtr& entry, std::uint64_t block, std::uint64_t fill) EXCLUDES(mutex_);
  void verified(const EntryPtr& entry) EXCLUDES(mutex_);
  void retired(const BlobKey& key) EXCLUDES(mutex_);
  // Returns once these blocks are out of the index (or it failed): their holes may be punched.
  // Blocks.
  Result<void> erase_now(const Drops& drops) EXCLUDES(mutex_);
  // Writes down which blocks were used since the last time, in parts, behind all else. Returns at
  // once.
  void write_uses() EXCLUDES(mutex_);
  // Disk or index failed, whoever met it.
  void disk_failed() EXCLUDES(mutex_);
  // Returns once everything handed in so far is durable, or failed to be. Blocks.
  Result<void> flush() EXCLUDES(mutex_);

 private:
  using Fills = std::vector<std::pair<std::uint64_t, std::uint64_t>>;  // block, fill
  struct Batch {
    std::map<EntryPtr, Fills> fills;
    std::vector<EntryPtr> verified;
    std::vector<BlobKey> retired;
    std::uint64_t bytes = 0;
    bool empty() const { return fills.empty() && verified.empty() && retired.empty(); }
  };
  struct Erase {
    const Drops* drops = nullptr;
    Result<void> result;
    bool done = false;
  };

  void run() EXCLUDES(mutex_);
  void note_batch() REQUIRES(mutex_);
  bool batch_due() const REQUIRES(mutex_);
  bool look_due() const REQUIRES(mutex_);
  void wait_a_while() REQUIRES(mutex_);
  Result<void> commit(Batch batch, bool last) EXCLUDES(mutex_);
  void requeue(Batch&& batch) EXCLUDES(mutex_);
  Result<void> commit_fills(Batch& batch);
  Result<void> commit_verified(Batch& batch, std::vector<EntryPtr>& later);
  Result<void> commit_erases(const std::vector<Erase*>& erases);
  Result<void> commit_some_uses();
  void look_after_disk() EXCLUDES(mutex_);
  void write_missing_sidecars();
  Result<void> prove_index();
  Result<void> sync_small(const Batch& batch);
  Result<void> apply(const std::vector<IndexChange>& changes);
  using Filled = std::vector<std::pair<EntryPtr, Blocks>>;
  Filled synced(Filled filled);
  Result<void> sync_file(const EntryPtr& entry) const;
  enum class Sync { kNo, kYes };
  Result<void> write_sidecar_of(const EntryPtr& entry, const Blocks& blocks, Sync sync) const;
  Result<bool> stamp(const EntryPtr& entry) const;

  StoreContext& context_;
  MetaIndex& index_;
  const OnLost on_lost_;
  std::thread thread_;
  std::vector<IndexChange> unerased_;   // the thread's: erasures that the index refused
  std::set<EntryPtr> without_sidecar_;  // the thread's: the disk refused some of it
  std::vector<EntryPtr> uses_left_;     // the thread's: their uses are to be written
  std::uint64_t uses_next_ = 0;         // the thread's: block of the last of them

  Mutex mutex_;  // Lock rank: leaf.
  CondVar changed_;
  Batch batch_ GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point batch_since_ GUARDED_BY(mutex_);
  std::vector<Erase*> erases_ GUARDED_BY(mutex_);
  std::uint64_t flush_asked_ GUARDED_BY(mutex_) = 0;
  std::uint64_t flush_done_ GUARDED_BY(mutex_) = 0;
  Result<void> flush_result_ GUARDED_BY(mutex_);
  bool uses_asked_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool failing_ GUARDED_BY(mutex_) = false;  // disk or index, to be looked after
  std::chrono::steady_clock::time_point looked_at_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::cache
