// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "base/digest.h"
#include "base/mutex.h"
#include "cache/blob_entry.h"
#include "cache/blob_store.h"
#include "cache/block_reader.h"
#include "cache/block_writer.h"
#include "cache/index_committer.h"

namespace hubvfs::cache {

// Hashes blobs as their prefix completes, and judges them when the last block is in.
//
// Blocks that come in order are hashed from memory or the page cache; those that came early are
// read back. A blob that loses a block starts again once it is whole. Verdicts are given on its
// thread. Thread-safe.
class BlobVerifier {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;

  BlobVerifier(StoreContext& context, BlockReader& reader, BlockWriter& writer,
               IndexCommitter& committer);
  ~BlobVerifier();

  void start();
  // Judges the small blobs that wait (they are not stored before), and leaves the others.
  void stop() EXCLUDES(mutex_);

  void on_verdict(BlobStore::OnVerdict callback) EXCLUDES(mutex_);
  // A block came that it may be waiting for, or the blob is whole.
  void look(const EntryPtr& entry) EXCLUDES(mutex_);
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
  void advance(const EntryPtr& entry) EXCLUDES(mutex_);
  Progress& progress_of(const EntryPtr& entry);
  bool hash_next(const EntryPtr& entry, Progress& progress);
  void judge(const EntryPtr& entry, Progress progress) EXCLUDES(mutex_);
  void store_if_small(const EntryPtr& entry);
  bool stopping() const EXCLUDES(mutex_);

  StoreContext& context_;
  BlockReader& reader_;
  BlockWriter& writer_;
  IndexCommitter& committer_;
  std::thread thread_;
  std::map<const BlobEntry*, Progress> progress_;  // the thread's
  Bytes buffer_;                                   // the thread's

  mutable Mutex mutex_;  // Lock rank: leaf.
  CondVar changed_;
  std::deque<EntryPtr> queue_ GUARDED_BY(mutex_);
  std::set<const BlobEntry*> queued_ GUARDED_BY(mutex_);
  std::uint64_t asked_ GUARDED_BY(mutex_) = 0;
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;
  std::uint64_t again_ GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const BlobStore::OnVerdict> on_verdict_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
