// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "base/mutex.h"

namespace hubvfs::cache {

template <typename Signature>
class CallbackSlot;

// A callback that one sets and others call, with no lock held; where there is none, a call gives
// R(). Thread-safe.
template <typename R, typename... Args>
class CallbackSlot<R(Args...)> {
 public:
  using Function = std::function<R(Args...)>;

  // When it returns, the one before does not run on any thread, and is gone. {}: none from now on.
  // Waits for that, so not from within a call nor on a FUSE thread.
  void set(Function callback) EXCLUDES(mutex_) {
    auto taken = callback ? std::make_shared<const Function>(std::move(callback)) : nullptr;
    MutexLock lock(mutex_);
    callback_.swap(taken);
    while (running_ != 0) ended_.wait(mutex_);
  }

  R operator()(Args... args) EXCLUDES(mutex_) {
    Call call(*this);
    if (call.callback == nullptr) return R();
    return (*call.callback)(std::forward<Args>(args)...);
  }

 private:
  struct Call {
    explicit Call(CallbackSlot& of) : slot(of) {
      MutexLock lock(slot.mutex_);
      callback = slot.callback_;
      ++slot.running_;
    }
    ~Call() {
      callback.reset();
      MutexLock lock(slot.mutex_);
      if (--slot.running_ == 0) slot.ended_.notify_all();
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    CallbackSlot& slot;
    std::shared_ptr<const Function> callback;
  };

  Mutex mutex_;  // Lock rank: leaf.
  CondVar ended_;
  std::shared_ptr<const Function> callback_ GUARDED_BY(mutex_);
  int running_ GUARDED_BY(mutex_) = 0;
};

}  // namespace hubvfs::cache
