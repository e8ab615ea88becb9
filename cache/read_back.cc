// SPDX-License-Identifier: Apache-2.0
#include "cache/read_back.h"

#include <utility>

#include "base/blocking.h"

namespace hubvfs::cache {

void ReadBack::start() {
  thread_ = std::thread([this] { run(); });
}

void ReadBack::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

const Bytes* ReadBack::read(const EntryPtr& entry, std::uint64_t block) {
  assert_may_block("reading a block back");
  {
    MutexLock lock(mutex_);
    while (busy_ && !stopping_) changed_.wait(mutex_);
    if (stopping_) return nullptr;
  }
  std::swap(current_, next_);
  const bool is_it = current_.right && current_.file == entry->number() &&
                     current_.number == block && current_.generation == entry->generation();
  if (!is_it) fill(current_, entry, block);
  next_.right = false;
  if (!current_.right) return nullptr;
  if (block + 1 < entry->block_count()) {
    MutexLock lock(mutex_);
    asked_ = entry;
    asked_number_ = block + 1;
    busy_ = true;
    changed_.notify_all();
  }
  return &current_.bytes;
}

void ReadBack::run() {
  MutexLock lock(mutex_);
  while (true) {
    while (!busy_ && !stopping_) changed_.wait(mutex_);
    if (stopping_) return;
    EntryPtr entry = std::move(asked_);
    const std::uint64_t number = asked_number_;
    mutex_.unlock();
    fill(next_, entry, number);
    entry.reset();  // it must not outlive what is done with it unnoticed
    mutex_.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

void ReadBack::fill(Block& block, const EntryPtr& entry, std::uint64_t number) {
  block.file = entry->number();
  block.number = number;
  block.generation = entry->generation();
  block.bytes.resize(entry->length(number));
  block.right = reader_.read(entry, number, 0, block.bytes, nullptr).has_value();
}

}  // namespace hubvfs::cache
