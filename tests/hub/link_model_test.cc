// SPDX-License-Identifier: Apache-2.0
#include "hub/link_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace hubvfs::hub {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kMega = 1e6;

// A link that transfers share fairly, each up to its own limit, driven by the model it teaches: a
// new part is begun whenever fewer run than may. Time goes in steps of a millisecond.
class FakeLink {
 public:
  FakeLink(Duration round_trip, double rate, double rate_each, int most = 64)
      : model(most), round_trip_(round_trip), rate_(rate), rate_each_(rate_each) {}

  void run(Duration time) {
    for (const TimePoint end = now_ + time; now_ < end; now_ += milliseconds(1)) step();
  }
  void set_rate(double rate) { rate_ = rate; }
  double brought() const { return brought_; }
  TimePoint now() const { return now_; }

  LinkModel model;
  int offered = 1000;        // transfers there is work for
  std::vector<int> history;  // connections, each millisecond

 private:
  struct Part {
    std::uint64_t bytes;
    double left;
    TimePoint begun;
    TimePoint last;
    bool answered = false;
  };

  void step() {
    const int wanted = std::min(offered, model.connections());
    while (static_cast<int>(parts_.size()) < wanted) {
      const std::uint64_t bytes = model.part_bytes();
      parts_.push_back({bytes, static_cast<double>(bytes), now_, now_});
      model.on_running(static_cast<int>(parts_.size()), now_);
    }
    const auto flows = std::count_if(parts_.begin(), parts_.end(), [&](const Part& part) {
      return now_ - part.begun >= round_trip_;
    });
    for (Part& part : parts_) {
      if (now_ - part.begun < round_trip_) continue;
      if (!part.answered) model.on_first_byte(now_ - part.begun, true);
      if (!part.answered) part.last = now_;
      part.answered = true;
      const double bytes =
          std::min(part.left, std::min(rate_each_, rate_ / static_cast<double>(flows)) / 1000);
      part.left -= bytes;
      brought_ += bytes;
      model.on_bytes(static_cast<std::size_t>(bytes), now_ - part.last, now_);
      part.last = now_;
    }
    for (const Part& part : parts_) {
      if (part.left > 0) continue;
      model.on_transfer(part.bytes, now_ - part.begun - round_trip_);
    }
    if (std::erase_if(parts_, [](const Part& part) { return part.left <= 0; }) > 0) {
      model.on_running(static_cast<int>(parts_.size()), now_);
    }
    history.push_back(model.connections());
  }

  const Duration round_trip_;
  double rate_;
  const double rate_each_;
  double brought_ = 0;
  TimePoint now_ = TimePoint(seconds(1000));
  std::vector<Part> parts_;
};

int changes(const std::vector<int>& history) {
  int count = 0;
  for (std::size_t i = 1; i < history.size(); ++i) count += history[i] != history[i - 1] ? 1 : 0;
  return count;
}

TEST(LinkModel, BeginsWithEightConnectionsAndSmallParts) {
  const LinkModel model(64);
  EXPECT_EQ(model.connections(), 8);
  EXPECT_EQ(model.part_bytes(), 2u << 20);
  EXPECT_EQ(model.round_trip(), Duration::zero());
  EXPECT_EQ(LinkModel(3).connections(), 3);
}

TEST(LinkModel, BeginsWithTwoConnectionsWhereTheHubIsNear) {
  FakeLink link(milliseconds(1), 1000 * kMega, 1000 * kMega);
  link.run(seconds(3));
  EXPECT_EQ(*std::max_element(link.history.begin() + 2, link.history.end()), 4) << "one trial";
  EXPECT_EQ(link.model.connections(), 2);
  EXPECT_LE(2 * link.model.part_bytes(), 16u << 20);
  EXPECT_GE(link.brought(), 0.9 * 3000 * kMega);
}

