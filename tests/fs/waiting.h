// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"

namespace hubvfs {

// The answer to one asynchronous call: give `callback()` to it, then `get()`.
template <typename T>
class Answer {
 public:
  auto callback() {
    return [promise = promise_](const Result<T>& result) { promise->set_value(result); };
  }
  bool has_come() { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  // Waits 20 s at most, then gives kTimedOut.
  Result<T> get() {
    if (future_.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      return Error{ErrorCode::kTimedOut, "no answer"};
    }
    return future_.get();
  }

 private:
  std::shared_ptr<std::promise<Result<T>>> promise_ = std::make_shared<std::promise<Result<T>>>();
  std::future<Result<T>> future_ = promise_->get_future();
};

}  // namespace hubvfs
