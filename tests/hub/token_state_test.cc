// SPDX-License-Identifier: Apache-2.0
#include "hub/token_state.h"

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"

namespace hubvfs::hub {
namespace {

class TokenStateTest : public ::testing::Test {
 protected:
  ManualClock clock_;
  std::string token_ = "hf_firstone";
  TokenState state_{[this] { return token_; }, "HF_TOKEN", clock_};
};

TEST_F(TokenStateTest, ItIsAskedForEachTime) {
  EXPECT_EQ(state_.ask(), "hf_firstone");
  const auto before = state_.changes();
  EXPECT_EQ(state_.ask(), "hf_firstone");
  EXPECT_EQ(state_.changes(), before);
  token_ = "hf_otherone";
  EXPECT_EQ(state_.ask(), "hf_otherone");
  EXPECT_NE(state_.changes(), before);
}

TEST_F(TokenStateTest, WhatMustNotStandInAHeaderIsNone) {
  for (const char* bad : {"", "short", "hf_with blank", "hf_line\r\nX-Evil: 1"}) {
    token_ = bad;
    EXPECT_EQ(state_.ask(), "") << bad;
    EXPECT_EQ(state_.name(), "") << bad;
  }
}

TEST_F(TokenStateTest, ItsNameIsItsOrigin) {
  (void)state_.ask();
  EXPECT_EQ(state_.name(), "the token from HF_TOKEN");
  TokenState odd([this] { return token_; }, "/home/\x1b[31m/token", clock_);
  (void)odd.ask();
  EXPECT_EQ(odd.name(), "the token from /home/\\x1b[31m/token");
}

TEST_F(TokenStateTest, ARefusedOneIsUselessForAMinuteAndAnotherIsNot) {
  EXPECT_TRUE(state_.note_useless("hf_firstone"));
  EXPECT_FALSE(state_.note_useless("hf_firstone"));
  EXPECT_TRUE(state_.is_useless("hf_firstone"));
  EXPECT_FALSE(state_.is_useless("hf_otherone"));
  EXPECT_FALSE(state_.is_useless(""));
  clock_.advance(std::chrono::seconds(61));
  EXPECT_FALSE(state_.is_useless("hf_firstone"));
}

}  // namespace
}  // namespace hubvfs::hub
