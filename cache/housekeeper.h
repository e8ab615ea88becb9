// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace hubvfs::cache {

// The thread that looks after a store nobody uses: by the clock, it has the ttl, the watermarks and
// the disk's free space applied every few seconds, and the uses of blocks written down every ten
// minutes; each time it looks at the clock, about twice a second, files are scrubbed. It only gives
// the orders. Thread-safe.
class Housekeeper {
 public:
  struct Orders {
    std::function<void()> keep_house;
    std::function<void()> write_uses;
    std::function<void()> scrub;
  };
  static constexpr std::chrono::seconds kHouseEvery{5};
  static constexpr std::chrono::minutes kUsesEvery{10};

  // The first order comes kHouseEvery after start(), so that pins can be set before.
  Housekeeper(const Clock& clock, Orders orders) : clock_(clock), orders_(std::move(orders)) {}
  ~Housekeeper();

  void start();
  // No order is given after it returned.
  void stop() EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);

  const Clock& clock_;
  const Orders orders_;
  TimePoint house_at_;  // the thread's, once there is one, as the next
  TimePoint uses_at_;
  std::thread thread_;

  Mutex mutex_;  // Lock rank: leaf; not held while an order is given.
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
