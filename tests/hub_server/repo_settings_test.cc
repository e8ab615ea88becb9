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

TEST(RepoSettings, RefsOfEachKindByTheirWholeNames) {
  const auto settings = parse_repo_settings(
      R"({"branches": {"main": "2026-03", "feat/x": "x"}, "tags": {"v1.0": "2026-03"},
          "pulls": {"12": "pr"}, "converts": {"parquet": "pq"}})");
  ASSERT_TRUE(settings) << settings.error().context;
  EXPECT_EQ(settings->refs, (std::map<std::string, std::string>{{"refs/heads/main", "2026-03"},
                                                                {"refs/heads/feat/x", "x"},
                                                                {"refs/tags/v1.0", "2026-03"},
                                                                {"refs/pr/12", "pr"},
                                                                {"refs/convert/parquet", "pq"}}));
}

TEST(RepoSettings, WhoSeesWhatAndWhoHasAGrant) {
  const auto settings = [](const char* json) { return *parse_repo_settings(json); };
  const RepoSettings open = settings("{}");
  EXPECT_TRUE(open.may_see("") && open.has_grant(""));
  const RepoSettings hidden = settings(R"({"private": true, "readers": ["ada"]})");
  EXPECT_TRUE(hidden.may_see("ada"));
  EXPECT_FALSE(hidden.may_see("bob") || hidden.may_see(""));
  const RepoSettings manual =
      settings(R"({"gated": "manual", "readers": ["ada"], "pending": ["eve"]})");
  EXPECT_TRUE(manual.may_see("") && manual.has_grant("ada"));
  EXPECT_FALSE(manual.has_grant("eve") || manual.has_grant("bob") || manual.has_grant(""));
  const RepoSettings automatic =
      settings(R"({"gated": "auto", "readers": ["ada"], "pending": ["eve"]})");
  EXPECT_TRUE(automatic.has_grant("ada") && automatic.has_grant("eve"));
  EXPECT_FALSE(automatic.has_grant("bob") || automatic.has_grant(""));
}

TEST(RepoSettings, ErrorsSayWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"privat": true})", "unknown key \"privat\" (known: private, gated, disabled, readers, "},
      {R"({"private": "yes"})", "\"private\" must be true or false"},
      {R"({"gated": true})", "\"gated\" must be false, \"auto\" or \"manual\""},
      {R"({"readers": [7]})", "\"readers\" must list names"},
      {R"({"readers": "ada"})", "\"readers\" has a value of the wrong kind"},
      {R"({"tags": ["v1"]})", "\"tags\" has a value of the wrong kind"},
      {R"({"private": false, "private": true})", "\"private\" is there twice"},
      {R"({"tags": {"v1": "a", "v1": "b"}})", "\"tags\": \"v1\" is there twice"},
      {R"({"tags": {"v1": "../x"}})", "\"tags\": \"v1\" must name a folder in .hubvfs-revisions"},
      {R"({"pulls": {"one": "x"}})", "\"pulls\": \"one\" is not a number such as 1"},
      {R"({"branches": {"v1": "a"}, "tags": {"v1": "b"}})", "\"v1\" is a branch and a tag"},
      {R"([])", "it is no JSON object"},
      {R"({"private": tru})", "malformed at byte 1"}};
  for (const auto& [json, what] : cases) {
    const auto settings = parse_repo_settings(json);
    ASSERT_FALSE(settings) << json;
    EXPECT_TRUE(settings.error().context.starts_with(".hubvfs-repo.json: "));
    EXPECT_NE(settings.error().context.find(what), std::string::npos) << settings.error().context;
  }
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
                           R"({"aliases": ["../x"]})",
                           R"({"branches": "dev"})",
                           R"({"branches": {"dev": 1}})",
                           R"({"branches": {"dev": ["x"]}})",
                           R"({"branches": {"dev": {"x": "y"}}})",
                           R"({"branches": {"dev": ""}})",
                           R"({"branches": {"dev": "a/b"}})",
                           R"({"branches": {"dev": "."}})",
                           R"({"branches": {"dev": ".hidden"}})",
                           R"({"branches": {"dev": "a\u0000b"}})",
                           R"({"branches": {"": "x"}})",
                           R"({"branches": {"HEAD": "x"}})",
                           R"({"branches": {"refs/heads/dev": "x"}})",
                           R"({"branches": {"../x": "x"}})",
                           R"({"branches": {"a b": "x"}})",
                           R"({"branches": {"0123456789012345678901234567890123456789": "x"}})",
                           R"({"tags": {"main": "x"}})",
                           R"({"tags.v1": "x"})",
                           R"({"pulls": {"0": "x"}})",
                           R"({"pulls": {"01": "x"}})",
                           R"({"pulls": {"-1": "x"}})",
                           R"({"converts": {"a/b": "x"}})"}) {
    const auto settings = parse_repo_settings(text);
    ASSERT_FALSE(settings) << text;
    EXPECT_EQ(settings.error().code, ErrorCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace hubvfs::hub::server
