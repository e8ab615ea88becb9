// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace hubvfs {

using Duration = std::chrono::nanoseconds;
// A point on CLOCK_BOOTTIME: never set back, and it counts a suspend, as expiries must.
struct MonotonicTag {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicTag, duration>;
  static constexpr bool is_steady = true;
};
using TimePoint = MonotonicTag::time_point;
using UnixSeconds = std::int64_t;

// Where time comes from. Thread-safe. Tests use ManualClock (tests/support).
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
  // Wall clock: only for what is stored on disk or compared with the Hub's dates; it may jump.
  virtual UnixSeconds unix_now() const = 0;
  // How long the machine has been suspended since it booted: now() counts it.
  virtual Duration suspended() const { return {}; }
  // Time spent awake, for deadlines of what could not go on meanwhile.
  TimePoint awake() const { return now() - suspended(); }
};

class SystemClock final : public Clock {
 public:
  TimePoint now() const override;
  UnixSeconds unix_now() const override;
  Duration suspended() const override;
};

}  // namespace hubvfs
