// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <ctime>

namespace hubvfs {

TimePoint SystemClock::now() const {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return TimePoint(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

UnixSeconds SystemClock::unix_now() const {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec;
}

}  // namespace hubvfs
