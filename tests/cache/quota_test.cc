// SPDX-License-Identifier: Apache-2.0
#include "cache/quota.h"

#include <gtest/gtest.h>

namespace hubvfs::cache {
namespace {

TEST(Quota, ReservesUpToTheLimitAndNotAByteMore) {
  Quota quota;
  quota.set_limit(100, 0);
  EXPECT_TRUE(quota.reserve(60));
  EXPECT_FALSE(quota.reserve(41));
  EXPECT_TRUE(quota.reserve(40));
  EXPECT_FALSE(quota.reserve(1));
  quota.give_back(10);
  EXPECT_TRUE(quota.reserve(10));
  EXPECT_FALSE(quota.reserve(UINT64_MAX));
  EXPECT_EQ(quota.used(), 100u);
}

TEST(Quota, WithoutALimitItTakesMostOfWhatTheDiskHas) {
  Quota quota;
  quota.count(500);
  quota.set_limit(0, 1500);
  EXPECT_EQ(quota.limit(), 1600u);
}

TEST(Quota, EvictsFromTheHighToTheLowWatermark) {
  Quota quota;
  quota.set_limit(1000, 0);
  quota.count(940);
  EXPECT_EQ(quota.to_evict(10), 0u);
  EXPECT_EQ(quota.to_evict(11), 101u);  // down to 850 with the new ones
}

TEST(Quota, ALoadedCacheMayBeOverALimitThatWasLowered) {
  Quota quota;
  quota.count(2000);
  quota.set_limit(1000, 0);
  EXPECT_FALSE(quota.reserve(1));
  EXPECT_EQ(quota.to_evict(1), 1151u);
}

TEST(Quota, TheWatermarksCanBeSet) {
  EvictionSettings settings;
  settings.high_watermark = 50;
  settings.low_watermark = 10;
  Quota quota(settings);
  quota.set_limit(1000, 0);
  quota.count(500);
  EXPECT_EQ(quota.to_evict(0), 0u);
  EXPECT_EQ(quota.to_evict(1), 401u);
}

TEST(Quota, KeepsATwentiethOfTheDiskFree) {
  const Quota quota;
  EXPECT_EQ(quota.to_evict({1000, 61}, 10), 0u);
  EXPECT_EQ(quota.to_evict({1000, 50}, 10), 10u);
  EXPECT_EQ(quota.to_evict({1000, 0}, 10), 60u);
  EXPECT_EQ(quota.min_free({1000, 0}), 50u);
}

TEST(Quota, ADiskThatDoesNotTellItsSizeIsTakenForLargeEnough) {
  EXPECT_EQ(Quota().to_evict({0, 0}, 10), 0u);
}

TEST(Quota, KeepsAsMuchOfTheDiskFreeAsItIsTold) {
  EvictionSettings settings;
  settings.min_free.percent = 20;
  EXPECT_EQ(Quota(settings).to_evict({1000, 150}, 10), 60u);
  settings.min_free.bytes = 700;
  EXPECT_EQ(Quota(settings).to_evict({1000, 150}, 10), 560u);
  settings.min_free.bytes = 0;
  EXPECT_EQ(Quota(settings).to_evict({1000, 10}, 10), 0u);
}

}  // namespace
}  // namespace hubvfs::cache
