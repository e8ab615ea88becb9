// SPDX-License-Identifier: Apache-2.0
#include "base/blocking.h"

#include <string>

#include "base/mutex.h"
#include "base/result.h"

namespace hubvfs {
namespace {
thread_local int no_block_depth = 0;
}  // namespace

NoBlockScope::NoBlockScope() { ++no_block_depth; }
NoBlockScope::~NoBlockScope() { --no_block_depth; }

void assert_may_block([[maybe_unused]] const char* what) {
#ifndef NDEBUG
  if (no_block_depth > 0) bug(std::string("a FUSE thread would wait for ") + what);
#endif
}

void CondVar::wait(Mutex& mutex) {
  assert_may_block("a condition variable");
  std::unique_lock lock(mutex.mutex_, std::adopt_lock);
  cv_.wait(lock);
  lock.release();
}

void CondVar::wait_for(Mutex& mutex, std::chrono::nanoseconds timeout) {
  assert_may_block("a condition variable");
  std::unique_lock lock(mutex.mutex_, std::adopt_lock);
  // The system clock underneath is chosen by libstdc++ from steady_clock: pthread_cond_clockwait.
  cv_.wait_until(lock, std::chrono::steady_clock::now() + timeout);
  lock.release();
}

}  // namespace hubvfs
