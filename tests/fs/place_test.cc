// SPDX-License-Identifier: Apache-2.0
#include "fs/place.h"

#include <gtest/gtest.h>

namespace hubvfs::fs {
namespace {

TEST(Place, NamesOfTheTreeBecomeReposAndRevisions) {
  const auto plain = Place::parse("acme", "llm");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->repo, "acme/llm");
  EXPECT_EQ(plain->revision, "");
  const auto pull = Place::parse("acme", "llm@refs%2Fpr%2F1");
  ASSERT_TRUE(pull);
  EXPECT_EQ(pull->revision, "refs/pr/1");
  EXPECT_EQ(pull->name(), "llm@refs%2Fpr%2F1");
  EXPECT_EQ(pull->text(), "acme/llm@refs/pr/1");
  EXPECT_TRUE(Place::parse("acme", "llm@" + std::string(40, 'a'))->pinned());
  EXPECT_EQ(Place::parse("", "gpt2")->owner(), "");
}

TEST(Place, NamesTheHubWouldRefuseAreNone) {
  for (const char* name : {".git", "..", "a--b", "a..b", "-a", "a.", "x@", "x@../y", "x@-a",
                           "x@a b", "x@%2F", "x@a%2F..%2Fb", "a b", "autorun.git"}) {
    EXPECT_FALSE(Place::parse("acme", name)) << name;
  }
}

}  // namespace
}  // namespace hubvfs::fs
