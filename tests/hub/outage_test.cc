// SPDX-License-Identifier: Apache-2.0
#include "hub/outage.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

using std::chrono::seconds;
using Verdict = Outage::Verdict;

class OutageTest : public ::testing::Test {
 protected:
  Verdict admit() { return outage_.admit(now_); }
  bool fail(bool answered) {
    return outage_.note_failure({ErrorCode::kUnavailable, "refused"}, answered, now_);
  }
  Outage outage_;
  TimePoint now_{seconds(1000)};
};

TEST_F(OutageTest, SilenceOpensItAtOnce) {
  EXPECT_EQ(admit(), Verdict::kAsk);
  EXPECT_TRUE(fail(false));
  EXPECT_EQ(admit(), Verdict::kDoNotAsk);
  EXPECT_EQ(outage_.error().context, "refused");
}

TEST_F(OutageTest, OneCallThatHeardOnly5xxDoesNot) {
  EXPECT_FALSE(fail(true));
  EXPECT_EQ(admit(), Verdict::kAsk);
  EXPECT_FALSE(outage_.note_answer());
  EXPECT_FALSE(fail(true));
  EXPECT_EQ(admit(), Verdict::kAsk);
  EXPECT_TRUE(fail(true));
  EXPECT_EQ(admit(), Verdict::kDoNotAsk);
}

TEST_F(OutageTest, AProbeEveryFiveSeconds) {
  fail(false);
  now_ += seconds(5);
  EXPECT_EQ(admit(), Verdict::kProbe);
  EXPECT_EQ(admit(), Verdict::kDoNotAsk);
  EXPECT_FALSE(fail(false));
  now_ += seconds(4);
  EXPECT_EQ(admit(), Verdict::kDoNotAsk);
  now_ += seconds(1);
  EXPECT_EQ(admit(), Verdict::kProbe);
}

TEST_F(OutageTest, AnAnswerClosesIt) {
  fail(false);
  const std::uint64_t before = outage_.answers();
  EXPECT_TRUE(outage_.note_answer());
  EXPECT_NE(outage_.answers(), before);
  EXPECT_EQ(admit(), Verdict::kAsk);
  EXPECT_TRUE(fail(false));  // as before the first
}

}  // namespace
}  // namespace hubvfs::hub
