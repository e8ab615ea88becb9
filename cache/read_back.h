// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <thread>

#include "base/bytes.h"
#include "base/mutex.h"
#include "cache/blob_entry.h"
#include "cache/block_reader.h"

namespace hubvfs::cache {

// Reads a blob's blocks back in order, for one thread that hashes them; the next is read on a
// thread of its own meanwhile. Of what a block takes to be read from the page cache, checked and
// hashed, the hash is two thirds.
class ReadBack {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;

  explicit ReadBack(BlockReader& reader) : reader_(reader) {}
  ~ReadBack() { stop(); }

  void start();
  void stop() EXCLUDES(mutex_);
  // A block, until the next call; null when it cannot be read. Begins to read the one after it.
  // Blocks.
  const Bytes* read(const EntryPtr& entry, std::uint64_t block) EXCLUDES(mutex_);

 private:
  struct Block {
    std::uint64_t file = 0;  // BlobEntry::number()
    std::uint64_t number = 0;
    std::uint64_t generation = 0;  // of the entry before it was read
    Bytes bytes;
    bool right = false;
  };
  void run() EXCLUDES(mutex_);
  void fill(Block& block, const EntryPtr& entry, std::uint64_t number);

  BlockReader& reader_;
  std::thread thread_;
  Block current_;  // the caller's
  Block next_;     // the thread's while it is busy

  Mutex mutex_;  // Lock rank: leaf.
  CondVar changed_;
  EntryPtr asked_ GUARDED_BY(mutex_);  // to read asked_number_ of
  std::uint64_t asked_number_ GUARDED_BY(mutex_) = 0;
  bool busy_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
