// SPDX-License-Identifier: Apache-2.0
// A cache whose files were damaged while it was closed, or under it.
#include "cache/sidecar.h"
#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {
namespace {

class DamagedCacheTest : public OpenedCache {
 protected:
  void SetUp() override {
    OpenedCache::SetUp();
    fill(small_);
    fill(large_);
    blob(partial_)->put(1, partial_.block(1));
    flush();
    ASSERT_TRUE(cache_->meta().put("public", "ref", as_bytes("commit")));
  }
  std::string index() const { return path_ + "/index/data.mdb"; }

  void expect_everything() {
    expect_whole(small_);
    expect_whole(large_);
    EXPECT_EQ(brief(read_text(*blob(partial_), kTestBlock, kTestBlock)),
              brief(partial_.content.substr(kTestBlock, kTestBlock)));
    EXPECT_FALSE(blob(partial_, kOtherEndpoint)->has(1));
    EXPECT_EQ(get("ref"), "commit");
  }
  // The damaged block is a miss, and can be fetched again.
  void expect_refetch(const TestBlob& source, std::uint64_t block) {
    auto opened = blob(source);
    EXPECT_EQ(read_text(*opened, block * kTestBlock + 10, 10), "<NotFound>");
    EXPECT_FALSE(opened->has(block));
    EXPECT_FALSE(opened->complete());
    EXPECT_GE(store().stats().corrupt_blocks, 1u);
    opened->put(block, source.block(block));
    flush();
    EXPECT_TRUE(opened->verified());
    EXPECT_EQ(brief(read_text(*opened)), brief(source.content));
    opened.reset();
    open();
    expect_whole(source);
  }

  const TestBlob small_ = make_blob(3000, 1);
  const TestBlob large_ = make_blob(5 * kTestBlock + 77, 2);
  const TestBlob partial_ = make_blob(4 * kTestBlock, 3);
};

TEST_F(DamagedCacheTest, AnIndexThatIsCutIsMadeAnew) {
  close();
  std::filesystem::resize_file(index(), 5000);
  open();
  expect_everything();
  EXPECT_TRUE(std::filesystem::exists(path_ + "/index.bad/data.mdb"));
  EXPECT_NE(log_.text().find("the index is damaged"), std::string::npos);
}

TEST_F(DamagedCacheTest, AnIndexOfNoiseIsMadeAnewAndOneOldOneIsKept) {
  for (unsigned seed = 0; seed < 4; ++seed) {
    close();
    write_file(index(), random_bytes(50000, seed));
    open();
    expect_everything();
  }
  std::size_t kept = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    kept += entry.path().filename().string().starts_with("index.bad") ? 1u : 0u;
  }
  EXPECT_EQ(kept, 1u);
}

TEST_F(DamagedCacheTest, AnIndexThatIsGoneIsMadeAnew) {
  close();
  std::filesystem::remove_all(path_ + "/index");
  open();
  expect_everything();
}

TEST_F(DamagedCacheTest, WhatWasVerifiedIsEverybodysAfterTheIndexIsMadeAnew) {
  close();
  std::filesystem::remove_all(path_ + "/index");
  open();
  const auto opened = blob(large_, kOtherEndpoint);
  EXPECT_TRUE(opened->complete());
  flush();  // hashed again: only an index remembers what the file looked like
  EXPECT_TRUE(opened->verified());
}

