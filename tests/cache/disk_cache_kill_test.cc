// SPDX-License-Identifier: Apache-2.0
// A writer that is killed at random points, and the cache it leaves behind. 25 kills, 500 with
// HUBVFS_TEST_FULL=1; the seed is printed, and HUBVFS_TEST_SEED gives it.
#include <sys/wait.h>

#include <array>
#include <functional>
#include <iostream>
#include <random>

#include "tests/cache/crash_writer.h"
#include "tests/cache/disk_calls.h"
#include "tests/support/test_scale.h"

namespace hubvfs::cache {
namespace {

class KilledCacheTest : public CrashedCache {
 protected:
  void SetUp() override { disk_calls::skip_syncs(true); }
  void TearDown() override {
    close();
    disk_calls::skip_syncs(false);
  }

  // Runs `work`, which does not return, in a process of its own until SIGKILL ends it: by itself,
  // or when `moment` has passed.
  static void run_killed(const std::function<void()>& work,
                         std::optional<std::chrono::microseconds> moment) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::alarm(60);
      work();
      ::_exit(9);
    }
    if (moment) {
      ::usleep(static_cast<useconds_t>(moment->count()));
      ::kill(child, SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself: " << WEXITSTATUS(status);
    ASSERT_EQ(WTERMSIG(status), SIGKILL);
  }

  // What `work` does with a cache, in a process that is killed when it returns.
  void in_killed_process(const std::function<void(DiskCache&)>& work) const {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      NullLogger log;
      SystemClock clock;
      auto cache = DiskCache::open({path_, kRoomy, kTestBlock}, log, clock);
      if (!cache) ::_exit(3);
      work(**cache);
      ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  }
};

// Half of the kills are in the place of a call, after it, or with half of a write done; the others
// come at a moment of their own.
TEST_F(KilledCacheTest, AKilledWriterLeavesNoWrongByteAndKeepsWhatItWasPromised) {
  std::mt19937 random(test_seed());
  std::uint64_t present = 0;
  std::array<std::unique_ptr<SharedPromises>, 2> promises;
  const int rounds = test_full() ? 500 : 25;
  for (int round = 0; round < rounds; ++round) {
    const bool roomy = round % 2 == 0;
    auto& promised = promises[roomy ? 1 : 0];
    const bool is_new = promised == nullptr || random() % 8 == 0;
    path_ = dir_ / (roomy ? "roomy" : "tight");
    if (is_new) {
      std::filesystem::remove_all(path_);
      promised = std::make_unique<SharedPromises>();
    }
    const std::uint64_t limit = roomy ? kRoomy : kTight;
    const auto seed = static_cast<unsigned>(random());
    const bool at_a_call = random() % 2 == 0;
    disk_calls::Plan plan;
    const std::array<disk_calls::Act, 3> acts = {
        disk_calls::Act::kKillBefore, disk_calls::Act::kKillAfter, disk_calls::Act::kKillTorn};
    plan.at = 1 + random() % (is_new ? 60 : 600);
    plan.act = acts[random() % acts.size()];
    plan.torn = static_cast<unsigned>(random() % 100);
    const std::chrono::microseconds moment(random() % 120000);
    run_killed(
        [&] {
          if (at_a_call) disk_calls::arm(plan);
          NullLogger log;
          SystemClock clock;
          auto cache = DiskCache::open({path_, limit, kTestBlock}, log, clock);
          if (!cache) ::_exit(3);
          Writer(**cache, **promised, seed).run();
        },
        at_a_call ? std::nullopt : std::optional(moment));
    open(limit);
    present += check_blocks(roomy ? flushed(**promised) : Flushed{});
    for (unsigned key = 0; key < kKeys; ++key) {
      const std::uint32_t number = check_value(key);
      EXPECT_GE(number, (*promised)->done[key]) << key;
      EXPECT_LE(number, (*promised)->begun[key]) << key;
    }
    EXPECT_EQ(store().stats().corrupt_blocks, 0u);
    EXPECT_LE(store().stats().bytes_used, limit);
    flush();
    close();
    if (HasFailure())
      FAIL() << "round " << round << ", " << (roomy ? "roomy" : "tight") << "\n" << log_.text();
  }
  EXPECT_GT(present, 0u);
  std::cout << rounds << " kills, " << present << " blocks found right\n";
}

TEST_F(KilledCacheTest, WhatWasFlushedAndPutOutlivesAKill) {
  const TestBlob& source = blob_of(1);
  in_killed_process([&](DiskCache& cache) {
    put_all(**cache.blobs().open(source.key, kEndpoint), source);
    if (!cache.blobs().flush()) ::_exit(4);
    for (int i = 0; i < 100; ++i) {
      const std::string value = std::to_string(i);
      if (!cache.meta().put("public", "key", as_bytes(value))) ::_exit(5);
    }
  });
  open(kRoomy);
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
  open(kRoomy);
  EXPECT_TRUE(get("key") == random_bytes(10000, 1));
}

TEST_F(KilledCacheTest, RoomWrittenAndNeverIndexedComesBack) {
  const TestBlob& source = blob_of(1);
  in_killed_process([&](DiskCache& cache) {
    const auto blob = *cache.blobs().open(source.key, kEndpoint);
    blob->put(0, source.block(0));
    const std::string name = path_ + "/blobs/" + blob_file_name(source.key);
    while (!std::filesystem::exists(name)) ::usleep(100);  // written, within the second of a batch
  });
  ASSERT_TRUE(std::filesystem::exists(data_file(source)));
  open(kRoomy);
  for (int i = 0; i < 2000 && std::filesystem::exists(data_file(source)); ++i) ::usleep(5000);
  EXPECT_FALSE(std::filesystem::exists(data_file(source)));
}

}  // namespace
}  // namespace hubvfs::cache
