// SPDX-License-Identifier: Apache-2.0
// Expected ids are what git 2.39 prints for the same content.
#include <gtest/gtest.h>

#include "base/digest.h"
#include "hub/server/git_attributes.h"
#include "hub/server/git_objects.h"

namespace hubvfs::hub::server {
namespace {

TEST(GitObjects, BlobIdIsGits) {
  EXPECT_EQ(git_object_oid("blob", ""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(git_object_oid("blob", "dot"), "4ad114194a30c99495621b2637d246a4f0dcbe77");
}

TEST(GitObjects, PointerIdIsGitsIdOfThePointerText) {
  const std::string sha256 = sha256_hex(as_bytes("lfs contents"));
  EXPECT_EQ(lfs_pointer(sha256, 12),
            "version https://git-lfs.github.com/spec/v1\n"
            "oid sha256:2c3f1fb8ec279834549a5d7c97f84ac914edf558b44b0b91a4a342ae801f494d\n"
            "size 12\n");
  EXPECT_EQ(lfs_pointer_oid(sha256, 12), "c961152a39c87314cb68274d3decb6f19ed5691f");
}

TEST(GitObjects, TreeSortsDirectoriesAsIfTheirNamesEndedInASlash) {
  const std::string expected = "dd81cd4d3119a2f589897da361dd9cbec578edbf";
  const std::vector<GitTreeEntry> entries = {
      {"a", true, "f115c6d5cfb15ca1a72429900dcaca0fd1057951"},
      {"a-b", true, "5a6245fda7dc0036e8bf9e166994416e59d90720"},
      {"a.b", false, "4ad114194a30c99495621b2637d246a4f0dcbe77"},
      {"config.json", false, "dc1fb7b6703fe03317c1a080b523bf475f3d4818"},
      {"empty.txt", false, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
      {"n\xc3\xa4me #%.txt", false, "99fe40df261f7d4afd1391fe2739b2c7466fe968"},
      {"tokenizer", true, "cbf6da8b9a1555fa4b1069c3e63a13bb2ac1c8ad"}};
  EXPECT_EQ(git_tree_oid(entries), expected);
  EXPECT_EQ(git_tree_oid({entries.rbegin(), entries.rend()}), expected);
  EXPECT_EQ(git_tree_oid({}), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
}

TEST(GitObjects, CommitIdIsOfARealCommitThatDependsOnTheTreeOnly) {
  EXPECT_EQ(commit_oid_of_tree("dd81cd4d3119a2f589897da361dd9cbec578edbf"),
            "9d588afdbefe1d32bd3ea85d1a976c15f9a7e197");
}

TEST(GitAttributes, ComponentPatternsMatchAsInAShell) {
  EXPECT_TRUE(matches_component("*.bin", "model.bin"));
  EXPECT_TRUE(matches_component("*.bin", ".bin"));
  EXPECT_FALSE(matches_component("*.bin", "model.bin.txt"));
  EXPECT_TRUE(matches_component("m?del*", "model-00001"));
  EXPECT_TRUE(matches_component("[a-cx].[!0-9]", "b.z"));
  EXPECT_FALSE(matches_component("[a-cx].[!0-9]", "b.7"));
  EXPECT_FALSE(matches_component("[a-cx].[^0-9]", "d.z"));
  EXPECT_TRUE(matches_component("[]a]", "]"));
  EXPECT_TRUE(matches_component("[ab", "[ab"));
  EXPECT_TRUE(matches_component("\\*", "*"));
  EXPECT_FALSE(matches_component("\\*", "x"));
  EXPECT_TRUE(matches_component("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(matches_component("a*b*c", "aXbYbZ"));
}

TEST(GitAttributes, HostilePatternEndsSoon) {
  std::string pattern;
  for (int i = 0; i < 300; ++i) pattern += "*a";
  EXPECT_FALSE(matches_component(pattern + "b", std::string(255, 'a')));
}

TEST(GitAttributes, PatternWithoutSlashMatchesAtAnyDepth) {
  GitAttributes attributes;
  attributes.add("", "# comment\n*.bin filter=lfs diff=lfs merge=lfs -text\n");
  EXPECT_TRUE(attributes.is_lfs("a.bin"));
  EXPECT_TRUE(attributes.is_lfs("deep/er/a.bin"));
  EXPECT_FALSE(attributes.is_lfs("a.txt"));
}

TEST(GitAttributes, PatternWithSlashIsAnchored) {
  GitAttributes attributes;
  attributes.add("",
                 "/top.dat filter=lfs\nsub/*.dat filter=lfs\n**/logs/* filter=lfs\n"
                 "data/** filter=lfs\nx/**/y filter=lfs\n");
  EXPECT_TRUE(attributes.is_lfs("top.dat"));
  EXPECT_FALSE(attributes.is_lfs("sub/top.dat/x"));
  EXPECT_TRUE(attributes.is_lfs("sub/a.dat"));
  EXPECT_FALSE(attributes.is_lfs("sub/deeper/a.dat"));
  EXPECT_FALSE(attributes.is_lfs("other/sub/a.dat"));
  EXPECT_TRUE(attributes.is_lfs("a/b/logs/today"));
  EXPECT_TRUE(attributes.is_lfs("data/a/b"));
  EXPECT_FALSE(attributes.is_lfs("data"));
  EXPECT_TRUE(attributes.is_lfs("x/y"));
  EXPECT_TRUE(attributes.is_lfs("x/1/2/y"));
}

TEST(GitAttributes, LaterLinesAndDeeperFilesWin) {
  GitAttributes attributes;
  attributes.add("",
                 "*.bin filter=lfs\nsmall.bin -filter\nother.bin !filter\ncut.bin filter=cut\n");
  attributes.add("sub", "*.bin -filter\n/mine.txt filter=lfs\n\"with space.txt\" filter=lfs\n");
  EXPECT_FALSE(attributes.is_lfs("small.bin"));
  EXPECT_FALSE(attributes.is_lfs("other.bin"));
  EXPECT_FALSE(attributes.is_lfs("cut.bin"));
  EXPECT_TRUE(attributes.is_lfs("large.bin"));
  EXPECT_FALSE(attributes.is_lfs("sub/large.bin"));
  EXPECT_TRUE(attributes.is_lfs("sub/mine.txt"));
  EXPECT_FALSE(attributes.is_lfs("mine.txt"));
  EXPECT_TRUE(attributes.is_lfs("sub/with space.txt"));
  EXPECT_FALSE(attributes.is_lfs("subway/mine.txt"));
}

TEST(GitAttributes, WhatGitIgnoresIsIgnored) {
  GitAttributes attributes;
  attributes.add("", "!*.txt filter=lfs\ndir/ filter=lfs\n*.md\n*.py text\n");
  EXPECT_FALSE(attributes.is_lfs("a.txt"));
  EXPECT_FALSE(attributes.is_lfs("dir/a"));
  EXPECT_FALSE(attributes.is_lfs("a.md"));
  EXPECT_FALSE(attributes.is_lfs("a.py"));
}

}  // namespace
}  // namespace hubvfs::hub::server