// A power cut may cost the last transaction, and so may damage to the page that names it.
TEST_F(DamagedCacheTest, AnIndexThatIsTransactionsOldCostsNothing) {
  const std::string old_index = read_file(index());
  const TestBlob new_blob = make_blob(3 * kTestBlock, 4);
  fill(new_blob);
  blob(partial_)->put(2, partial_.block(2));
  flush();
  const std::string crashed = dir_ / "crashed";  // as a process leaves it that is killed now
  std::filesystem::copy(path_, crashed, std::filesystem::copy_options::recursive);
  std::filesystem::permissions(crashed, std::filesystem::perms::owner_all);
  write_file(crashed + "/index/data.mdb", old_index);
  close();
  path_ = crashed;
  open();
  expect_whole(new_blob);  // at once
  expect_everything();
  EXPECT_EQ(brief(read_text(*blob(partial_), 2 * kTestBlock, kTestBlock)),
            brief(partial_.content.substr(2 * kTestBlock, kTestBlock)));
  EXPECT_EQ(store().stats().corrupt_blocks, 0u);
  EXPECT_EQ(store().stats().blocks, 1 + 6 + 2 + 3u);
  const std::uint64_t used = store().stats().bytes_used;
  open();
  EXPECT_EQ(store().stats().bytes_used, used);
  expect_whole(new_blob);
}

TEST_F(DamagedCacheTest, AnIndexThatKilledTheLastStartIsMadeAnew) {
  close();
  write_file(path_ + "/index.opening", "");
  open();
  expect_everything();
  EXPECT_TRUE(std::filesystem::exists(path_ + "/index.bad/data.mdb"));
  EXPECT_FALSE(std::filesystem::exists(path_ + "/index.opening"));
}

TEST_F(DamagedCacheTest, AFlippedBitIsAMissAndIsRepaired) {
  close();
  flip_byte(data_file(large_), 2 * kTestBlock + 12345);
  open();
  expect_refetch(large_, 2);
}

TEST_F(DamagedCacheTest, AZeroedBlockIsAMissAndIsRepaired) {
  close();
  {
    const UniqueFd fd(::open(data_file(large_).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                          static_cast<off_t>(kTestBlock)),
              0);
  }
  open();
  expect_refetch(large_, 0);
}

TEST_F(DamagedCacheTest, ACutDataFileIsAMissAndIsRepaired) {
  close();
  std::filesystem::resize_file(data_file(large_), 5 * kTestBlock + 3);
  open();
  expect_refetch(large_, 5);
}

TEST_F(DamagedCacheTest, SwappedBlocksAreMisses) {
  close();
  const std::string bytes = read_file(data_file(large_));
  write_file(data_file(large_), bytes.substr(kTestBlock, kTestBlock) + bytes.substr(0, kTestBlock) +
                                    bytes.substr(2 * kTestBlock));
  open();
  const auto opened = blob(large_);
  EXPECT_EQ(read_text(*opened, 0, 10), "<NotFound>");
  EXPECT_EQ(read_text(*opened, kTestBlock, 10), "<NotFound>");
  EXPECT_EQ(read_text(*opened, 2 * kTestBlock, 10), large_.content.substr(2 * kTestBlock, 10));
}

TEST_F(DamagedCacheTest, ADataFileThatIsGoneIsAMissAndIsRepaired) {
  close();
  std::filesystem::remove(data_file(large_));
  open();
  auto opened = blob(large_);
  EXPECT_EQ(read_text(*opened, 0, 10), "<NotFound>");
  EXPECT_EQ(opened->cached_bytes(), 0u);
  put_all(*opened, large_);
  flush();
  opened.reset();
  open();
  expect_whole(large_);
}

TEST_F(DamagedCacheTest, ASymbolicLinkInADataFilesPlaceIsNotFollowed) {
  close();
  std::filesystem::rename(data_file(large_), dir_ / "elsewhere");
  std::filesystem::create_symlink(dir_ / "elsewhere", data_file(large_));
  const std::string before = read_file(dir_ / "elsewhere");
  open();
  const auto opened = blob(large_);
  EXPECT_EQ(read_text(*opened, 0, 10), "<NotFound>");
  opened->put(0, large_.block(0));
  EXPECT_FALSE(store().flush());
  EXPECT_TRUE(read_file(dir_ / "elsewhere") == before);
}

