// SPDX-License-Identifier: Apache-2.0
#include "fs/block_buffers.h"

#include <algorithm>
#include <utility>

namespace hubvfs::fs {

Bytes BlockBuffers::take(std::size_t size) {
  Bytes buffer;
  {
    MutexLock lock(mutex_);
    if (!unused_.empty()) {
      buffer = std::move(unused_.back());
      unused_.pop_back();
      unused_bytes_ -= buffer.capacity();
      least_unused_ = std::min(least_unused_, unused_.size());
    }
  }
  buffer.resize(size);
  return buffer;
}

void BlockBuffers::give_back(Bytes buffer) {
  MutexLock lock(mutex_);
  if (buffer.capacity() == 0 || unused_bytes_ + buffer.capacity() > most_) return;
  unused_bytes_ += buffer.capacity();
  unused_.push_back(std::move(buffer));
}

void BlockBuffers::trim() {
  std::vector<Bytes> freed;
  MutexLock lock(mutex_);
  for (; least_unused_ > 0; --least_unused_) {
    unused_bytes_ -= unused_.back().capacity();
    freed.push_back(std::move(unused_.back()));
    unused_.pop_back();
  }
  least_unused_ = unused_.size();
}

std::uint64_t BlockBuffers::unused_bytes() const {
  MutexLock lock(mutex_);
  return unused_bytes_;
}

}  // namespace hubvfs::fs
