// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <thread>

#include "base/log.h"
#include "base/mutex.h"
#include "fs/kernel_notifier.h"

struct fuse_session;

namespace hubvfs::fs {

// KernelNotifier on a libfuse session: a queue and the one thread that writes to the kernel.
//
// Outside start() to stop() calls do nothing. Thread-safe. The queue has no bound: an invalidation
// that is lost leaves a name wrong for as long as the kernel may keep it. Lock rank 90: nothing is
// taken inside.
class FuseNotifier final : public KernelNotifier {
 public:
  explicit FuseNotifier(Logger& log) : log_(log) {}
  ~FuseNotifier() override { stop(); }
  void invalidate_entry(std::uint64_t parent, const std::string& name) override;
  void invalidate_attributes(std::uint64_t node) override;

  // `session` has answered INIT and lives until stop() has returned.
  void start(fuse_session* session);
  // Waits for the notification being sent; those still queued are dropped.
  void stop();

 private:
  struct Item {
    std::uint64_t node = 0;
    std::string name;  // empty: the attributes of `node`
    bool operator==(const Item&) const = default;
  };
  void push(Item item);
  void work(fuse_session* session);
  void send(fuse_session* session, const Item& item);

  Logger& log_;
  std::thread thread_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Item> queue_ GUARDED_BY(mutex_);
  bool running_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::fs
