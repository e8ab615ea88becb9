// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_notifier.h"

#include <fuse_lowlevel.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace hubvfs::fs {

void FuseNotifier::invalidate_entry(std::uint64_t parent, const std::string& name) {
  if (name.empty() || name.find('\0') != std::string::npos) return;  // never a name of the kernel's
  push({parent, name});
}

void FuseNotifier::invalidate_attributes(std::uint64_t node) { push({node, {}}); }

void FuseNotifier::push(Item item) {
  const MutexLock lock(mutex_);
  if (!running_) return;
  if (!queue_.empty() && queue_.back() == item) return;
  queue_.push_back(std::move(item));
  changed_.notify_one();
}

void FuseNotifier::start(fuse_session* session) {
  stop();
  {
    const MutexLock lock(mutex_);
    running_ = true;
  }
  thread_ = std::thread([this, session] { work(session); });
}

void FuseNotifier::stop() {
  {
    const MutexLock lock(mutex_);
    running_ = false;
    queue_.clear();
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void FuseNotifier::work(fuse_session* session) {
  for (;;) {
    Item item;
    {
      const MutexLock lock(mutex_);
      while (running_ && queue_.empty()) changed_.wait(mutex_);
      if (!running_) return;
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    send(session, item);
  }
}

void FuseNotifier::send(fuse_session* session, const Item& item) {
  // A negative offset: attributes only. With a page range the kernel would wait for pages that an
  // unanswered READ holds.
  const int failed = item.name.empty()
                         ? fuse_lowlevel_notify_inval_inode(session, item.node, -1, 0)
                         : fuse_lowlevel_notify_inval_entry(session, item.node, item.name.c_str(),
                                                            item.name.size());
  // ENOENT: the kernel does not hold it, or the connection is gone. ENOTDIR: it never was a parent.
  if (failed == 0 || failed == -ENOENT || failed == -ENOTDIR || failed == -ENODEV) return;
  log_.warning("telling the kernel to forget node " + std::to_string(item.node) + " " +
               escape_for_log(item.name) + ": " + std::strerror(-failed));
}

}  // namespace hubvfs::fs
