// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_answers.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

const std::string kCommit = "28061c75e6a9e6e5d8a8b96182cf09a937444067";
const std::string kSha256 = "38b15413f77776f24233d924b11a3cf484b448f46677ae09db57f1447ebb6ef8";

std::string info_text(const std::string& more) {
  return R"({"_id":"x","id":"acme/tiny-llm","sha":")" + kCommit + "\"" + more + "}";
}

TEST(HubProtocolA2, InfoHasWhatWasAskedFor) {
  const auto info = parse_repo_info(
      info_text(R"(,"private":true,"gated":"manual","disabled":true,)"
                R"("lastModified":"2026-03-02T10:11:12.000Z","cardData":{"id":"other","sha":1})"),
      RepoType::kDataset);
  ASSERT_TRUE(info) << info.error().context;
  EXPECT_EQ(info->id, (RepoId{RepoType::kDataset, "acme/tiny-llm"}));
  EXPECT_EQ(info->commit, kCommit);
  EXPECT_EQ(info->last_modified, 1'772'446'272);
  EXPECT_TRUE(info->is_private);
  EXPECT_TRUE(info->disabled);
  EXPECT_EQ(info->gate, Gate::kManual);
}

TEST(HubProtocolA2, AnExpandedAnswerHasWhatWasNamedOnly) {
  const auto info = parse_repo_info(
      R"({"_id":"6612ab34cd56ef7890123456","id":"acme/tiny-llm","sha":")" + kCommit +
          R"(","gated":false,"private":false,"lastModified":"2026-03-02T10:11:12.000Z"})",
      RepoType::kModel);
  ASSERT_TRUE(info) << info.error().context;
  EXPECT_EQ(info->commit, kCommit);
  EXPECT_FALSE(info->is_private);
  EXPECT_FALSE(info->disabled);
}

TEST(HubProtocolA2, WhatIsNotKnownIsIgnored) {
  const auto info = parse_repo_info(
      info_text(
          R"(,"modelId":"acme/other","author":"acme","private":false,"gated":"auto","downloads":12,)"
          R"("likes":1,"tags":["mit",{"id":"acme/x"}],"pipeline_tag":"feature-extraction",)"
          R"("siblings":[{"rfilename":"config.json","size":41,"blobId":"ab","lfs":{"sha256":"x",)"
          R"("size":1,"pointerSize":131}}],"model-index":null,"widgetData":[{"text":"x"}],)"
          R"("config":{"id":"acme/x","sha":"none","gated":true,"private":true},"spaces":["a/b"],)"
          R"("safetensors":{"parameters":{"F32":760003},"total":760003},"gguf":{},"usedStorage":1e9,)"
          R"("createdAt":"2022-03-02T23:29:04.000Z","xetEnabled":true,"transformersInfo":{"a":[[1]]})"),
      RepoType::kModel);
  ASSERT_TRUE(info) << info.error().context;
  EXPECT_EQ(info->id.name, "acme/tiny-llm");
  EXPECT_EQ(info->commit, kCommit);
  EXPECT_EQ(info->gate, Gate::kAuto);
  EXPECT_FALSE(info->is_private);
}

TEST(HubProtocolA2, GatedIsFalseOrAWord) {
  EXPECT_EQ(parse_repo_info(info_text(R"(,"gated":false)"), RepoType::kModel)->gate, Gate::kNone);
  EXPECT_EQ(parse_repo_info(info_text(R"(,"gated":"auto")"), RepoType::kModel)->gate, Gate::kAuto);
  EXPECT_EQ(parse_repo_info(info_text(""), RepoType::kModel)->gate, Gate::kNone);
}

TEST(HubProtocolA2, ARepoIsPrivateUnlessItSaysOtherwise) {
  EXPECT_TRUE(parse_repo_info(info_text(""), RepoType::kModel)->is_private);
  EXPECT_TRUE(parse_repo_info(info_text(R"(,"private":null)"), RepoType::kModel)->is_private);
  EXPECT_FALSE(parse_repo_info(info_text(R"(,"private":false)"), RepoType::kModel)->is_private);
}

