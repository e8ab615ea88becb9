// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/digest.h"
#include "base/mutex.h"
#include "cache/arrived_blocks.h"
#include "cache/blob_entry.h"
#include "cache/blob_store.h"
#include "cache/block_reader.h"
#include "cache/block_writer.h"
#include "cache/callback_slot.h"
#include "cache/index_committer.h"
#include "cache/read_back.h"

namespace hubvfs::cache {

// Hashes blobs as their prefix completes, and judges them when the last block is in.
//
// What comes in order is hashed from the memory it came in, which is held until then; so is what
// comes a little early, as where several requests run (for a second or two): ArrivedBlocks. All
// else is read back. A blob that loses a block starts again once it is whole. Verdicts are given on
// its thread. Thread-safe.
class BlobVerifier {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;

  // `held_limit`: of ArrivedBlocks, in bytes.
  BlobVerifier(StoreContext& context, BlockReader& reader, BlockWriter& writer,
               IndexCommitter& committer, std::uint64_t held_limit);
  ~BlobVerifier();

  void start();
  // Judges the small blobs that wait (they are not stored before), and leaves the others.
  void stop() EXCLUDES(mutex_);

  void on_verdict(BlobStore::OnVerdict callback) { on_verdict_.set(std::move(callback)); }
  // The blob is whole.
  void look(const EntryPtr& entry) EXCLUDES(mutex_);
  // A block of it came that is in_order or early.
  void take(const EntryPtr& entry, std::uint64_t block, const BlobEntry::Put& put,
            std::shared_ptr<const Bytes> bytes) EXCLUDES(mutex_);
  // Returns once everything it was asked to look at so far was looked at. Blocks.
  void drain() EXCLUDES(mutex_);

 private:
  struct Progress {
    std::weak_ptr<BlobEntry> entry;
    Digest digest;
    std::uint64_t next = 0;
    std::uint64_t generation = 0;
  };

  void run() EXCLUDES(mutex_);
  void look_again(const EntryPtr& entry) EXCLUDES(mutex_);
  void enqueue(const EntryPtr& entry) REQUIRES(mutex_);
  void advance(const EntryPtr& entry) EXCLUDES(mutex_);
  Progress& progress_of(const EntryPtr& entry) EXCLUDES(mutex_);
  void start_again(Progress& progress, const EntryPtr& entry) EXCLUDES(mutex_);
  void forget_some() EXCLUDES(mutex_);
  void give_up(const EntryPtr& entry) EXCLUDES(mutex_);
  bool hash_next(const EntryPtr& entry, Progress& progress) EXCLUDES(mutex_);
  bool read_and_hash(const EntryPtr& entry, Progress& progress);
  std::optional<ArrivedBlocks::Arrival> take_arrived(const EntryPtr& entry,
                                                     const Progress& progress) EXCLUDES(mutex_);
  void forget_early(ArrivedBlocks::Buffers& removed) REQUIRES(mutex_);
  void forget_arrived(const EntryPtr& entry) EXCLUDES(mutex_);
  void judge(const EntryPtr& entry, Progress progress) EXCLUDES(mutex_);
  void not_judged(const EntryPtr& entry) EXCLUDES(mutex_);
  void store_if_small(const EntryPtr& entry);
  bool stopping() const EXCLUDES(mutex_);

  StoreContext& context_;
  BlockWriter& writer_;
  IndexCommitter& committer_;
  std::thread thread_;
  std::map<const BlobEntry*, Progress> progress_;  // the thread's
  ReadBack read_back_;                             // the thread's

  CallbackSlot<void(const BlobKey&, Result<void>)> on_verdict_;

  mutable Mutex mutex_;  // Lock rank: leaf.
  CondVar changed_;
  std::deque<EntryPtr> queue_ GUARDED_BY(mutex_);
  std::set<const BlobEntry*> queued_ GUARDED_BY(mutex_);
  const BlobEntry* hashing_ GUARDED_BY(mutex_) = nullptr;  // just now
  ArrivedBlocks arrived_ GUARDED_BY(mutex_);
  ArrivedBlocks::Time next_forgetting_ GUARDED_BY(mutex_);
  std::uint64_t asked_ GUARDED_BY(mutex_) = 0;
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;
  std::uint64_t again_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