TEST(LinkModel, FindsANearLinkWhoseConnectionsAreLimited) {
  FakeLink link(milliseconds(1), 1000 * kMega, 100 * kMega);
  link.run(seconds(5));
  EXPECT_GE(link.model.connections(), 8);
  EXPECT_LE(link.model.connections(), 16);
  EXPECT_GE(link.brought(), 0.6 * 5000 * kMega);
}

TEST(LinkModel, FillsALinkWhoseConnectionsAreLimited) {
  FakeLink link(milliseconds(30), 100 * kMega, 20 * kMega);
  link.run(seconds(20));
  EXPECT_GE(link.model.connections(), 6);
  EXPECT_LE(link.model.connections(), 16);
  EXPECT_GE(link.brought(), 0.93 * 20 * 100 * kMega);
  EXPECT_GE(link.model.part_bytes(), 4u << 20);
}

TEST(LinkModel, GrowsWhileMoreConnectionsBringMore) {
  FakeLink link(milliseconds(30), 1000 * kMega, 20 * kMega);
  link.run(seconds(10));
  EXPECT_GE(link.model.connections(), 40);
  FakeLink capped(milliseconds(30), 1000 * kMega, 20 * kMega, 12);
  capped.run(seconds(10));
  EXPECT_EQ(capped.model.connections(), 12);
}

TEST(LinkModel, StaysSmallOnAThinLink) {
  FakeLink link(milliseconds(300), 1 * kMega, 1 * kMega);
  link.run(seconds(120));
  EXPECT_LE(link.model.connections(), 3);
  EXPECT_EQ(link.model.part_bytes(), 1u << 20);
  EXPECT_GE(link.brought(), 0.8 * 120 * kMega);
}

TEST(LinkModel, LongLatencyMerges) {
  FakeLink near(milliseconds(1), 100 * kMega, 10 * kMega);
  FakeLink far(milliseconds(100), 100 * kMega, 10 * kMega);
  near.run(seconds(10));
  far.run(seconds(10));
  EXPECT_LE(near.model.part_bytes(), 1u << 20);
  EXPECT_GE(far.model.part_bytes(), 4u << 20);
}

