// SPDX-License-Identifier: Apache-2.0
#include "hub/running_quantile.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

using std::chrono::milliseconds;

TEST(RunningQuantile, NothingIsKnownAtFirst) {
  const RunningQuantile none;
  EXPECT_EQ(none.samples(), 0u);
  EXPECT_EQ(none.at(0.99), Duration::zero());
}

TEST(RunningQuantile, SharesAreToldToAFifth) {
  RunningQuantile times;
  for (int i = 1; i <= 100; ++i) times.add(milliseconds(i));
  for (const int share : {10, 50, 90, 99}) {
    EXPECT_GE(times.at(share / 100.0), milliseconds(share)) << share;
    EXPECT_LE(times.at(share / 100.0), milliseconds(share) * 6 / 5) << share;
  }
}

TEST(RunningQuantile, WhatIsLongAgoCountsLittle) {
  RunningQuantile times;
  for (int i = 0; i < 1000; ++i) times.add(std::chrono::seconds(1));
  for (int i = 0; i < 5000; ++i) times.add(milliseconds(1));
  EXPECT_LE(times.at(0.95), milliseconds(2));
}

TEST(RunningQuantile, WhatIsBeyondItsScaleStaysOnIt) {
  RunningQuantile times;
  times.add(Duration(-1));
  EXPECT_LE(times.at(1), milliseconds(1));
  times.add(std::chrono::hours(1));
  EXPECT_GE(times.at(1), std::chrono::minutes(2));
}

}  // namespace
}  // namespace hubvfs::hub
