// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_settings.h"

#include <gtest/gtest.h>

namespace hubvfs::hub::server {
namespace {

TEST(RepoSettings, AllKeys) {
  const auto settings = parse_repo_settings(
      R"({"private": true, "gated": "manual", "readers": ["ada", "bob"], "pending": ["eve"],
          "disabled": true, "aliases": ["old/name", "bare"]})");
  ASSERT_TRUE(settings);
  EXPECT_TRUE(settings->is_private);
  EXPECT_EQ(settings->gate, Gate::kManual);
  EXPECT_EQ(settings->readers, (std::vector<std::string>{"ada", "bob"}));
  EXPECT_EQ(settings->pending, std::vector<std::string>{"eve"});
  EXPECT_TRUE(settings->disabled);
  EXPECT_EQ(settings->aliases, (std::vector<std::string>{"old/name", "bare"}));
}

TEST(RepoSettings, EveryKeyIsOptional) {
  const auto settings = parse_repo_settings(R"({"gated": false, "readers": []})");
  ASSERT_TRUE(settings);
  EXPECT_EQ(*settings, RepoSettings());
}

TEST(RepoSettings, AnythingElseIsRefused) {
  for (const char* text : {"",
                           "{",
                           "[]",
                           "true",
                           "\"private\"",
                           R"({"privat": true})",
                           R"({"private": "yes"})",
                           R"({"private": 1})",
                           R"({"private": null})",
                           R"({"gated": true})",
                           R"({"gated": "maybe"})",
                           R"({"readers": "ada"})",
                           R"({"readers": [1]})",
                           R"({"readers": [["ada"]]})",
                           R"({"readers": [""]})",
                           R"({"readers": {"ada": true}})",
                           R"({"private": {"x": true}})",
                           R"({"private": true, "private": false})",
                           R"({"readers": [], "readers": ["x"]})",
                           R"({"private": true} x)",
                           R"({"nested": {"private": true}})",
                           R"({"aliases": ["../x"]})"}) {
    const auto settings = parse_repo_settings(text);
    ASSERT_FALSE(settings) << text;
    EXPECT_EQ(settings.error().code, ErrorCode::kInvalidArgument) << text;
  }
}

TEST(TokenUsers, LinesOfTokenAndUser) {
  const auto tokens = TokenUsers::parse("# tokens\n\nhf_abcdefgh ada\r\n  hf_12345678\tbob  \n");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->user_of("hf_abcdefgh"), "ada");
  EXPECT_EQ(tokens->user_of("hf_12345678"), "bob");
  EXPECT_EQ(tokens->user_of("hf_other"), "");
  EXPECT_EQ(tokens->user_of(""), "");
}

TEST(TokenUsers, BadLinesAreNamedByNumberWithoutTheirContent) {
  for (const char* line :
       {"hf_abcdefgh", "short ada", "hf_abcdefgh two words", "hf_abcdefgh ada\nhf_abcdefgh bob",
        "hf_abc\x01"
        "defgh ada"}) {
    const auto tokens = TokenUsers::parse(std::string("# first\n") + line + "\n");
    ASSERT_FALSE(tokens) << line;
    EXPECT_EQ(tokens.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(tokens.error().context.find("line "), std::string::npos);
    EXPECT_EQ(tokens.error().context.find("hf_abc"), std::string::npos);
  }
}

}  // namespace
}  // namespace hubvfs::hub::server
