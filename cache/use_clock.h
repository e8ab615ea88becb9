// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace hubvfs::cache {

// Numbers the uses of blocks ("epochs"): each is larger than the one before, whatever the wall
// clock does, and tells when it was, to the second. Thread-safe.
//
// The upper 44 bits are seconds, the rest counts within them; a clock that is set back stops the
// seconds until it has caught up.
class UseClock {
 public:
  explicit UseClock(const Clock& clock) : clock_(clock) {}

  std::uint64_t tick() {
    const std::uint64_t now = at(clock_.unix_now());
    std::uint64_t last = last_.load();
    while (last < now && !last_.compare_exchange_weak(last, now)) {
    }
    return last_.fetch_add(1) + 1;
  }

  // A use that was recorded earlier. Time to come is not believed: it is as if it were now.
  std::uint64_t remember(std::uint64_t epoch) {
    const std::uint64_t latest = at(clock_.unix_now() + 1) - 1;
    if (epoch > latest) epoch = latest;
    std::uint64_t last = last_.load();
    while (last < epoch && !last_.compare_exchange_weak(last, epoch)) {
    }
    return epoch;
  }

  UnixSeconds now() const { return clock_.unix_now(); }

  static UnixSeconds time_of(std::uint64_t epoch) {
    return static_cast<UnixSeconds>(epoch >> kCountBits);
  }
  // The first epoch of that second.
  static std::uint64_t at(UnixSeconds seconds) {
    return seconds <= 0 ? 0 : static_cast<std::uint64_t>(seconds) << kCountBits;
  }

 private:
  static constexpr int kCountBits = 20;
  const Clock& clock_;
  std::atomic<std::uint64_t> last_{0};
};

}  // namespace hubvfs::cache
