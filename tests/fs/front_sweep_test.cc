// SPDX-License-Identifier: Apache-2.0
#include "fs/front_sweep.h"

#include <gtest/gtest.h>

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kBlob = 100 * kMiB;

TEST(FrontSweep, AsMuchAsIsReadIsStreamedFromTheBeginningOn) {
  FrontSweep front(kMiB);
  EXPECT_FALSE(front.on_read({50 * kMiB, 50 * kMiB + 4096}, kBlob, 8 * kMiB))
      << "less than a block";
  auto sweep = front.on_read({60 * kMiB, 61 * kMiB}, kBlob, 8 * kMiB);
  ASSERT_TRUE(sweep);
  EXPECT_EQ(sweep->within, (ByteRange{0, kBlob}));
  EXPECT_EQ(sweep->from, 0u);
  EXPECT_EQ(sweep->most, kMiB + 4096);
  EXPECT_TRUE(sweep->urgent);
  front.swept(kMiB, 7 * kMiB);  // what was there already was passed over
  sweep = front.on_read({62 * kMiB, 65 * kMiB}, kBlob, 2 * kMiB);
  ASSERT_TRUE(sweep);
  EXPECT_EQ(sweep->from, 7 * kMiB);
  EXPECT_EQ(sweep->most, 2 * kMiB) << "the room";
}

TEST(FrontSweep, WithoutRoomNothingIsStreamedAndNoMoreThanABitIsSaved) {
  FrontSweep front(kMiB);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(front.on_read({0, kMiB}, kBlob, 0));
  const auto sweep = front.on_read({0, kMiB}, kBlob, UINT64_MAX);
  ASSERT_TRUE(sweep);
  EXPECT_EQ(sweep->most, 64 * kMiB);
}

TEST(FrontSweep, ItGoesToTheEndOnce) {
  FrontSweep front(kMiB);
  ASSERT_TRUE(front.on_read({0, 8 * kMiB}, kBlob, 8 * kMiB));
  front.swept(kMiB, 99 * kMiB);
  ASSERT_TRUE(front.on_read({0, 8 * kMiB}, kBlob, 8 * kMiB));
  front.swept(kMiB, 99 * kMiB);  // round its range, to where it began
  EXPECT_FALSE(front.on_read({0, 8 * kMiB}, kBlob, 8 * kMiB));
  EXPECT_TRUE(front.on_read({0, 8 * kMiB}, 2 * kBlob, 8 * kMiB)) << "that was a tensor's";
}

}  // namespace
}  // namespace hubvfs::fs