TEST(HubProtocolA2, InfoWithoutIdOrCommitIsBad) {
  for (const std::string& bad :
       {std::string("{}"), std::string("[]"), std::string("\"x\""), std::string("1"),
        std::string(R"({"id":"acme/x"})"), R"({"sha":")" + kCommit + "\"}",
        R"({"id":"../x","sha":")" + kCommit + "\"}", R"({"id":7,"sha":")" + kCommit + "\"}",
        std::string(R"({"id":"acme/x","sha":"main"})"), info_text("").substr(0, 40),
        info_text("") + "x"}) {
    const auto info = parse_repo_info(bad, RepoType::kModel);
    ASSERT_FALSE(info) << bad;
    EXPECT_EQ(info.error().code, ErrorCode::kBadAnswer) << bad;
  }
}

TEST(HubProtocolB, AllFourListsOfRefsAreOptional) {
  const auto none = parse_repo_refs("{}");
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->branches.empty());
  const auto refs = parse_repo_refs(
      R"({"branches":[{"name":"main","ref":"refs/heads/main","targetCommit":")" + kCommit +
      R"("}],"tags":[],"pullRequests":[{"name":"refs/pr/1","ref":"refs/pr/1","targetCommit":")" +
      kCommit + R"("}]})");
  ASSERT_TRUE(refs);
  ASSERT_EQ(refs->branches.size(), 1u);
  EXPECT_EQ(refs->branches[0].commit, kCommit);
  EXPECT_EQ(refs->pull_requests.size(), 1u);
}

TEST(HubProtocolB, RefsThatCannotBeAskedForAreLeftOut) {
  const auto refs = parse_repo_refs(
      R"({"branches":[{"name":"../x","ref":"refs/heads/x","targetCommit":")" + kCommit +
      R"("},{"name":"ok","ref":"refs/heads/ok","targetCommit":"short"},{"name":"a?b"}]})");
  ASSERT_TRUE(refs);
  EXPECT_TRUE(refs->branches.empty());
  EXPECT_FALSE(parse_repo_refs("[]"));
}

TEST(HubProtocolC2, TreeEntriesOfEachKind) {
  const auto page = parse_tree_page(
      R"([{"type":"directory","oid":"3dd2d2c86b6e81216d19de2bcbb92cde06f99f74","size":0,"path":"d"},)"
      R"({"type":"file","oid":")" +
      kCommit +
      R"(","size":41,"path":"d/config.json"},)"
      R"({"type":"file","oid":")" +
      kCommit + R"(","size":131,"lfs":{"oid":")" + kSha256 +
      R"(","size":760003,"pointerSize":131},"xetHash":"cc","path":"w"},)"
      R"({"type":"unknown","path":"submodule"}])");
  ASSERT_TRUE(page) << page.error().context;
  ASSERT_EQ(page->size(), 3u);
  EXPECT_EQ((*page)[0].kind, TreeEntry::Kind::kDirectory);
  EXPECT_EQ((*page)[1].path, "d/config.json");
  EXPECT_EQ((*page)[1].content->to_string(), "git-sha1:" + kCommit);
  EXPECT_EQ((*page)[2].size, 760003u);  // of the content, whatever the other field says
  EXPECT_TRUE((*page)[2].is_lfs);
  EXPECT_EQ((*page)[2].content->to_string(), "sha256:" + kSha256);
}

TEST(HubProtocolC2, AnExpandedEntryIsTheSameEntry) {
  const auto page = parse_tree_page(
      R"([{"type":"file","oid":")" + kCommit +
      R"(","size":41,"path":"config.json",)"
      R"("lastCommit":{"id":"x","title":"[].oid","date":"2026-03-02T10:11:12.000Z","oid":"no","size":9},)"
      R"("securityFileStatus":{"status":"safe","avScan":{"status":"safe","path":"no"}}}])");
  ASSERT_TRUE(page) << page.error().context;
  ASSERT_EQ(page->size(), 1u);
  EXPECT_EQ((*page)[0].path, "config.json");
  EXPECT_EQ((*page)[0].size, 41u);
  EXPECT_EQ((*page)[0].content->hex(), kCommit);
}

