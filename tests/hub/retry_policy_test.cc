// SPDX-License-Identifier: Apache-2.0
#include "hub/retry_policy.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(HubProtocolE5, TransientAre408And5xx) {
  for (int status : {408, 500, 502, 503, 504, 520}) EXPECT_TRUE(is_transient_status(status));
  for (int status : {200, 206, 302, 400, 401, 403, 404, 416, 429}) {
    EXPECT_FALSE(is_transient_status(status));
  }
}

TEST(HubProtocolE5, TheBoundDoublesTo8Seconds) {
  EXPECT_EQ(Backoff::bound(1), milliseconds(250));
  EXPECT_EQ(Backoff::bound(2), milliseconds(500));
  EXPECT_EQ(Backoff::bound(6), seconds(8));
  EXPECT_EQ(Backoff::bound(1'000'000), seconds(8));
}

TEST(RetryPolicy, WaitsAreSpreadOverTheWholeBound) {
  Backoff backoff(1);
  bool short_one = false;
  bool long_one = false;
  for (int i = 0; i < 1000; ++i) {
    const Duration wait = backoff.wait(3);
    EXPECT_GE(wait, Duration::zero());
    EXPECT_LE(wait, seconds(1));
    short_one = short_one || wait < milliseconds(100);
    long_one = long_one || wait > milliseconds(900);
  }
  EXPECT_TRUE(short_one);
  EXPECT_TRUE(long_one);
}

TEST(HubProtocolE4, AnExhaustedQuotaSaysHowLong) {
  HttpHead head;
  head.rate_limit = "\"api\";r=0;t=42";
  head.retry_after = "7";
  EXPECT_EQ(told_wait(head, 0), Duration(seconds(43)));
}

TEST(HubProtocolE4, AQuotaNotExhaustedLeavesItToRetryAfter) {
  HttpHead head;
  head.rate_limit = "\"api\";r=12;t=42";
  EXPECT_FALSE(told_wait(head, 0));
  head.retry_after = "7";
  EXPECT_EQ(told_wait(head, 0), Duration(seconds(7)));
}

TEST(RetryPolicy, NobodySilencesUsForAYear) {
  HttpHead head;
  head.retry_after = "99999999999";
  EXPECT_EQ(told_wait(head, 0), Duration(seconds(300)));
  head.rate_limit = "\"api\";r=0;t=99999999999";
  EXPECT_EQ(told_wait(head, 0), Duration(seconds(301)));
  head.rate_limit.clear();
  head.retry_after = "-1";
  EXPECT_FALSE(told_wait(head, 0));
}

TEST(RetryPolicy, ShortDeadlinesLeaveTimeForASecondAttempt) {
  const Patience usual = patience_for(seconds(120));
  EXPECT_EQ(usual.connect, Duration(seconds(10)));
  EXPECT_EQ(usual.first_byte, Duration(seconds(30)));
  EXPECT_EQ(usual.stall, Duration(seconds(15)));
  const Patience brief = patience_for(milliseconds(900));
  EXPECT_LE(brief.first_byte, milliseconds(450));
  EXPECT_LE(brief.stall, milliseconds(300));
}

}  // namespace
}  // namespace hubvfs::hub
