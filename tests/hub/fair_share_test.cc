// SPDX-License-Identifier: Apache-2.0
#include "hub/fair_share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

namespace hubvfs::hub {
namespace {

TEST(FairShare, ManyFlowsGetTheSameWhateverTheyAskFor) {
  FairShare share;
  std::mt19937_64 random(3);
  std::array<std::uint64_t, 32> got{};
  for (int i = 0; i < 3000; ++i) {
    std::uint64_t next = 1;
    for (std::uint64_t flow = 2; flow <= got.size(); ++flow) {
      if (share.tag(flow) < share.tag(next)) next = flow;
    }
    const std::uint64_t bytes = 1 + random() % (next % 4 == 0 ? 1000 : 100);
    share.give(next, bytes);
    got.at(next - 1) += bytes;
    const auto [least, most] = std::minmax_element(got.begin(), got.end());
    EXPECT_LE(*most - *least, 1000u);
  }
}

TEST(FairShare, WhoAskedForNothingHasNoCredit) {
  FairShare share;
  for (int i = 0; i < 100; ++i) share.give(1, 10);
  share.give(2, 10);
  EXPECT_GE(share.tag(2) + 10, share.tag(1)) << "its turn once, not a hundred times";
}

TEST(FairShare, WhatWasNotUsedIsGivenBack) {
  FairShare share;
  share.give(1, 10);
  share.give(1, 100);
  share.take_back(1, 100);
  EXPECT_EQ(share.tag(1), 10u);
  share.take_back(2, 100);
  EXPECT_EQ(share.tag(2), share.tag(3));
}

TEST(FairShare, ItIsAlwaysNobodysTurn) {
  FairShare share;
  for (std::uint64_t flow = 1; flow < 10; ++flow) share.give(flow, 100);
  share.give(0, 1000);
  EXPECT_EQ(share.tag(0), 0u);
}

TEST(FairShare, OfVeryManyFlowsAllBeginAnew) {
  FairShare share;
  std::uint64_t last = 0;
  for (std::uint64_t flow = 1; flow < 100'000; ++flow) {
    EXPECT_GE(share.tag(flow), last);
    last = share.tag(flow);
    share.give(flow, 1);
    EXPECT_LE(share.tag(flow), last + 1);
  }
  std::size_t claims = 0;  // those that would wait for one that was never seen
  for (std::uint64_t flow = 1; flow < 100'000; ++flow)
    claims += share.tag(flow) > share.tag(200'000);
  EXPECT_LT(claims, 1024u);
}

}  // namespace
}  // namespace hubvfs::hub
