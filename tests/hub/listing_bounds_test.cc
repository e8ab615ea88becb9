// SPDX-License-Identifier: Apache-2.0
#include "hub/listing_bounds.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

TEST(ListingBoundsTest, AMillionEntriesAndNoMore) {
  ListingBounds bounds("first");
  for (int page = 0; page < 100; ++page) ASSERT_TRUE(bounds.take(10'000, 1));
  const auto more = bounds.take(1, 1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kBadAnswer);
}

TEST(ListingBoundsTest, AQuarterOfAGibibyteAndNoMore) {
  ListingBounds bounds("first");
  for (int page = 0; page < 8; ++page) ASSERT_TRUE(bounds.take(1, 32u << 20));
  EXPECT_FALSE(bounds.take(1, 1));
}

TEST(ListingBoundsTest, TenThousandPagesAndNoMore) {
  ListingBounds bounds("0");
  for (int page = 1; page < 10'000; ++page) ASSERT_TRUE(bounds.turn_to(std::to_string(page)));
  EXPECT_FALSE(bounds.turn_to("10000"));
}

TEST(ListingBoundsTest, NoPageTwice) {
  ListingBounds bounds("first");
  EXPECT_TRUE(bounds.turn_to("second"));
  EXPECT_FALSE(bounds.turn_to("second"));
  EXPECT_FALSE(bounds.turn_to("first"));
}

}  // namespace
}  // namespace hubvfs::hub
