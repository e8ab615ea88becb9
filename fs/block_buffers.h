// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"

namespace hubvfs::fs {

// Buffers of blocks that are used again, so that not each block costs the page faults and the
// zeroing of new memory. Thread-safe. Lock rank: leaf.
class BlockBuffers {
 public:
  // Keeps at most `most` bytes of unused ones.
  explicit BlockBuffers(std::uint64_t most) : most_(most) {}

  // Of this size; what is in it is another block's, or zeros.
  Bytes take(std::size_t size) EXCLUDES(mutex_);
  void give_back(Bytes buffer) EXCLUDES(mutex_);
  // Frees those that were not needed since the last call.
  void trim() EXCLUDES(mutex_);
  std::uint64_t unused_bytes() const EXCLUDES(mutex_);

 private:
  const std::uint64_t most_;
  mutable Mutex mutex_;
  std::vector<Bytes> unused_ GUARDED_BY(mutex_);
  std::uint64_t unused_bytes_ GUARDED_BY(mutex_) = 0;
  std::size_t least_unused_ GUARDED_BY(mutex_) = 0;  // since the last trim()
};

}  // namespace hubvfs::fs
