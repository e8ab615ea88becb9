// SPDX-License-Identifier: Apache-2.0
#include "fs/repo_scope.h"

#include <gtest/gtest.h>

namespace hubvfs::fs {
namespace {

TEST(RepoScope, UrlsNameRepoRevisionAndFolder) {
  struct Case {
    const char* url;
    hub::RepoType type;
    const char* repo;
    const char* revision;
    const char* sub;
    const char* again;  // null: the same
  };
  const std::string commit(40, 'a');
  const Case cases[] = {
      {"hf://acme/llm", hub::RepoType::kModel, "acme/llm", "", "", nullptr},
      {"hf://acme/llm/", hub::RepoType::kModel, "acme/llm", "", "", "hf://acme/llm"},
      {"hf://acme/llm@v1.2", hub::RepoType::kModel, "acme/llm", "v1.2", "", nullptr},
      {"hf://acme/llm@refs%2fpr%2F1", hub::RepoType::kModel, "acme/llm", "refs/pr/1", "",
       "hf://acme/llm@refs%2Fpr%2F1"},
      {"hf://acme/llm@main/a/b c@1%20/d/", hub::RepoType::kModel, "acme/llm", "main",
       "a/b c@1%20/d", "hf://acme/llm@main/a/b c@1%20/d"},
      {"hf://acme/llm/sub@x", hub::RepoType::kModel, "acme/llm", "", "sub@x", nullptr},
      {"hf://datasets/acme/texts/en", hub::RepoType::kDataset, "acme/texts", "", "en", nullptr},
      {"hf://spaces/acme/demo@main", hub::RepoType::kSpace, "acme/demo", "main", "", nullptr},
      {"hf://gpt2", hub::RepoType::kModel, "gpt2", "", "", nullptr},
      {"hf://gpt2@main/onnx", hub::RepoType::kModel, "gpt2", "main", "onnx", nullptr},
      {"hf://datasets/squad", hub::RepoType::kDataset, "squad", "", "", nullptr},
      {"hf://datasets-fan/llm", hub::RepoType::kModel, "datasets-fan/llm", "", "", nullptr},
  };
  for (const Case& c : cases) {
    const auto scope = RepoScope::parse(c.url);
    ASSERT_TRUE(scope) << c.url << ": " << scope.error().context;
    EXPECT_EQ(scope->type, c.type) << c.url;
    EXPECT_EQ(scope->repo, c.repo) << c.url;
    EXPECT_EQ(scope->revision, c.revision) << c.url;
    EXPECT_EQ(scope->sub, c.sub) << c.url;
    EXPECT_EQ(scope->url(), c.again == nullptr ? c.url : c.again);
  }
  EXPECT_TRUE(RepoScope::parse("hf://acme/llm@" + commit)->place().pinned());
  EXPECT_FALSE(RepoScope::parse("hf://acme/llm@main")->place().pinned());
}

TEST(RepoScope, WhatIsWrongIsSaidWithTheForm) {
  struct Case {
    std::string url;
    const char* why;
  };
  const Case cases[] = {
      {"", "not a hf:// URL"},
      {"acme/llm", "not a hf:// URL"},
      {"https://huggingface.co/acme/llm", "not a hf:// URL"},
      {"hf:/acme/llm", "not a hf:// URL"},
      {"hf://", "names no repo"},
      {"hf:///llm", "names no repo"},
      {"hf://datasets", "names no repo"},
      {"hf://datasets/", "names no repo"},
      {"hf://spaces//demo", "names no repo"},
      {"hf://@main", "names no repo"},
      {"hf://acme/@main", "name of a repo"},
      {"hf://acme/l--m", "name of a repo"},
      {"hf://acme/..", "name of a repo"},
      {"hf://../llm", "name of a repo"},
      {"hf://acme/l m", "name of a repo"},
      {"hf://acme/" + std::string(100, 'x'), "name of a repo"},
      {"hf://acme/llm@", "a revision"},
      {"hf://acme/llm@-x", "a revision"},
      {"hf://acme/llm@a..b", "a revision"},
      {"hf://acme/llm@v1@v2", "a revision"},
      {"hf://acme/llm@a%20b", "a revision"},
      {"hf://acme/llm@refs/pr/1", "is written %2F"},
      {"hf://acme/llm//", "a folder"},
      {"hf://acme/llm//x", "a folder"},
      {"hf://acme/llm/a//b", "a folder"},
      {"hf://acme/llm/..", "a folder"},
      {"hf://acme/llm@main/a/./b", "a folder"},
      {"hf://acme/llm/" + std::string("a\0b", 3), "a folder"},
      {"hf://acme/llm/" + std::string(300, 'x'), "a folder"},
  };
  for (const Case& c : cases) {
    const auto scope = RepoScope::parse(c.url);
    ASSERT_FALSE(scope) << c.url;
    EXPECT_EQ(scope.error().code, ErrorCode::kInvalidArgument) << c.url;
    EXPECT_NE(scope.error().context.find(c.why), std::string::npos) << scope.error().context;
    EXPECT_NE(scope.error().context.find("hf://[datasets/|spaces/]ORG/NAME[@REVISION][/FOLDER]"),
              std::string::npos)
        << scope.error().context;
  }
}

TEST(RepoScope, AHostileUrlIsEscapedInItsError) {
  const auto scope = RepoScope::parse("hf://acme/\x1b[2J");
  ASSERT_FALSE(scope);
  EXPECT_EQ(scope.error().context.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace hubvfs::fs
