// SPDX-License-Identifier: Apache-2.0
#include "hub/crawl_share.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/manual_clock.h"

namespace hubvfs::hub {
namespace {

using std::chrono::seconds;

class CrawlShareTest : public ::testing::Test {
 protected:
  // As the Hub answers: `left` of `quota` for `reset` more seconds, of a window of 60 s.
  void hear(int left, int reset, int quota = 40, int status = 200) {
    HttpHead head;
    head.status = status;
    head.rate_limit = "\"api\";r=" + std::to_string(left) + ";t=" + std::to_string(reset);
    head.rate_policy = "\"fixed window\";\"api\";q=" + std::to_string(quota) + ";w=60";
    share_.note_answer(head, clock_.now());
  }
  void hear_no_quota(int status) {
    HttpHead head;
    head.status = status;
    share_.note_answer(head, clock_.now());
  }
  // How many requests may be sent now.
  int take_all() {
    int taken = 0;
    while (taken < 2000 && share_.take(clock_.now())) ++taken;
    return taken;
  }
  void pass(Duration time) { clock_.advance(time); }
  Duration left() const { return share_.resumes() - clock_.now(); }

  ManualClock clock_;
  CrawlShare share_;
};

TEST_F(CrawlShareTest, BeforeAnyAnswerItIsAQuarterOfWhatCallersWithoutATokenHave) {
  EXPECT_EQ(take_all(), 125);
  EXPECT_EQ(left(), Duration(seconds(300)));
  pass(seconds(299));
  EXPECT_EQ(take_all(), 0);
  pass(seconds(1));
  EXPECT_EQ(take_all(), 125);
}

TEST_F(CrawlShareTest, ItIsAQuarterOfTheQuotaThatTheHubNames) {
  EXPECT_TRUE(share_.take(clock_.now()));
  hear(39, 50);
  EXPECT_EQ(take_all(), 9) << "one was taken before the Hub said so";
  hear(30, 40);
  EXPECT_EQ(take_all(), 0);
}

TEST_F(CrawlShareTest, ItWaitsForTheResetThatTheHubTells) {
  EXPECT_TRUE(share_.take(clock_.now()));
  hear(39, 20);
  EXPECT_EQ(take_all(), 9);
  EXPECT_EQ(left(), Duration(seconds(21))) << "the Hub rounds down";
  pass(seconds(5));
  hear(12, 17);  // a slow answer: it was rounded later, and nothing is put off for it
  EXPECT_EQ(left(), Duration(seconds(16)));
  pass(seconds(16));
  EXPECT_EQ(take_all(), 10);
}

TEST_F(CrawlShareTest, AnAnswerOfTheNextWindowEndsThisOne) {
  EXPECT_TRUE(share_.take(clock_.now()));
  hear(39, 3);
  EXPECT_EQ(take_all(), 9);
  pass(seconds(3));
  hear(39, 59);
  EXPECT_EQ(take_all(), 10);
  EXPECT_EQ(left(), Duration(seconds(60)));
}

TEST_F(CrawlShareTest, WhatOthersUsedUpIsLeftToReaders) {
  hear(12, 30);
  EXPECT_EQ(take_all(), 2) << "a quarter stays";
  hear(10, 30);
  EXPECT_EQ(take_all(), 0);
  hear(9, 30);
  EXPECT_EQ(take_all(), 0);
  pass(seconds(31));
  EXPECT_EQ(take_all(), 10);
}

TEST_F(CrawlShareTest, WhatIsSentAllTheSameCounts) {
  hear(40, 30);
  for (int i = 0; i < 7; ++i) share_.charge(clock_.now());
  EXPECT_EQ(take_all(), 3);
  for (int i = 0; i < 7; ++i) share_.charge(clock_.now());
  EXPECT_EQ(take_all(), 0);
  pass(seconds(31));
  share_.charge(clock_.now());
  EXPECT_EQ(take_all(), 9);
}

TEST_F(CrawlShareTest, ASmallQuotaLetsOneThrough) {
  hear(3, 30, 3);
  EXPECT_EQ(take_all(), 1);
}

TEST_F(CrawlShareTest, AHubWithoutAQuotaHasNoneToKeep) {
  EXPECT_EQ(take_all(), 125);
  hear_no_quota(502);
  EXPECT_EQ(take_all(), 0) << "a gateway in trouble says nothing about quotas";
  hear_no_quota(200);
  EXPECT_EQ(take_all(), 2000);
  hear(40, 30);
  EXPECT_EQ(take_all(), 0) << "125 were more than its part";
  pass(seconds(31));
  EXPECT_EQ(take_all(), 10);
  hear_no_quota(200);
  EXPECT_EQ(take_all(), 0) << "it has said that it has one";
}

TEST_F(CrawlShareTest, AnotherTokenHasAQuotaOfItsOwn) {
  hear(39, 30);
  EXPECT_EQ(take_all(), 10);
  share_.use_token(0);
  EXPECT_EQ(take_all(), 0);
  share_.use_token(1);
  EXPECT_EQ(take_all(), 125);
}

TEST_F(CrawlShareTest, NoAnswerPutsItOffForEver) {
  HttpHead head;
  head.status = 200;
  head.rate_policy = "\"fixed window\";\"api\";q=0;w=0";
  head.rate_limit = "\"api\";r=0;t=99999999999";
  share_.note_answer(head, clock_.now());
  EXPECT_EQ(take_all(), 0);
  EXPECT_LE(left(), Duration(seconds(301)));
  head.rate_policy = "\"fixed window\";\"api\";q=18446744073709551615;w=99999999999";
  share_.note_answer(head, clock_.now());
  EXPECT_LE(left(), Duration(seconds(3601)));
  pass(left());
  EXPECT_EQ(take_all(), 2000);
}

// A server whose reset never comes nearer.
TEST_F(CrawlShareTest, AResetThatStandsStillIsNoReset) {
  hear(40, 60);
  EXPECT_EQ(take_all(), 10);
  for (int second = 0; second < 61; ++second) {
    pass(seconds(1));
    hear(40, 60);
  }
  EXPECT_EQ(take_all(), 10);
}

}  // namespace
}  // namespace hubvfs::hub