TEST(HubProtocolC2, EntriesComeInTheHubsOrder) {
  const auto page =
      parse_tree_page(R"([{"type":"file","path":"z","size":1},{"type":"directory","path":"a"},)"
                      R"({"type":"file","path":"a/b","size":0}])");
  ASSERT_TRUE(page);
  EXPECT_EQ((*page)[0].path, "z");
  EXPECT_EQ((*page)[1].path, "a");
  EXPECT_EQ((*page)[2].path, "a/b");
}

TEST(HubProtocolC3, AnEmptyRepoHasAnEmptyTree) {
  const auto page = parse_tree_page("[]");
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->empty());
}

TEST(HubProtocolC2, MaskedAndMalformedIdsAreNone) {
  const auto page = parse_tree_page(
      R"([{"type":"file","oid":"x","size":1,"path":"a"},{"type":"file","size":1,"path":"b"},)"
      R"({"type":"file","oid":")" +
      kCommit + R"(","size":5,"lfs":{"oid":")" + std::string(64, '*') +
      R"(","size":5},"xetHash":")" + std::string(64, '*') + R"(","path":"c"}])");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->size(), 3u);
  for (const auto& entry : *page) EXPECT_FALSE(entry.content) << entry.path;
  EXPECT_TRUE((*page)[2].is_lfs);
}

TEST(TreeAnswer, SizesThatAreNoneAreBad) {
  for (const char* size :
       {"-1", "1e3", "1.0", "\"41\"", "18446744073709551616", "99999999999999999999",
        "17592186044417", "null", "true", "1e400", "[]"}) {
    const std::string text = std::string(R"([{"type":"file","path":"a","size":)") + size + "}]";
    const auto page = parse_tree_page(text);
    ASSERT_FALSE(page) << size;
    EXPECT_EQ(page.error().code, ErrorCode::kBadAnswer);
    EXPECT_FALSE(parse_tree_page(
        std::string(R"([{"type":"file","path":"a","size":1,"lfs":{"size":)") + size + "}}]"))
        << size;
  }
  EXPECT_TRUE(parse_tree_page(R"([{"type":"file","path":"a","size":17592186044416}])"));
}

TEST(HubProtocolC2, OtherFormsOfATreeAreBad) {
  for (const char* bad : {"", "{}", "null", "[1]", "[\"a\"]", "[null]", "[{}]", "[[]",
                          R"([{"type":"file","path":"a"}])", R"([{"type":"file","size":1}])",
                          R"([{"path":"a","size":1}])", R"([{"type":"file","path":7,"size":1}])",
                          "[{\"type\":\"file\",\"path\":\"\xff\",\"size\":-1}]"}) {
    EXPECT_FALSE(parse_tree_page(bad)) << bad;
  }
  EXPECT_TRUE(parse_tree_page("[]"));
}

TEST(TreeAnswer, HostilePathsArriveWhole) {
  const auto page = parse_tree_page(R"([{"type":"file","path":"a\u0000b/../c","size":1}])");
  ASSERT_TRUE(page);
  EXPECT_EQ((*page)[0].path, std::string("a\0b/../c", 8));
}

TEST(TreeAnswer, OnePathThatIsNoTextCostsNoOther) {
  for (const std::string bad : {"\xff", "\xed\xa0\x80", "\\ud800", "\\udc00\\ud800", "caf\xe9"}) {
    const auto page = parse_tree_page(R"([{"type":"file","path":"a","size":1},{"path":")" + bad +
                                      R"(","type":"file","size":2},)"
                                      R"({"type":"file","path":"\ud83d\ude00","size":3}])");
    ASSERT_TRUE(page) << bad << page.error().context;
    ASSERT_EQ(page->size(), 3u) << bad;
    EXPECT_EQ((*page)[0].path, "a");
    EXPECT_NE((*page)[1].path.find('\0'), std::string::npos) << "no directory may hold it";
    EXPECT_EQ((*page)[2].path, "\xf0\x9f\x98\x80");
  }
}

