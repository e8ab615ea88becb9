// SPDX-License-Identifier: Apache-2.0
#include "cache/housekeeper.h"

namespace hubvfs::cache {
namespace {
// The clock may be one that is moved by hand, so it is looked at, not waited for.
constexpr std::chrono::milliseconds kLookEvery{500};
}  // namespace

Housekeeper::~Housekeeper() { stop(); }

void Housekeeper::start() {
  house_at_ = clock_.now() + kHouseEvery;
  uses_at_ = clock_.now() + kUsesEvery;
  thread_ = std::thread([this] { run(); });
}

void Housekeeper::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Housekeeper::run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const TimePoint now = clock_.now();
    const bool house_due = now >= house_at_;
    const bool uses_due = now >= uses_at_;
    mutex_.unlock();
    if (uses_due) orders_.write_uses();
    if (house_due) orders_.keep_house();
    orders_.scrub();
    mutex_.lock();
    if (uses_due) uses_at_ = now + kUsesEvery;
    if (house_due) house_at_ = now + kHouseEvery;
    if (!stopping_) changed_.wait_for(mutex_, kLookEvery);
  }
}

}  // namespace hubvfs::cache
