// SPDX-License-Identifier: Apache-2.0
#include "base/failure_log.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"

namespace hubvfs {
namespace {

using std::chrono::seconds;

class FailureLogTest : public testing::Test {
 protected:
  void fail(const std::string& kind, const std::string& line, LogLevel level = LogLevel::kWarning) {
    failures_->note(level, kind, line);
  }
  void expect_lines(const std::vector<std::string>& expected) {
    std::vector<std::string> told;
    for (const auto& line : log_.lines()) told.push_back(line.text);
    EXPECT_EQ(told, expected);
  }

  ListLogger log_;
  ManualClock clock_;
  std::unique_ptr<FailureLog> failures_ = std::make_unique<FailureLog>(log_, clock_);
};

TEST_F(FailureLogTest, AHundredOfAKindAreOneLineAndOneMoreEachMinute) {
  for (int i = 0; i < 100; ++i) fail("gate", "gated, " + std::to_string(i));
  expect_lines({"gated, 0"});
  clock_.advance(seconds(59));
  failures_->tick();
  expect_lines({"gated, 0"});
  clock_.advance(seconds(1));
  failures_->tick();
  expect_lines({"gated, 0", "again, 99 times in 60 s: gated, 99"});
  for (int i = 0; i < 100; ++i) fail("gate", "gated, later");
  clock_.advance(seconds(60));
  failures_->tick();
  expect_lines(
      {"gated, 0", "again, 99 times in 60 s: gated, 99", "again, 100 times in 60 s: gated, later"});
}

TEST_F(FailureLogTest, EachKindIsTold) {
  fail("a", "a 1");
  fail("b", "b 1");
  fail("a", "a 2");
  expect_lines({"a 1", "b 1"});
}

TEST_F(FailureLogTest, WhatHasEndedIsToldAtOnceWhenItComesAgain) {
  fail("a", "a 1");
  clock_.advance(seconds(60));
  fail("a", "a 2");
  expect_lines({"a 1", "a 2"});
}

TEST_F(FailureLogTest, NobodyNeedsToTick) {
  fail("a", "a 1");
  fail("a", "a 2");
  clock_.advance(seconds(90));
  fail("b", "b 1");
  expect_lines({"a 1", "again, 1 time in 90 s: a 2", "b 1"});
}

TEST_F(FailureLogTest, WhatWasCountedIsToldAtTheEnd) {
  fail("a", "a 1");
  fail("a", "a 2");
  clock_.advance(seconds(3));
  failures_.reset();
  expect_lines({"a 1", "again, 1 time in 3 s: a 2"});
}

TEST_F(FailureLogTest, ItsMemoryIsBoundedAndWhatIsLeftOutIsCounted) {
  for (std::size_t i = 0; i < FailureLog::kMostKinds + 1000; ++i) {
    fail("kind " + std::to_string(i), "line");
  }
  EXPECT_EQ(log_.lines().size(), FailureLog::kMostKinds);
  clock_.advance(seconds(60));
  failures_->tick();
  ASSERT_EQ(log_.lines().size(), FailureLog::kMostKinds + 1);
  EXPECT_EQ(log_.lines().back().text, "other failures, not told one by one: 1000 times in 60 s");
  fail("kind 1500", "there is room again");
  EXPECT_EQ(log_.lines().back().text, "there is room again");
}

// Names that programs probe for must not keep an outage out of the log.
TEST_F(FailureLogTest, ALevelTakesNoRoomFromAnother) {
  for (std::size_t i = 0; i < FailureLog::kMostKinds + 1; ++i) {
    fail("name " + std::to_string(i), "no such name", LogLevel::kInfo);
  }
  fail("outage", "down");
  EXPECT_EQ(log_.lines().back().text, "down");
  EXPECT_EQ(log_.lines().back().level, LogLevel::kWarning);
}

}  // namespace
}  // namespace hubvfs
