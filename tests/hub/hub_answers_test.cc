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

TEST(RepoInfoAnswer, HasWhatWasAskedFor) {
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

TEST(RepoInfoAnswer, GatedIsFalseOrAWord) {
  EXPECT_EQ(parse_repo_info(info_text(R"(,"gated":false)"), RepoType::kModel)->gate, Gate::kNone);
  EXPECT_EQ(parse_repo_info(info_text(R"(,"gated":"auto")"), RepoType::kModel)->gate, Gate::kAuto);
  EXPECT_EQ(parse_repo_info(info_text(""), RepoType::kModel)->gate, Gate::kNone);
}

TEST(RepoInfoAnswer, IsPrivateUnlessItSaysOtherwise) {
  EXPECT_TRUE(parse_repo_info(info_text(""), RepoType::kModel)->is_private);
  EXPECT_TRUE(parse_repo_info(info_text(R"(,"private":null)"), RepoType::kModel)->is_private);
  EXPECT_FALSE(parse_repo_info(info_text(R"(,"private":false)"), RepoType::kModel)->is_private);
}

TEST(RepoInfoAnswer, WithoutIdOrCommitIsBad) {
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

TEST(RefsAnswer, AllFourListsAreOptional) {
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

TEST(RefsAnswer, RefsThatCannotBeAskedForAreLeftOut) {
  const auto refs = parse_repo_refs(
      R"({"branches":[{"name":"../x","ref":"refs/heads/x","targetCommit":")" + kCommit +
      R"("},{"name":"ok","ref":"refs/heads/ok","targetCommit":"short"},{"name":"a?b"}]})");
  ASSERT_TRUE(refs);
  EXPECT_TRUE(refs->branches.empty());
  EXPECT_FALSE(parse_repo_refs("[]"));
}

TEST(TreeAnswer, EntriesOfEachKind) {
  const auto page = parse_tree_page(
      R"([{"type":"directory","oid":"3dd2d2c86b6e81216d19de2bcbb92cde06f99f74","size":0,"path":"d"},)"
      R"({"type":"file","oid":")" + kCommit + R"(","size":41,"path":"d/config.json"},)"
      R"({"type":"file","oid":")" + kCommit + R"(","size":131,"lfs":{"oid":")" + kSha256 +
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

TEST(TreeAnswer, MaskedAndMalformedIdsAreNone) {
  const auto page = parse_tree_page(
      R"([{"type":"file","oid":"x","size":1,"path":"a"},{"type":"file","size":1,"path":"b"},)"
      R"({"type":"file","oid":")" + kCommit + R"(","size":5,"lfs":{"oid":")" +
      std::string(64, '*') + R"(","size":5},"path":"c"}])");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->size(), 3u);
  for (const auto& entry : *page) EXPECT_FALSE(entry.content) << entry.path;
  EXPECT_TRUE((*page)[2].is_lfs);
}

TEST(TreeAnswer, SizesThatAreNoneAreBad) {
  for (const char* size : {"-1", "1e3", "1.0", "\"41\"", "18446744073709551616",
                           "99999999999999999999", "17592186044417", "null", "true", "1e400", "[]"}) {
    const std::string text = std::string(R"([{"type":"file","path":"a","size":)") + size + "}]";
    const auto page = parse_tree_page(text);
    ASSERT_FALSE(page) << size;
    EXPECT_EQ(page.error().code, ErrorCode::kBadAnswer);
    EXPECT_FALSE(parse_tree_page(std::string(R"([{"type":"file","path":"a","size":1,"lfs":{"size":)") +
                                 size + "}}]"))
        << size;
  }
  EXPECT_TRUE(parse_tree_page(R"([{"type":"file","path":"a","size":17592186044416}])"));
}

TEST(TreeAnswer, OtherFormsAreBad) {
  for (const char* bad : {"", "{}", "null", "[1]", "[\"a\"]", "[null]", "[{}]", "[[]",
                          R"([{"type":"file","path":"a"}])", R"([{"type":"file","size":1}])",
                          R"([{"path":"a","size":1}])", R"([{"type":"file","path":7,"size":1}])",
                          "[{\"type\":\"file\",\"path\":\"\xff\",\"size\":1}]"}) {
    EXPECT_FALSE(parse_tree_page(bad)) << bad;
  }
  EXPECT_TRUE(parse_tree_page("[]"));
}

TEST(TreeAnswer, HostilePathsArriveWhole) {
  const auto page = parse_tree_page(R"([{"type":"file","path":"a\u0000b/../c","size":1}])");
  ASSERT_TRUE(page);
  EXPECT_EQ((*page)[0].path, std::string("a\0b/../c", 8));
}

TEST(TreeAnswer, DeepAndWideDocumentsAreBad) {
  std::string deep = R"([{"type":"file","path":"a","size":1,"x":)";
  deep += std::string(200'000, '[') + std::string(200'000, ']') + "}]";
  EXPECT_FALSE(parse_tree_page(deep));
  EXPECT_FALSE(parse_tree_page("[{\"" + std::string(300, 'k') + "\":1}]"));
  EXPECT_FALSE(parse_tree_page("[" + std::string(kMaxPageBytes, ' ') + "]"));
}

TEST(RepoPageAnswer, ReposOfOnePage) {
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

HttpHead head_of(int status, const std::string& code = "") {
  HttpHead head;
  head.status = status;
  head.error_code = code;
  return head;
}

TEST(ErrorOfAnswer, FollowsTheHubsMatrix) {
  const auto code = [](int status, const std::string& error, bool token) {
    return error_of_answer(head_of(status, error), token, "x").code;
  };
  EXPECT_EQ(code(401, "", false), ErrorCode::kNotFound);
  EXPECT_EQ(code(401, "", true), ErrorCode::kPermissionDenied);
  EXPECT_EQ(code(401, "GatedRepo", false), ErrorCode::kGated);
  EXPECT_EQ(code(403, "GatedRepo", true), ErrorCode::kGated);
  EXPECT_EQ(code(403, "", true), ErrorCode::kPermissionDenied);
  EXPECT_EQ(code(404, "RepoNotFound", true), ErrorCode::kNotFound);
  EXPECT_EQ(code(404, "RevisionNotFound", false), ErrorCode::kNotFound);
  EXPECT_EQ(code(404, "EntryNotFound", false), ErrorCode::kNotFound);
  EXPECT_EQ(code(404, "", false), ErrorCode::kBadAnswer);
  EXPECT_EQ(code(400, "", false), ErrorCode::kBadAnswer);
  EXPECT_EQ(code(429, "", false), ErrorCode::kRateLimited);
  EXPECT_EQ(code(408, "", false), ErrorCode::kUnavailable);
  EXPECT_EQ(code(503, "", false), ErrorCode::kUnavailable);
  EXPECT_EQ(code(204, "", false), ErrorCode::kBadAnswer);
}

TEST(ErrorOfAnswer, ForeignWordsAreEscaped) {
  HttpHead head = head_of(403);
  head.error_message = "no\x1b[31m";
  EXPECT_EQ(error_of_answer(head, false, "x").context, "x: HTTP 403, no\\x1b[31m");
}

}  // namespace
}  // namespace hubvfs::hub