TEST(LinkModel, WhatComesInOneGoSaysLittle) {
  LinkModel model(64);
  model.on_first_byte(milliseconds(30), true);
  for (int i = 0; i < 100; ++i) model.on_transfer(300'000, milliseconds(0));
  EXPECT_LE(model.part_bytes(), 5u << 20);  // ten million bytes a second, at most
}

TEST(LinkModel, SettlesOnceItKnowsTheLink) {
  FakeLink link(milliseconds(30), 100 * kMega, 20 * kMega);
  link.run(seconds(10));
  link.history.clear();
  link.run(seconds(120));
  EXPECT_LE(changes(link.history), 12);  // a trial now and then: there and back
}

TEST(LinkModel, UsesALinkThatHasBecomeFaster) {
  FakeLink link(milliseconds(30), 100 * kMega, 10 * kMega);
  link.run(seconds(10));
  link.set_rate(400 * kMega);
  link.run(seconds(200));
  EXPECT_GE(link.model.connections(), 32);
}

TEST(LinkModel, WhatIsNotTriedIsNotJudged) {
  FakeLink link(milliseconds(30), 100 * kMega, 20 * kMega);
  link.offered = 2;
  link.run(seconds(30));
  EXPECT_EQ(link.model.connections(), 8);
  EXPECT_EQ(link.model.rate(), 0);
  EXPECT_EQ(link.model.held_up_by(2, 1u << 20), Duration::zero());
}

TEST(LinkModel, IsFastWhereItBringsAQuarterOfAGigabyteASecond) {
  FakeLink near(milliseconds(1), 1000 * kMega, 1000 * kMega);
  EXPECT_FALSE(near.model.is_fast());
  near.run(milliseconds(50));
  EXPECT_EQ(near.model.rate(), 0) << "not measured yet";
  EXPECT_TRUE(near.model.is_fast());
  near.run(seconds(5));
  EXPECT_TRUE(near.model.is_fast());
  near.set_rate(100 * kMega);
  near.run(seconds(5));
  EXPECT_FALSE(near.model.is_fast());
  FakeLink far(milliseconds(30), 800 * kMega, 20 * kMega);
  far.run(milliseconds(200));
  EXPECT_EQ(far.model.rate(), 0) << "not measured yet";
  EXPECT_FALSE(far.model.is_fast()) << "of what all will bring one tells little";
  far.run(seconds(10));
  EXPECT_TRUE(far.model.is_fast());
}

TEST(LinkModel, ARefusalHalvesOnceForAll) {
  FakeLink link(milliseconds(30), 100 * kMega, 10 * kMega);
  link.run(seconds(10));
  const int before = link.model.connections();
  for (int i = 0; i < 10; ++i) link.model.on_refused(link.now());
  EXPECT_EQ(link.model.connections(), before / 2);
  link.run(seconds(5));
  link.model.on_stall(link.now());
  EXPECT_LT(link.model.connections(), before);
}

TEST(LinkModel, NeverFallsBelowOne) {
  LinkModel model(64);
  for (int i = 0; i < 20; ++i) model.on_refused(TimePoint(seconds(100 * (i + 1))));
  EXPECT_EQ(model.connections(), 1);
  model.on_stall(TimePoint(seconds(10'000)));
  EXPECT_EQ(model.connections(), 1);
}

TEST(LinkModel, SaysWhenATransferIsLate) {
  LinkModel model(64);
  EXPECT_EQ(model.hedge_after(), Duration::zero());
  EXPECT_EQ(model.first_byte_deadline(), seconds(30));
  EXPECT_EQ(model.gap_deadline(), seconds(15));
  model.on_first_byte(milliseconds(100), true);
  EXPECT_EQ(model.first_byte_deadline(), seconds(3));
  EXPECT_EQ(model.gap_deadline(), seconds(3));
  for (int i = 0; i < 100; ++i) model.on_first_byte(milliseconds(100), true);
  EXPECT_GE(model.hedge_after(), milliseconds(200));
  EXPECT_LE(model.hedge_after(), milliseconds(300));
  EXPECT_EQ(model.first_byte_deadline(), seconds(1));
  for (int i = 0; i < 100; ++i) model.on_bytes(1, milliseconds(1), TimePoint(seconds(1)));
  EXPECT_EQ(model.gap_deadline(), seconds(1));
  for (int i = 0; i < 100; ++i) model.on_first_byte(seconds(20), true);
  EXPECT_EQ(model.first_byte_deadline(), seconds(30));
}

TEST(LinkModel, SaysWhenATransferIsSlow) {
  FakeLink link(milliseconds(150), 10 * kMega, 2 * kMega);
  EXPECT_FALSE(link.model.is_slow(0, seconds(10)));  // nothing is known yet
  EXPECT_EQ(link.model.pace_period(), seconds(1));
  link.run(seconds(10));
  EXPECT_EQ(link.model.pace_period(), milliseconds(1200));
  EXPECT_TRUE(link.model.is_slow(400'000, milliseconds(1200)));
  EXPECT_FALSE(link.model.is_slow(2'000'000, milliseconds(1200)));
}

TEST(LinkModel, KnowsWhoHoldsUpADemand) {
  FakeLink link(milliseconds(150), 10 * kMega, 10 * kMega);
  EXPECT_EQ(link.model.held_up_by(8, 1u << 20), Duration::zero());  // nothing is known yet
  link.run(seconds(10));
  EXPECT_GE(link.model.held_up_by(8, 1u << 20), milliseconds(700));
  EXPECT_EQ(link.model.held_up_by(0, 1u << 20), Duration::zero());
}

}  // namespace
}  // namespace hubvfs::hub
