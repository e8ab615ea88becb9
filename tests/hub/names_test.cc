// SPDX-License-Identifier: Apache-2.0
#include "hub/names.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace hubvfs::hub {
namespace {

TEST(HubProtocolA1, RepoNamesAsTheHubMakesThem) {
  for (const char* name : {"gpt2", "acme/tiny-llm", "a/b", "THUDM/Open-AutoGLM", "x_y/z.1", "_a/_b",
                           "google-bert/bert-base-uncased"}) {
    EXPECT_TRUE(is_repo_name(name)) << name;
  }
  EXPECT_TRUE(is_repo_name(std::string(47, 'a') + "/" + std::string(48, 'b')));
}

TEST(HubProtocolA1, OtherRepoNamesAreRefused) {
  for (const char* name :
       {"",    "/",     "a/",   "/a",   "a/b/c", "a--b", "a/b--c",  "a..b", "-a",
        "a-",  ".a",    "a.",   "a/.b", "a/-b",  "a-/b", "a/b.git", "a b",  "a/b?c",
        "a#b", "a%2fb", "a\\b", "a@b",  "ä/b",   "a\nb", "..",      "."}) {
    EXPECT_FALSE(is_repo_name(name)) << name;
  }
  EXPECT_FALSE(is_repo_name(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_repo_name(std::string(48, 'a') + "/" + std::string(48, 'b')));
}

TEST(HubProtocolA1, AnOwnerIsOnePart) {
  EXPECT_TRUE(is_repo_name_part("acme"));
  EXPECT_FALSE(is_repo_name_part("acme/x"));
  EXPECT_FALSE(is_repo_name_part(""));
}

TEST(HubProtocolB, RevisionsAsGitAllowsThem) {
  for (const char* revision : {"main", "v1.0", "refs/pr/1", "feat/x-y_z", ".hidden",
                               "28061c75e6a9e6e5d8a8b96182cf09a937444067"}) {
    EXPECT_TRUE(is_revision(revision)) << revision;
  }
  EXPECT_TRUE(is_revision(std::string(255, 'a')));
}

TEST(HubProtocolB, OtherRevisionsAreRefused) {
  for (const char* revision : {"", "-x", "/x", "x/", "a//b", "a..b", "..", ".", "a/./b", "./a",
                               "a/.", "main?x", "a#b", "a b", "a%2fb", "a\r\nb", "a@b", "ä"}) {
    EXPECT_FALSE(is_revision(revision)) << revision;
  }
  EXPECT_FALSE(is_revision(std::string(256, 'a')));
  EXPECT_FALSE(is_revision(std::string_view("a\0b", 3)));
}

TEST(HubProtocolB, OnlyFortyHexDigitsAreACommit) {
  EXPECT_TRUE(is_commit_id("28061c75e6a9e6e5d8a8b96182cf09a937444067"));
  for (const char* name : {"", "28061c7", "main", "28061C75E6A9E6E5D8A8B96182CF09A937444067",
                           "28061c75e6a9e6e5d8a8b96182cf09a9374440670", "refs/pr/1"}) {
    EXPECT_FALSE(is_commit_id(name)) << name;
  }
}

TEST(Names, ComponentsMayHoldAnyByteButSlashAndNul) {
  for (const char* name : {"a", " ", "a b#%?.txt", "\x1b[31m", "\xff\xfe", "...", "ünï"}) {
    EXPECT_TRUE(is_path_component(name)) << name;
  }
  EXPECT_TRUE(is_path_component(std::string(255, 'x')));
  for (const char* name : {"", ".", "..", "a/b", "/"})
    EXPECT_FALSE(is_path_component(name)) << name;
  EXPECT_FALSE(is_path_component(std::string(256, 'x')));
  EXPECT_FALSE(is_path_component(std::string_view("a\0b", 3)));
}

TEST(Names, PathsAreComponents) {
  EXPECT_TRUE(is_repo_path("a"));
  EXPECT_TRUE(is_repo_path("a/b c/d.txt"));
  for (const char* path : {"", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "./a"}) {
    EXPECT_FALSE(is_repo_path(path)) << path;
  }
}

TEST(Names, PathsHaveLimits) {
  std::string deep = "a";
  for (int i = 1; i < 128; ++i) deep += "/a";
  EXPECT_TRUE(is_repo_path(deep));
  EXPECT_FALSE(is_repo_path(deep + "/a"));
  std::string long_path = std::string(255, 'x');
  while (long_path.size() + 256 <= 4096) long_path += "/" + std::string(255, 'x');
  EXPECT_TRUE(is_repo_path(long_path));
  EXPECT_FALSE(is_repo_path(long_path + "/" + std::string(255, 'x')));
}

}  // namespace
}  // namespace hubvfs::hub
