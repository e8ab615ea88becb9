// SPDX-License-Identifier: Apache-2.0
#include "hub/server/hash_cache.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace hubvfs::hub::server {
namespace {

constexpr auto kSha256 = ContentId::Algorithm::kSha256;
constexpr auto kGitSha1 = ContentId::Algorithm::kGitSha1;
const FileIdentity kFile{1, 2, 3, -4, 5};
const std::string kSha(64, 'a');
const std::string kGit(40, 'b');

class HashCacheTest : public ::testing::Test {
 protected:
  std::unique_ptr<HashCache> open() {
    auto cache = HashCache::open(folder_ / "state", log_);
    EXPECT_TRUE(cache) << cache.error().context;
    return std::move(*cache);
  }
  std::string path() const { return folder_ / "state/hashes"; }
  TempDir folder_;
  NullLogger log_;
};

TEST_F(HashCacheTest, HashesOutliveTheProcess) {
  open()->add(kFile, kSha256, kSha);
  const auto cache = open();
  EXPECT_EQ(cache->find(kFile, kSha256), kSha);
  EXPECT_EQ(cache->find(kFile, kGitSha1), "");
}

TEST_F(HashCacheTest, BothAlgorithmsOfOneFileAreKept) {
  const auto cache = open();
  cache->add(kFile, kSha256, kSha);
  cache->add(kFile, kGitSha1, kGit);
  EXPECT_EQ(open()->find(kFile, kSha256), kSha);
  EXPECT_EQ(open()->find(kFile, kGitSha1), kGit);
}

TEST_F(HashCacheTest, AnyDifferenceOfTheFileIsAnotherFile) {
  const auto cache = open();
  cache->add(kFile, kSha256, kSha);
  for (const FileIdentity& other :
       {FileIdentity{9, 2, 3, -4, 5}, FileIdentity{1, 9, 3, -4, 5}, FileIdentity{1, 2, 9, -4, 5},
        FileIdentity{1, 2, 3, 9, 5}, FileIdentity{1, 2, 3, -4, 9}}) {
    EXPECT_EQ(cache->find(other, kSha256), "");
  }
}

TEST_F(HashCacheTest, DamagedLinesAreDroppedAndTheOthersKept) {
  {
    const auto cache = open();
    cache->add(kFile, kSha256, kSha);
    cache->add({7, 7, 7, 7, 7}, kGitSha1, kGit);
  }
  std::string text = read_file(path());
  text[text.find("aaaa")] = 'c';
  write_file(path(), text + "half a li");
  {
    const auto cache = open();
    EXPECT_EQ(cache->find(kFile, kSha256), "");
    EXPECT_EQ(cache->find({7, 7, 7, 7, 7}, kGitSha1), kGit);
    cache->add(kFile, kSha256, kSha);
  }
  EXPECT_EQ(open()->find(kFile, kSha256), kSha);
  EXPECT_EQ(read_file(path()).find("half"), std::string::npos);
}

TEST_F(HashCacheTest, GarbageIsAnEmptyCache) {
  write_file(path(), random_bytes(100'000, 1));
  EXPECT_EQ(open()->find(kFile, kSha256), "");
  open()->add(kFile, kSha256, kSha);
  EXPECT_EQ(open()->find(kFile, kSha256), kSha);
}

TEST_F(HashCacheTest, CompactionDropsWhatNobodyAskedFor) {
  constexpr std::uint64_t kMany = 12'000;
  {
    const auto cache = open();
    for (std::uint64_t i = 0; i < kMany; ++i) cache->add({i, 0, 0, 0, 0}, kGitSha1, kGit);
  }
  {
    const auto cache = open();
    EXPECT_EQ(cache->find({5, 0, 0, 0, 0}, kGitSha1), kGit);
    cache->compact();
    cache->add(kFile, kSha256, kSha);
  }
  EXPECT_LT(read_file(path()).size(), 1000u);
  const auto cache = open();
  EXPECT_EQ(cache->find({5, 0, 0, 0, 0}, kGitSha1), kGit);
  EXPECT_EQ(cache->find(kFile, kSha256), kSha);
  EXPECT_EQ(cache->find({6, 0, 0, 0, 0}, kGitSha1), "");
}

TEST_F(HashCacheTest, FolderThatCannotBeMadeIsAnError) {
  EXPECT_FALSE(HashCache::open(folder_ / "no/such/parent", log_));
}

}  // namespace
}  // namespace hubvfs::hub::server
