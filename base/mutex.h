// SPDX-License-Identifier: Apache-2.0
// A mutex that clang's -Wthread-safety understands. Use it instead of std::mutex everywhere.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define HUBVFS_TS(x) __attribute__((x))
#else
#define HUBVFS_TS(x)
#endif
#define CAPABILITY(x) HUBVFS_TS(capability(x))
#define SCOPED_CAPABILITY HUBVFS_TS(scoped_lockable)
#define GUARDED_BY(x) HUBVFS_TS(guarded_by(x))
#define REQUIRES(...) HUBVFS_TS(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) HUBVFS_TS(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) HUBVFS_TS(acquire_capability(__VA_ARGS__))
#define RELEASE(...) HUBVFS_TS(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS HUBVFS_TS(no_thread_safety_analysis)

namespace hubvfs {

// Not recursive. Ranks are documented where a mutex is declared and listed in ARCHITECTURE.md.
class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Never waited on from a FUSE thread (base/blocking.h asserts it).
class CondVar {
 public:
  void notify_one() { cv_.notify_one(); }
  void notify_all() { cv_.notify_all(); }
  // Both may wake without a notify: test the condition in a loop.
  void wait(Mutex& mutex) REQUIRES(mutex);
  void wait_for(Mutex& mutex, std::chrono::nanoseconds timeout) REQUIRES(mutex);

 private:
  std::condition_variable cv_;
};

}  // namespace hubvfs
