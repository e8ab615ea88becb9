// SPDX-License-Identifier: Apache-2.0
// A cache across restarts, and what its files look like.
#include "cache/disk_cache.h"

#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "base/blocking.h"
#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {
namespace {

using DiskCacheTest = OpenedCache;

TEST_F(DiskCacheTest, EverythingOutlivesARestart) {
  const TestBlob small = make_blob(3000, 1);
  const TestBlob large = make_blob(5 * kTestBlock + 77, 2);
  const TestBlob partial = make_blob(4 * kTestBlock, 3);
  fill(small);
  fill(large);
  blob(partial)->put(2, partial.block(2));
  ASSERT_TRUE(cache_->meta().put("public", "ref", as_bytes("commit")));
  flush();
  open();
  expect_whole(small);
  expect_whole(large);
  const auto opened = blob(partial);
  EXPECT_FALSE(opened->has(0));
  EXPECT_EQ(brief(read_text(*opened, 2 * kTestBlock, kTestBlock)),
            brief(partial.content.substr(2 * kTestBlock, kTestBlock)));
  EXPECT_EQ(get("ref"), "commit");
  const StoreStats stats = store().stats();
  EXPECT_EQ(stats.blobs, 3u);
  EXPECT_EQ(stats.blocks, 8u);
  EXPECT_EQ(stats.bytes_used, 3000 + 5 * kTestBlock + 77 + kTestBlock);
}

TEST_F(DiskCacheTest, ACloseWithoutAFlushLosesNothing) {
  const TestBlob source = make_blob(20 * kTestBlock, 4);
  put_all(*blob(source), source);
  open();
  expect_whole(source);
}

TEST_F(DiskCacheTest, AVerifiedBlobIsVerifiedAfterARestartWithoutHashingIt) {
  const TestBlob source = make_blob(3 * kTestBlock, 5);
  fill(source);
  open();
  // At once: no thread had time to hash it.
  EXPECT_TRUE(blob(source)->verified());
  EXPECT_TRUE(blob(source, kOtherEndpoint)->complete());
}

TEST_F(DiskCacheTest, TheModeIsOfWhatIsEverybodysAndPrivateThingsStayPrivate) {
  options_.mode = 0755;
  open();
  TestBlob own = make_blob(3 * kTestBlock, 8);
  own.key.space = "u1000";
  fill(own);
  fill(make_blob(3 * kTestBlock, 9));
  const auto mode = [this](const std::string& name) {
    struct stat info {};
    EXPECT_EQ(::stat((path_ + name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  };
  for (const char* shared : {"", "/blobs", "/blobs/public"})
    EXPECT_EQ(mode(shared), 0755u) << shared;
  for (const char* own_folder : {"/index", "/meta", "/blobs/u1000"}) {
    EXPECT_EQ(mode(own_folder), 0700u) << own_folder;
  }
}

TEST_F(DiskCacheTest, AVerifiedFileThatWasTouchedIsHashedAgain) {
  const TestBlob source = make_blob(3 * kTestBlock, 6);
  fill(source);
  close();
  const std::string bytes = read_file(data_file(source));
  {
    const UniqueFd fd(::open(data_file(source).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), 1, 0), 1);  // the same byte: only the times change
  }
  open();
  std::atomic<int> verdicts{0};
  store().on_verdict([&](const BlobKey&, Result<void> verdict) { verdicts += verdict ? 1 : 100; });
  const auto opened = blob(source);
  flush();
  EXPECT_EQ(verdicts, 1);
  EXPECT_TRUE(opened->verified());
}

TEST_F(DiskCacheTest, APartlyFilledBlobIsVerifiedWhenTheRestComesAfterARestart) {
  const TestBlob source = make_blob(4 * kTestBlock, 7);
  for (const std::uint64_t block : {0u, 1u, 3u}) blob(source)->put(block, source.block(block));
  open();
  const auto opened = blob(source);
  EXPECT_FALSE(opened->verified());
  opened->put(2, source.block(2));
  flush();
  EXPECT_TRUE(opened->verified());
}

TEST_F(DiskCacheTest, AWrongBlockFromBeforeARestartIsFoundOut) {
  TestBlob source = make_blob(4 * kTestBlock, 8);
  TestBlob lie = source;
  lie.content[5] = static_cast<char>(lie.content[5] ^ 1);
  blob(source)->put(0, lie.block(0));
  open();
  std::atomic<bool> wrong{false};
  store().on_verdict([&](const BlobKey&, Result<void> verdict) { wrong = !verdict; });
  const auto opened = blob(source);
  for (const std::uint64_t block : {1u, 2u, 3u}) opened->put(block, source.block(block));
  flush();
  EXPECT_TRUE(wrong);
  EXPECT_EQ(opened->cached_bytes(), 0u);
}

TEST_F(DiskCacheTest, AForeignEndpointSeesNothingUnverifiedAfterARestart) {
  const TestBlob source = make_blob(4 * kTestBlock, 9);
  blob(source)->put(0, source.block(0));
  open();
  EXPECT_FALSE(blob(source, kOtherEndpoint)->has(0));
  EXPECT_TRUE(blob(source)->has(0));
}

TEST_F(DiskCacheTest, AForeignEndpointThatTakesOverLeavesNothingOfTheOther) {
  const TestBlob source = make_blob(4 * kTestBlock, 10);
  blob(source)->put(0, source.block(0));
  flush();
  blob(source, kOtherEndpoint)->put(1, source.block(1));
  flush();
  open();
  EXPECT_FALSE(blob(source)->has(0));
  EXPECT_FALSE(blob(source)->has(1));
  const auto other = blob(source, kOtherEndpoint);
  EXPECT_FALSE(other->has(0));
  EXPECT_EQ(brief(read_text(*other, kTestBlock, 100)),
            brief(source.content.substr(kTestBlock, 100)));
}

TEST_F(DiskCacheTest, ADroppedBlobIsGoneAfterARestart) {
  const TestBlob small = make_blob(3000, 11);
  const TestBlob large = make_blob(3 * kTestBlock, 12);
  for (const TestBlob* source : {&small, &large}) {
    fill(*source);
    blob(*source)->drop();
  }
  flush();
  EXPECT_FALSE(std::filesystem::exists(data_file(large)));
  EXPECT_FALSE(std::filesystem::exists(data_file(large) + ".map"));
  EXPECT_EQ(store().stats().bytes_used, 0u);
  open();
  EXPECT_EQ(blob(small)->cached_bytes(), 0u);
  EXPECT_EQ(blob(large)->cached_bytes(), 0u);
}

TEST_F(DiskCacheTest, FilesAreSparseInPlaceAndOfTheExactLength) {
  const TestBlob source = make_blob(100 * kTestBlock + 1, 13);
  blob(source)->put(50, source.block(50));
  flush();
  struct stat info {};
  ASSERT_EQ(::stat(data_file(source).c_str(), &info), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(info.st_size), source.content.size());
  EXPECT_LE(static_cast<std::uint64_t>(info.st_blocks) * 512, 2 * kTestBlock);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_TRUE(read_file(data_file(source)).substr(50 * kTestBlock, kTestBlock) ==
              source.content.substr(50 * kTestBlock, kTestBlock));
  EXPECT_TRUE(std::filesystem::exists(data_file(source) + ".map"));
}

TEST_F(DiskCacheTest, SmallBlobsHaveNoFileOfTheirOwn) {
  const TestBlob source = make_blob((64u << 10) - 1, 14);
  fill(source);
  EXPECT_FALSE(std::filesystem::exists(data_file(source)));
  EXPECT_TRUE(std::filesystem::exists(path_ + "/meta/public/blobs.log"));
  const TestBlob larger = make_blob(64u << 10, 15);
  fill(larger);
  EXPECT_TRUE(std::filesystem::exists(data_file(larger)));
}

TEST_F(DiskCacheTest, EvictionGivesTheDiskItsRoomBack) {
  open(8 * kTestBlock);
  std::vector<TestBlob> sources;
  for (unsigned i = 0; i < 6; ++i) {
    sources.push_back(make_blob(4 * kTestBlock, 20 + i));
    fill(sources.back());
  }
  std::uint64_t allocated = 0;
  for (const TestBlob& source : sources) {
    struct stat info {};
    if (::stat(data_file(source).c_str(), &info) != 0) continue;
    allocated += static_cast<std::uint64_t>(info.st_blocks) * 512;
  }
  EXPECT_LE(allocated, 8 * kTestBlock + 64 * 1024);
  EXPECT_GT(allocated, 4 * kTestBlock);
  const std::uint64_t used = store().stats().bytes_used;
  open(8 * kTestBlock);
  EXPECT_EQ(store().stats().bytes_used, used);
  expect_whole(sources.back());
}

TEST_F(DiskCacheTest, SmallBlobsAreEvictedToo) {
  open(1u << 20);
  for (unsigned i = 0; i < 40; ++i) fill(make_blob(60000, 100 + i));
  EXPECT_LE(store().stats().bytes_used, 1u << 20);
  EXPECT_GT(store().stats().evicted_blocks, 10u);
  expect_whole(make_blob(60000, 139));
  EXPECT_EQ(blob(make_blob(60000, 100))->cached_bytes(), 0u);
  close();
  EXPECT_LE(std::filesystem::file_size(path_ + "/meta/public/blobs.log"), 2u << 20);
}

TEST_F(DiskCacheTest, TheOrderOfUseOutlivesARestart) {
  const TestBlob old = make_blob(2 * kTestBlock, 40);
  const TestBlob young = make_blob(2 * kTestBlock, 41);
  fill(old);
  fill(young);
  read_text(*blob(old));  // now it is the younger
  open(6 * kTestBlock);
  fill(make_blob(2 * kTestBlock, 42));
  EXPECT_TRUE(blob(old)->complete());
  EXPECT_FALSE(blob(young)->complete());
}

TEST_F(DiskCacheTest, ALowerLimitIsKeptAtTheNextFill) {
  const TestBlob source = make_blob(10 * kTestBlock, 43);
  fill(source);
  open(4 * kTestBlock);
  fill(make_blob(kTestBlock, 44));
  EXPECT_LE(store().stats().bytes_used, 4 * kTestBlock);
}

TEST_F(DiskCacheTest, ABlockLargerThanTheLimitIsNotStoredAndHarmsNothing) {
  open(kTestBlock / 2);
  const TestBlob source = make_blob(2 * kTestBlock, 45);
  const auto opened = blob(source);
  put_all(*opened, source);
  flush();
  EXPECT_EQ(opened->cached_bytes(), 0u);
  EXPECT_EQ(store().stats().unstored_blocks, 2u);
  EXPECT_EQ(store().stats().degraded, "");
}

TEST_F(DiskCacheTest, TheFuseThreadsCallsWaitForNothing) {
  // Aborts in a debug build where one of these would wait for fsync or for another thread.
  const TestBlob small = make_blob(3000, 46);
  const TestBlob large = make_blob(3 * kTestBlock, 47);
  fill(large);
  open();
  const NoBlockScope scope;
  for (const TestBlob* source : {&small, &large}) {
    const auto opened = blob(*source);
    put_all(*opened, *source);
    EXPECT_TRUE(opened->has(0));
    EXPECT_EQ(brief(read_text(*opened)), brief(source->content));
    opened->drop();
  }
}

TEST_F(DiskCacheTest, ASecondOneIsRefusedAndTheFirstUnharmed) {
  const auto second = DiskCache::open({path_, 0, kTestBlock}, log_, clock_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  const TestBlob source = make_blob(kTestBlock, 48);
  fill(source);
  expect_whole(source);
}

TEST_F(DiskCacheTest, ManyBlobsNeedFewDescriptors) {
  const auto descriptors = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
      ++count;
    }
    return count;
  };
  const std::size_t before = descriptors();
  std::vector<std::shared_ptr<Blob>> held;
  for (unsigned i = 0; i < 300; ++i) {
    const TestBlob source = make_blob(kTestBlock / 2, 1000 + i);
    held.push_back(blob(source));
    put_all(*held.back(), source);
  }
  flush();
  held.clear();
  close();
  EXPECT_LE(descriptors(), before);
}

TEST_F(DiskCacheTest, ReadersAndFillersAndEvictionNeverMixUpABlock) {
  open(10 * kTestBlock);
  std::vector<TestBlob> sources;
  for (unsigned i = 0; i < 6; ++i) sources.push_back(make_blob(4 * kTestBlock - i, 60 + i));
  std::atomic<int> wrong{0};
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 300; ++i) {
        const TestBlob& source = sources[(i * 5 + t * 3) % sources.size()];
        const auto opened = blob(source);
        const std::uint64_t block = (i + t) % source.blocks();
        const std::uint64_t offset = block * kTestBlock + i;
        const std::string found = read_text(*opened, offset, 4000);
        if (found == "<NotFound>") {
          opened->put(block, source.block(block));
        } else if (found == source.content.substr(offset, 4000)) {
          ++right;
        } else {
          ++wrong;
        }
        if (i % 97 == 0) opened->drop();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  flush();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(right, 0);
  EXPECT_LE(store().stats().bytes_used, 10 * kTestBlock);
  EXPECT_EQ(store().stats().corrupt_blocks, 0u);
  EXPECT_EQ(store().stats().pending_bytes, 0u);
}

}  // namespace
}  // namespace hubvfs::cache