TEST_F(DamagedCacheTest, ADamagedSmallBlobIsAMissAndIsRepaired) {
  close();
  const std::string log = path_ + "/meta/public/blobs.log";
  flip_byte(log, read_file(log).find(small_.content.substr(100, 50)));
  open();
  auto opened = blob(small_);
  EXPECT_EQ(read_text(*opened), "<NotFound>");
  put_all(*opened, small_);
  flush();
  opened.reset();
  open();
  expect_whole(small_);
}

TEST_F(DamagedCacheTest, ADamagedSidecarCostsNothingWhileTheIndexIsSound) {
  close();
  write_file(data_file(large_) + ".map", "noise");
  open();
  expect_everything();
}

TEST_F(DamagedCacheTest, WithoutItsSidecarAndTheIndexABlobIsGoneAndItsRoomComesBack) {
  close();
  std::filesystem::remove_all(path_ + "/index");
  std::filesystem::remove(data_file(large_) + ".map");
  open();
  EXPECT_EQ(blob(large_)->cached_bytes(), 0u);
  for (int i = 0; i < 2000 && std::filesystem::exists(data_file(large_)); ++i) ::usleep(5000);
  EXPECT_FALSE(std::filesystem::exists(data_file(large_)));
  expect_whole(small_);
}

TEST_F(DamagedCacheTest, DamageUnderARunningCacheIsFoundAtFirstUse) {
  open();
  flip_byte(data_file(large_), 3 * kTestBlock + 1);
  expect_refetch(large_, 3);
}

// Blocks that were read before are not checked again: what somebody does to the file must not make
// holes of them.
TEST_F(DamagedCacheTest, AFileThatIsCutUnderARunningCacheHasNoZeros) {
  const auto opened = blob(partial_);
  opened->put(2, partial_.block(2));
  flush();
  for (const std::uint64_t block : {1u, 2u}) {
    EXPECT_EQ(brief(read_text(*opened, block * kTestBlock, kTestBlock)),
              brief(partial_.content.substr(block * kTestBlock, kTestBlock)));
  }
  std::filesystem::resize_file(data_file(partial_), 2 * kTestBlock);
  opened->put(3, partial_.block(3));
  flush();
  EXPECT_EQ(brief(read_text(*opened, kTestBlock, kTestBlock)),
            brief(partial_.content.substr(kTestBlock, kTestBlock)));
  EXPECT_EQ(read_text(*opened, 2 * kTestBlock, kTestBlock), "<NotFound>");
  EXPECT_EQ(brief(read_text(*opened, 3 * kTestBlock, kTestBlock)),
            brief(partial_.content.substr(3 * kTestBlock, kTestBlock)));
}

TEST_F(DamagedCacheTest, AFileThatIsRemovedUnderARunningCacheIsMadeAnewWithoutZeros) {
  auto opened = blob(partial_);
  EXPECT_EQ(brief(read_text(*opened, kTestBlock, kTestBlock)),
            brief(partial_.content.substr(kTestBlock, kTestBlock)));
  std::filesystem::remove(data_file(partial_));
  put_all(*opened, partial_);
  flush();
  for (std::uint64_t block = 0; block < partial_.blocks(); ++block) {
    const std::string found = read_text(*opened, block * kTestBlock, kTestBlock);
    if (found == "<NotFound>") opened->put(block, partial_.block(block));
    EXPECT_TRUE(found == "<NotFound>" || found == as_text(*partial_.block(block))) << block;
  }
  flush();
  EXPECT_EQ(store().stats().degraded, "");
  EXPECT_TRUE(std::filesystem::exists(data_file(partial_)));
  opened.reset();
  open();
  expect_whole(partial_);
}

TEST_F(DamagedCacheTest, DamagedMetadataCostsOnlyItself) {
  ASSERT_TRUE(cache_->meta().put("public", "other", as_bytes("kept, and long enough to be found")));
  close();
  const std::string log = path_ + "/meta/public/records.log";
  flip_byte(log, read_file(log).find("commit"));
  open();
  EXPECT_EQ(get("ref"), "<none>");
  EXPECT_EQ(get("other"), "kept, and long enough to be found");
}

}  // namespace
}  // namespace hubvfs::cache