TEST(RepoAnswers, TextThatIsNoneCostsNothingElse) {
  EXPECT_TRUE(parse_repo_info(R"({"id":"org/a","sha":")" + kCommit +
                                  R"(","siblings":[{"rfilename":"\ud800"}]})",
                              RepoType::kModel));
  const auto refs = parse_repo_refs(R"({"branches":[{"name":"\ud800","ref":"refs/heads/\ud800"},)"
                                    R"({"name":"main","ref":"refs/heads/main","targetCommit":")" +
                                    kCommit + R"("}]})");
  ASSERT_TRUE(refs) << refs.error().context;
  EXPECT_EQ(refs->branches.size(), 1u);
  const auto page = parse_repo_page(R"([{"id":"org/\ud800"},{"id":"org/a"}])", RepoType::kModel);
  ASSERT_TRUE(page) << page.error().context;
  EXPECT_EQ(page->repos.size(), 1u);
}

TEST(TreeAnswer, AnEmptyPathCostsNoOther) {
  const auto page = parse_tree_page(R"([{"type":"file","path":"","size":1},)"
                                    R"({"type":"file","path":"a","size":1}])");
  ASSERT_TRUE(page) << page.error().context;
  ASSERT_EQ(page->size(), 2u);
  EXPECT_EQ((*page)[0].path, "");
}

TEST(TreeAnswer, DeepAndWideDocumentsAreBad) {
  std::string deep = R"([{"type":"file","path":"a","size":1,"x":)";
  deep += std::string(200'000, '[') + std::string(200'000, ']') + "}]";
  EXPECT_FALSE(parse_tree_page(deep));
  EXPECT_FALSE(parse_tree_page("[{\"" + std::string(300, 'k') + "\":1}]"));
  EXPECT_FALSE(parse_tree_page("[" + std::string(kMaxPageBytes, ' ') + "]"));
}

TEST(HubProtocolA4, AnItemMayHaveMoreOrLess) {
  const auto page = parse_repo_page(
      R"([{"_id":"1","id":"acme/a","likes":1,"private":false,"downloads":12,"tags":["mit"],)"
      R"("createdAt":"2026-03-01T09:00:00.000Z","modelId":"acme/other","gated":"manual",)"
      R"("siblings":[{"rfilename":"x","id":"acme/y"}]},{"id":"acme/b"}])",
      RepoType::kDataset);
  ASSERT_TRUE(page) << page.error().context;
  ASSERT_EQ(page->repos.size(), 2u);
  EXPECT_EQ(page->repos[0].id, (RepoId{RepoType::kDataset, "acme/a"}));
  EXPECT_EQ(page->repos[1].last_modified, 0);
}

TEST(HubProtocolA4, ReposOfOnePage) {
  const auto page = parse_repo_page(
      R"([{"_id":"1","id":"acme/a","private":true,"lastModified":"2026-03-02T10:11:12.000Z",)"
      R"("tags":["x"]},{"id":"../evil"},{"id":"gpt2"}])",
      RepoType::kModel);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->repos.size(), 2u);
  EXPECT_EQ(page->repos[0].id, (RepoId{RepoType::kModel, "acme/a"}));
  EXPECT_TRUE(page->repos[0].is_private);
  EXPECT_EQ(page->repos[0].last_modified, 1'772'446'272);
  EXPECT_EQ(page->repos[1].id.name, "gpt2");
  EXPECT_FALSE(parse_repo_page("{}", RepoType::kModel));
}

}  // namespace
}  // namespace hubvfs::hub
