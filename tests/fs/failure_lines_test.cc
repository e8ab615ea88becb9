// SPDX-License-Identifier: Apache-2.0
#include "fs/failure_lines.h"

#include <gtest/gtest.h>

#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::fs {
namespace {

class FailureLines : public testing::Test {
 protected:
  void note(ErrorCode code, const std::string& subject, const std::string& context,
            const char* operation = "open") {
    note_failure(failures_, operation, subject, {code, context});
  }
  std::size_t lines() { return log_.lines().size(); }

  ListLogger log_;
  ManualClock clock_;
  FailureLog failures_{log_, clock_};
};

TEST_F(FailureLines, ALineHasWhatTheProgramSawAndWhy) {
  note(ErrorCode::kGated, "org/a", "org/a is gated: ask for access at https://hub/org/a");
  EXPECT_EQ(log_.text(),
            "open: Permission denied: org/a is gated: ask for access at https://hub/org/a\n");
}

TEST_F(FailureLines, WhatARepoIsRefusedForIsOneFailureARepo) {
  for (const ErrorCode code :
       {ErrorCode::kNotFound, ErrorCode::kGated, ErrorCode::kPermissionDenied,
        ErrorCode::kBadAnswer, ErrorCode::kCorrupt}) {
    const std::size_t before = lines();
    note(code, "org/a", "its file 1");
    note(code, "org/a", "its file 2", "read");
    EXPECT_EQ(lines(), before + 1) << to_string(code);
    note(code, "org/b", "its file 1");
    EXPECT_EQ(lines(), before + 2) << to_string(code);
  }
}

TEST_F(FailureLines, WhatTheHubCannotAnswerIsOneFailureOfAllRepos) {
  for (const ErrorCode code : {ErrorCode::kRateLimited, ErrorCode::kUnavailable,
                               ErrorCode::kOffline, ErrorCode::kTimedOut, ErrorCode::kIo}) {
    const std::size_t before = lines();
    note(code, "org/a", "org/a cannot be asked for");
    note(code, "org/b", "org/b cannot be asked for");
    EXPECT_EQ(lines(), before + 1) << to_string(code);
    note(code, "org/b", "its content comes from elsewhere", "read");
    EXPECT_EQ(lines(), before + 2) << to_string(code);
  }
}

TEST_F(FailureLines, AnotherCauseIsAnotherFailure) {
  const auto fail = [&](const char* repo, const char* cause) {
    note_failure(failures_, "read", repo,
                 {ErrorCode::kUnavailable, std::string(repo) + ": " + cause, cause});
  };
  fail("org/a", "cannot connect");
  fail("org/b", "cannot connect");
  fail("org/b", "DNS has no address");
  fail("org/c", "DNS has no address");
  EXPECT_EQ(log_.text(),
            "read: Input/output error: org/a: cannot connect\n"
            "read: Input/output error: org/b: DNS has no address\n");
}

TEST_F(FailureLines, OnlyAbsentNamesAreBelowAWarning) {
  note(ErrorCode::kNotFound, "org/a", "no such repo");
  note(ErrorCode::kGated, "org/a", "gated");
  EXPECT_EQ(log_.lines()[0].level, LogLevel::kInfo);
  EXPECT_EQ(log_.lines()[1].level, LogLevel::kWarning);
}

TEST_F(FailureLines, WhatIsNoTroubleIsNoLine) {
  for (const ErrorCode code :
       {ErrorCode::kCancelled, ErrorCode::kInvalidArgument, ErrorCode::kNameTooLong,
        ErrorCode::kNotDirectory, ErrorCode::kIsDirectory, ErrorCode::kReadOnly,
        ErrorCode::kNoAttribute, ErrorCode::kBufferTooSmall, ErrorCode::kStale}) {
    note(code, "org/a", "no trouble");
  }
  EXPECT_EQ(log_.text(), "");
}

TEST_F(FailureLines, StaleDataIsToldWithTheReason) {
  note_stale(failures_, "org/a", {ErrorCode::kUnavailable, "cannot connect to https://hub"});
  note_stale(failures_, "org/b", {ErrorCode::kUnavailable, "cannot connect to https://hub"});
  EXPECT_EQ(log_.text(), "what is known of org/a is shown: cannot connect to https://hub\n");
}

}  // namespace
}  // namespace hubvfs::fs
