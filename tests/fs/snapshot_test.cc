// SPDX-License-Identifier: Apache-2.0
#include "fs/snapshot.h"

#include <gtest/gtest.h>

#include <random>

namespace hubvfs::fs {
namespace {

const std::string kSha(40, 'a');

hub::TreeEntry file(const std::string& path, std::uint64_t size = 1) {
  hub::TreeEntry entry;
  entry.path = path;
  entry.size = size;
  entry.content = *ContentId::create(ContentId::Algorithm::kGitSha1, kSha, size);
  return entry;
}

hub::TreeEntry directory(const std::string& path) {
  hub::TreeEntry entry;
  entry.kind = hub::TreeEntry::Kind::kDirectory;
  entry.path = path;
  return entry;
}

std::vector<std::string> names_in(const Snapshot& snapshot, std::uint32_t directory) {
  std::vector<std::string> names;
  const Snapshot::Entry& entry = snapshot.entry(directory);
  for (std::uint32_t i = 0; i < entry.child_count; ++i) {
    names.emplace_back(snapshot.entry(entry.first_child + i).name);
  }
  return names;
}

TEST(Snapshot, ChildrenAreFoundByNameAndPath) {
  const Snapshot made = Snapshot::build(
      {file("z.txt"), directory("sub"), file("sub/b", 7), file("sub/a"), file("a b#%.txt")});
  EXPECT_EQ(names_in(made, 0), (std::vector<std::string>{"a b#%.txt", "sub", "z.txt"}));
  const auto sub = made.child(0, "sub");
  ASSERT_TRUE(sub);
  EXPECT_TRUE(made.entry(*sub).is_directory);
  const auto b = made.child(*sub, "b");
  ASSERT_TRUE(b);
  EXPECT_EQ(made.entry(*b).size, 7u);
  EXPECT_EQ(made.path(*b), "sub/b");
  EXPECT_EQ(made.path(0), "");
  EXPECT_FALSE(made.child(*sub, "c"));
  EXPECT_FALSE(made.child(0, "b"));
}

TEST(Snapshot, SameListingInAnotherOrderGivesTheSameNumbers) {
  std::vector<hub::TreeEntry> listing;
  for (int i = 0; i < 300; ++i) {
    listing.push_back(file("d" + std::to_string(i % 7) + "/e" + std::to_string(i % 3) + "/f" +
                           std::to_string(i)));
  }
  const Bytes first = Snapshot::build(listing).encode();
  std::shuffle(listing.begin(), listing.end(), std::mt19937(7));
  EXPECT_EQ(Snapshot::build(listing).encode(), first);
}

TEST(Snapshot, ParentsThatTheListingLeavesOutAreMade) {
  const Snapshot made = Snapshot::build({file("a/b/c/d")});
  const auto a = made.child(0, "a");
  ASSERT_TRUE(a);
  const auto b = made.child(*a, "b");
  ASSERT_TRUE(b);
  EXPECT_TRUE(made.child(*made.child(*b, "c"), "d"));
}

TEST(Snapshot, HostileNamesAreLeftOutAndCountedAndHideNothingElse) {
  const std::vector<std::string> hostile = {"..",
                                            ".",
                                            "../x",
                                            "a/../b",
                                            "/abs",
                                            "a//b",
                                            "a/./b",
                                            "a/",
                                            "",
                                            std::string("n\0l", 3),
                                            std::string(256, 'x'),
                                            "ok/" + std::string(256, 'y')};
  std::vector<hub::TreeEntry> listing = {file("good"), file("ok/fine")};
  for (const std::string& path : hostile) listing.push_back(file(path));
  const Snapshot made = Snapshot::build(listing);
  EXPECT_TRUE(made.child(0, "good"));
  EXPECT_TRUE(made.child(*made.child(0, "ok"), "fine"));
  EXPECT_EQ(made.hidden_total(), hostile.size());
  EXPECT_EQ(made.entry(*made.child(0, "ok")).hidden, 1u);
  for (std::uint32_t i = 1; i < made.size(); ++i) {
    EXPECT_EQ(made.entry(i).name.find('/'), std::string_view::npos);
  }
}

TEST(Snapshot, DirectoryWinsOverAFileOfItsName) {
  for (const bool file_first : {true, false}) {
    std::vector<hub::TreeEntry> listing = {file("a", 5), file("a/b")};
    if (!file_first) std::swap(listing[0], listing[1]);
    const Snapshot made = Snapshot::build(listing);
    const auto a = made.child(0, "a");
    ASSERT_TRUE(a);
    EXPECT_TRUE(made.entry(*a).is_directory);
    EXPECT_TRUE(made.child(*a, "b"));
    EXPECT_EQ(made.hidden_total(), 1u);
  }
}

TEST(Snapshot, FirstOfTwoFilesOfOneNameStays) {
  const Snapshot made = Snapshot::build({file("a", 5), file("a", 6)});
  EXPECT_EQ(made.entry(*made.child(0, "a")).size, 5u);
  EXPECT_EQ(made.entry(0).hidden, 1u);
}

TEST(Snapshot, AFileWithoutAnIdMakesItMasked) {
  EXPECT_FALSE(Snapshot::build({file("a"), directory("d")}).masked());
  hub::TreeEntry masked = file("m");
  masked.content.reset();
  const Snapshot made = Snapshot::build({file("a"), masked});
  EXPECT_TRUE(made.masked());
  EXPECT_TRUE(Snapshot::decode(made.encode())->masked());
}

TEST(Snapshot, OneDirectoryHasWhatIsRightInItAndNoMore) {
  const Snapshot made = Snapshot::build_directory(
      "a/b", {file("a/b/y", 7), directory("a/b/c"), file("a/b/x"), file("a/b/c/deep"), file("a/x"),
              file("x"), file("a/bx"), file("a/b"), file("a/b/../z")});
  EXPECT_TRUE(made.is_one_directory());
  EXPECT_EQ(made.directory(), "a/b");
  EXPECT_EQ(names_in(made, 0), (std::vector<std::string>{"c", "x", "y"}));
  EXPECT_EQ(made.entry(0).hidden, 6u) << "what is elsewhere was not asked for";
  EXPECT_EQ(made.path(0), "a/b");
  EXPECT_EQ(made.path(*made.child(0, "y")), "a/b/y");
  EXPECT_EQ(made.find("a/b"), 0u);
  EXPECT_EQ(made.find("a/b/y"), made.child(0, "y"));
  for (const char* elsewhere : {"", "a", "y", "a/b/c/deep", "a/bx", "a/b/", "/a/b"}) {
    EXPECT_FALSE(made.find(elsewhere)) << elsewhere;
  }
  const Snapshot root = Snapshot::build_directory("", {file("f"), directory("d"), file("d/g")});
  EXPECT_TRUE(root.is_one_directory());
  EXPECT_EQ(names_in(root, 0), (std::vector<std::string>{"d", "f"}));
  EXPECT_EQ(root.path(*root.find("f")), "f");
}

TEST(Snapshot, OneDirectoryOfAWholeListingIsAsIfItHadBeenListedAlone) {
  hub::TreeEntry masked = file("d/m");
  masked.content.reset();
  const Snapshot whole =
      Snapshot::build({file("x"), file("d/b", 9), masked, file("d/e/f"), file("d/../no"),
                       file("d/ok/\\"), file("d/.."), directory("empty")});
  const std::uint32_t d = *whole.find("d");
  const Snapshot alone = Snapshot::build_directory(
      "d", {file("d/b", 9), masked, directory("d/e"), directory("d/ok"), file("d/..")});
  EXPECT_EQ(whole.alone(d).encode(), alone.encode());
  EXPECT_TRUE(whole.alone(d).masked());
  EXPECT_EQ(whole.alone(0).encode(),
            Snapshot::build_directory(
                "", {file("x"), directory("d"), directory("empty"), file("d/../no")})
                .encode());
  EXPECT_FALSE(whole.alone(0).masked());
  EXPECT_EQ(whole.alone(*whole.find("empty")).size(), 1u);
  const auto back = Snapshot::decode(alone.encode());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->encode(), alone.encode());
  EXPECT_EQ(back->directory(), "d");
}

TEST(Snapshot, WhatWasEncodedIsDecoded) {
  hub::TreeEntry lfs = file("dir/model.safetensors", 1ull << 40);
  lfs.is_lfs = true;
  lfs.content = *ContentId::create(ContentId::Algorithm::kSha256, std::string(64, 'b'), lfs.size);
  const Snapshot made = Snapshot::build({file("x"), lfs, file("dir/../no")});
  const auto back = Snapshot::decode(made.encode());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->encode(), made.encode());
  const auto& entry = back->entry(*back->child(*back->child(0, "dir"), "model.safetensors"));
  EXPECT_TRUE(entry.is_lfs);
  EXPECT_EQ(entry.size, 1ull << 40);
  EXPECT_EQ(entry.content->to_string(), "sha256:" + std::string(64, 'b'));
  EXPECT_EQ(back->hidden_total(), 1u);
}

TEST(Snapshot, DamagedRecordsAreRefusedAndNeverCrash) {
  std::vector<hub::TreeEntry> listing;
  for (int i = 0; i < 20; ++i) listing.push_back(file("d/f" + std::to_string(i)));
  for (const Snapshot& made : {Snapshot::build(listing), Snapshot::build_directory("d", listing)}) {
    const Bytes good = made.encode();
    for (std::size_t cut = 0; cut < good.size(); ++cut) {
      EXPECT_FALSE(Snapshot::decode(ByteView(good).first(cut)));
    }
    std::mt19937 random(3);
    for (int round = 0; round < 5000; ++round) {
      Bytes bad = good;
      for (int flips = 0; flips < 3; ++flips) {
        bad[random() % bad.size()] = static_cast<std::byte>(random());
      }
      const auto decoded = Snapshot::decode(bad);
      if (!decoded) continue;
      for (std::uint32_t i = 0; i < decoded->size(); ++i) {  // whatever it says, it can be walked
        (void)decoded->path(i);
        (void)decoded->child(i, "f1");
        (void)decoded->find("d/f1");
      }
    }
  }
}

}  // namespace
}  // namespace hubvfs::fs
