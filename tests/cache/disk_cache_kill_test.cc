// SPDX-License-Identifier: Apache-2.0
// A writer that is killed at random moments, and the cache it leaves behind.
#include <sys/wait.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>

#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {
namespace {

constexpr unsigned kBlobs = 8;
constexpr std::uint64_t kKillLimit = 20 * kTestBlock;

TestBlob blob_of(unsigned number) {
  return make_blob(number % 3 == 0 ? 20000 + number : 4 * kTestBlock + number, 500 + number);
}

// Fills, reads, drops and notes metadata until it is killed.
[[noreturn]] void write_for_ever(const std::string& path, unsigned seed) {
  NullLogger log;
  SystemClock clock;
  auto cache = DiskCache::open({path, kKillLimit, kTestBlock}, log, clock);
  if (!cache) ::_exit(3);
  std::mt19937 random(seed);
  for (unsigned step = 0;; ++step) {
    const TestBlob source = blob_of(random() % kBlobs);
    auto blob = *(*cache)->blobs().open(source.key, kEndpoint);
    for (std::uint64_t i = 0; i < source.blocks(); ++i) {
      if (random() % 4 != 0) blob->put(i, source.block(i));
    }
    if (random() % 8 == 0) blob->drop();
    if (random() % 4 == 0) (void)(*cache)->blobs().flush().has_value();
    const std::string key = "key" + std::to_string(random() % 10);
    const std::string value = key + std::string(random() % 30000, 'v') + key;
    (void)(*cache)->meta().put("public", key, as_bytes(value)).has_value();
  }
}

class KilledCacheTest : public OpenedCache {
 protected:
  void SetUp() override {}

  // Every block and value that is there is right. Returns how many blocks there are.
  std::uint64_t check() {
    std::uint64_t present = 0;
    for (unsigned number = 0; number < kBlobs; ++number) {
      const TestBlob source = blob_of(number);
      const auto opened = blob(source);
      for (std::uint64_t i = 0; i < source.blocks(); ++i) {
        const auto expected = source.block(i);
        const std::string found = read_text(*opened, i * kTestBlock, expected->size());
        if (found == "<NotFound>") continue;
        ++present;
        EXPECT_TRUE(found == as_text(*expected)) << number << "/" << i;
      }
    }
    EXPECT_TRUE(cache_->meta().for_each("public", "", [](std::string_view key, ByteView value) {
      EXPECT_TRUE(as_text(value).starts_with(key) && as_text(value).ends_with(key)) << key;
    }));
    return present;
  }

  // What `work` does with a cache, in a process that is killed when it returns.
  void in_killed_process(const std::function<void(DiskCache&)>& work) const {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      NullLogger log;
      SystemClock clock;
      auto cache = DiskCache::open({path_, kKillLimit, kTestBlock}, log, clock);
      if (!cache) ::_exit(3);
      work(**cache);
      ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  }
};

TEST_F(KilledCacheTest, AKilledWriterLeavesNoWrongByte) {
  const char* given = std::getenv("HUBVFS_TEST_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given))
                                         : static_cast<unsigned>(std::random_device()());
  std::cout << "seed " << seed << " (HUBVFS_TEST_SEED)\n";
  std::mt19937 random(seed);
  std::uint64_t present = 0;
  for (int round = 0; round < 20; ++round) {
    const unsigned child_seed = static_cast<unsigned>(random());
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_for_ever(path_, child_seed);
    ::usleep(20000 + static_cast<useconds_t>(random() % 180000));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself: " << WEXITSTATUS(status);
    open(kKillLimit);
    present += check();
    EXPECT_LE(store().stats().bytes_used, kKillLimit);
    flush();
    close();
  }
  EXPECT_GT(present, 0u);
  std::cout << present << " blocks found right\n";
}

TEST_F(KilledCacheTest, WhatWasFlushedAndPutOutlivesAKill) {
  const TestBlob source = blob_of(1);
  in_killed_process([&](DiskCache& cache) {
    put_all(**cache.blobs().open(source.key, kEndpoint), source);
    if (!cache.blobs().flush()) ::_exit(4);
    for (int i = 0; i < 100; ++i) {
      const std::string value = std::to_string(i);
      if (!cache.meta().put("public", "key", as_bytes(value))) ::_exit(5);
    }
  });
  open(kKillLimit);
  expect_whole(source);
  EXPECT_TRUE(blob(source)->verified());  // the same boot: the file is as it was
  EXPECT_EQ(get("key"), "99");
}

TEST_F(KilledCacheTest, MetadataIsCompactedThoughEachProcessIsKilled) {
  for (int round = 0; round < 2; ++round) {
    in_killed_process([&](DiskCache& cache) {
      for (int i = 0; i < 50 && round == 0; ++i) {
        if (!cache.meta().put("public", "key", as_bytes(random_bytes(10000, 1)))) ::_exit(4);
      }
    });
  }
  EXPECT_LT(std::filesystem::file_size(path_ + "/meta/public/records.log"), 20000u);
  open(kKillLimit);
  EXPECT_TRUE(get("key") == random_bytes(10000, 1));
}

TEST_F(KilledCacheTest, RoomWrittenAndNeverIndexedComesBack) {
  const TestBlob source = blob_of(1);
  in_killed_process([&](DiskCache& cache) {
    const auto blob = *cache.blobs().open(source.key, kEndpoint);
    blob->put(0, source.block(0));
    const std::string name = path_ + "/blobs/" + blob_file_name(source.key);
    while (!std::filesystem::exists(name)) ::usleep(100);  // written, within the second of a batch
  });
  ASSERT_TRUE(std::filesystem::exists(data_file(source)));
  open(kKillLimit);
  for (int i = 0; i < 2000 && std::filesystem::exists(data_file(source)); ++i) ::usleep(5000);
  EXPECT_FALSE(std::filesystem::exists(data_file(source)));
}

}  // namespace
}  // namespace hubvfs::cache
