// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <ctime>

namespace hubvfs {
namespace {

Duration read_clock(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

}  // namespace

TimePoint SystemClock::now() const { return TimePoint(read_clock(CLOCK_BOOTTIME)); }

Duration SystemClock::suspended() const {
  const Duration awake = read_clock(CLOCK_MONOTONIC);  // first: the difference is never negative
  return read_clock(CLOCK_BOOTTIME) - awake;
}

UnixSeconds SystemClock::unix_now() const {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec;
}

}  // namespace hubvfs
