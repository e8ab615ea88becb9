// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "base/blocking.h"
#include "base/mutex.h"
#include "base/result.h"

namespace hubvfs::daemon {

// The answer to one asynchronous call, for a thread that may wait: give callback() to the call,
// then get().
template <typename T>
class Awaited {
 public:
  std::function<void(const Result<T>&)> callback() const {
    return [state = state_](const Result<T>& answer) {
      const MutexLock lock(state->mutex);
      state->answer = answer;
      state->come.notify_all();
    };
  }

  // `cancelled` is asked several times a second. kCancelled: it said so before the answer came.
  Result<T> get(const std::function<bool()>& cancelled) const {
    constexpr auto kLook = std::chrono::milliseconds(200);
    assert_may_block("a command's question");
    const MutexLock lock(state_->mutex);
    while (!state_->answer) {
      state_->come.wait_for(state_->mutex, kLook);
      if (!state_->answer && cancelled()) return Error{ErrorCode::kCancelled, "stopped"};
    }
    return *state_->answer;
  }

 private:
  struct State {
    Mutex mutex;  // lock rank: leaf
    CondVar come;
    std::optional<Result<T>> answer GUARDED_BY(mutex);
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace hubvfs::daemon
