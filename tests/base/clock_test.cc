// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"

namespace hubvfs {
namespace {

using std::chrono::seconds;

TEST(SystemClockTest, ASuspendIsCountedByOneOfItsTimes) {
  const SystemClock clock;
  const TimePoint awake = clock.awake();
  const Duration suspended = clock.suspended();
  EXPECT_GE(suspended, Duration::zero());
  EXPECT_LE(awake, clock.now());
  EXPECT_GE(clock.awake() + seconds(1), clock.now() - clock.suspended());
}

TEST(ManualClockTest, ASuspendPassesWithoutBeingAwake) {
  ManualClock clock;
  const TimePoint now = clock.now();
  const TimePoint awake = clock.awake();
  const UnixSeconds unix_now = clock.unix_now();
  clock.suspend(seconds(100));
  EXPECT_EQ(clock.now() - now, Duration(seconds(100)));
  EXPECT_EQ(clock.unix_now() - unix_now, 100);
  EXPECT_EQ(clock.awake(), awake);
  clock.advance(seconds(1));
  EXPECT_EQ(clock.awake() - awake, Duration(seconds(1)));
}

}  // namespace
}  // namespace hubvfs
