// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/shaper.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>
#include <vector>

namespace hubvfs::bench {
namespace {

constexpr std::size_t kSize = 1000;

Packet packet_of(std::uint64_t flow, char mark = 0) {
  return {std::vector<char>(kSize, mark), flow};
}

// Runs the shaper until nothing is left; when each packet came out, by its flow.
std::map<std::uint64_t, std::vector<double>> drain(Shaper& shaper, double now) {
  std::map<std::uint64_t, std::vector<double>> out;
  const double end = now + 1000;
  while (true) {
    now = shaper.wake_at(now);
    if (now > end) return out;
    Packet packet;
    while (shaper.next_due(now, packet)) out[packet.flow].push_back(now);
  }
}

LinkShape roomy() {
  LinkShape shape;
  shape.queue = 1000;
  return shape;
}

TEST(Shaper, APacketTakesItsTimeOnTheLineAndTheDelay) {
  LinkShape shape = roomy();
  shape.delay = 0.015;
  shape.rate = 1e5;
  Shaper shaper(shape);
  ASSERT_TRUE(shaper.offer(packet_of(1), 5));
  const auto out = drain(shaper, 5);
  EXPECT_NEAR(out.at(1).at(0), 5 + 0.01 + 0.015, 1e-9);
}

TEST(Shaper, FlowsShareTheRateOfTheLine) {
  LinkShape shape = roomy();
  shape.rate = 1e6;
  Shaper shaper(shape);
  for (int i = 0; i < 500; ++i) {
    for (std::uint64_t flow = 1; flow <= 2; ++flow) ASSERT_TRUE(shaper.offer(packet_of(flow), 0));
  }
  const auto out = drain(shaper, 0);
  EXPECT_NEAR(out.at(1).back(), 1, 0.01);  // 2 x 500 packets of 1 ms
  EXPECT_NEAR(out.at(2).back(), 1, 0.01);
}

TEST(Shaper, AFlowIsHeldToItsOwnRateAndOthersPassIt) {
  LinkShape shape = roomy();
  shape.rate = 1e6;
  shape.flow_rate = 2e5;
  Shaper shaper(shape);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(shaper.offer(packet_of(1), 0));
  ASSERT_TRUE(shaper.offer(packet_of(2), 0));
  const auto out = drain(shaper, 0);
  EXPECT_NEAR(out.at(1).back(), 0.5, 0.01);  // 100,000 bytes at 200,000 a second
  EXPECT_LT(out.at(2).back(), 0.02);
}

TEST(Shaper, FiveFlowsOfAFifthFillTheLine) {
  LinkShape shape = roomy();
  shape.rate = 1e6;
  shape.flow_rate = 2e5;
  Shaper shaper(shape);
  for (int i = 0; i < 200; ++i) {
    for (std::uint64_t flow = 1; flow <= 5; ++flow) ASSERT_TRUE(shaper.offer(packet_of(flow), 0));
  }
  for (const auto& [flow, times] : drain(shaper, 0)) EXPECT_NEAR(times.back(), 1, 0.02) << flow;
}

TEST(Shaper, WhatWouldWaitLongerThanTheQueueIsDropped) {
  LinkShape shape;
  shape.rate = 1e9;
  shape.flow_rate = 1e5;  // 10 ms a packet
  shape.queue = 0.05;
  Shaper shaper(shape);
  int taken = 0;
  for (int i = 0; i < 20; ++i) taken += shaper.offer(packet_of(1), 0) ? 1 : 0;
  EXPECT_EQ(taken, 6);
  EXPECT_EQ(shaper.dropped(), 14U);
  EXPECT_EQ(drain(shaper, 0).at(1).size(), 6U);
}

TEST(Shaper, AStalledFlowStandsStillAndTheOthersDoNot) {
  LinkShape shape = roomy();
  shape.stall_every = 1;
  shape.stall_for = 3;
  Shaper shaper(shape);
  for (int i = 0; i < 10; ++i) {  // flow 1 sends all the time, flow 2 begins late
    const double now = i * 0.2;
    ASSERT_TRUE(shaper.offer(packet_of(1), now));
  }
  ASSERT_TRUE(shaper.offer(packet_of(2), 1.8));
  const auto out = drain(shaper, 1.8);
  EXPECT_GE(out.at(1).back(), 0.5 + 3);  // it stopped between 0.5 and 1.5 s
  EXPECT_LT(out.at(2).back(), 1.9);
}

TEST(Shaper, AFlowThatSendsSeldomMissesMostStalls) {
  LinkShape shape = roomy();
  shape.stall_every = 8;
  shape.stall_for = 4;
  Shaper shaper(shape);
  constexpr int kPackets = 200;
  int waited = 0;
  for (int i = 0; i < kPackets; ++i) {
    const double now = i * 20.0;
    ASSERT_TRUE(shaper.offer(packet_of(1), now));
    Packet packet;
    if (!shaper.next_due(now + 0.001, packet)) ++waited;
    while (shaper.next_due(now + 19, packet)) continue;
  }
  EXPECT_GT(waited, kPackets / 6);  // a third of the time is stalls
  EXPECT_LT(waited, kPackets / 2);
}

TEST(Shaper, AFlowKeepsItsOrder) {
  LinkShape shape = roomy();
  shape.flow_rate = 1e6;
  shape.delay = 0.01;
  Shaper shaper(shape);
  for (char i = 0; i < 50; ++i) ASSERT_TRUE(shaper.offer(packet_of(1, i), i * 1e-4));
  Packet packet;
  for (char i = 0; i < 50; ++i) {
    ASSERT_TRUE(shaper.next_due(100, packet));
    EXPECT_EQ(packet.data[0], i);
  }
  EXPECT_FALSE(shaper.next_due(100, packet));
}

}  // namespace
}  // namespace hubvfs::bench
