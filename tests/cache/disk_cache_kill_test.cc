// SPDX-License-Identifier: Apache-2.0
// A writer that is killed at random points, and the cache it leaves behind. 25 kills, 500 with
// HUBVFS_TEST_FULL=1; the seed is printed, and HUBVFS_TEST_SEED gives it.
#include <sys/mman.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>

#include "tests/cache/disk_calls.h"
#include "tests/cache/opened_cache.h"
#include "tests/support/test_scale.h"

namespace hubvfs::cache {
namespace {

constexpr unsigned kBlobs = 8;
constexpr unsigned kKeys = 10;
constexpr std::uint64_t kTight = 20 * kTestBlock;
constexpr std::uint64_t kRoomy = 1u << 30;

const TestBlob& blob_of(unsigned number) {
  static const std::vector<TestBlob> all = [] {
    std::vector<TestBlob> made;
    for (unsigned i = 0; i < kBlobs; ++i) {
      made.push_back(make_blob(i % 3 == 0 ? 20000 + i : 4 * kTestBlock + i, 500 + i));
    }
    return made;
  }();
  return all[number];
}

std::string key_of(unsigned number) { return "key" + std::to_string(number); }

// What a writer was promised, in memory that outlives it.
struct Promises {
  // Of each blob: the blocks that a flush which succeeded covered, one bit each.
  std::array<std::atomic<std::uint32_t>, kBlobs> flushed{};
  // Of each key: the number in the value whose put() was begun last, and in the one done last.
  std::array<std::atomic<std::uint32_t>, kKeys> begun{};
  std::array<std::atomic<std::uint32_t>, kKeys> done{};
};

class SharedPromises {
 public:
  SharedPromises()
      : at_(::mmap(nullptr, sizeof(Promises), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0)) {
    if (at_ == MAP_FAILED) std::abort();
    new (at_) Promises;
  }
  ~SharedPromises() { ::munmap(at_, sizeof(Promises)); }
  SharedPromises(const SharedPromises&) = delete;
  SharedPromises& operator=(const SharedPromises&) = delete;
  Promises& operator*() const { return *static_cast<Promises*>(at_); }
  Promises* operator->() const { return &**this; }

 private:
  void* const at_;
};

std::string value_of(unsigned key, std::uint32_t number, unsigned padding) {
  return key_of(key) + ":" + std::to_string(number) + ":" + std::string(padding, 'v') + key_of(key);
}

// Fills, reads, drops and notes metadata until it is killed.
class Writer {
 public:
  Writer(DiskCache& cache, Promises& promises, unsigned seed)
      : cache_(cache), promises_(promises), random_(seed) {
    for (unsigned i = 0; i < kBlobs; ++i) handed_[i] = promises_.flushed[i];
  }

  [[noreturn]] void run() {
    for (;;) {
      touch_blob(pick(kBlobs));
      if (pick(4) == 0) flush();
      put_metadata(pick(kKeys));
    }
  }

 private:
  void touch_blob(unsigned number) {
    const TestBlob& source = blob_of(number);
    auto blob = *cache_.blobs().open(source.key, kEndpoint);
    for (std::uint64_t i = 0; i < source.blocks(); ++i) {
      if (pick(4) == 0) continue;
      blob->put(i, source.block(i));
      handed_[number] |= 1u << i;
    }
    if (pick(8) != 0) return;
    promises_.flushed[number] = handed_[number] = 0;
    blob->drop();
  }

  void flush() {
    if (!cache_.blobs().flush()) return;
    for (unsigned i = 0; i < kBlobs; ++i) promises_.flushed[i] = handed_[i];
  }

  void put_metadata(unsigned key) {
    const std::uint32_t number = ++promises_.begun[key];
    const std::string value = value_of(key, number, pick(30000));
    if (cache_.meta().put("public", key_of(key), as_bytes(value))) promises_.done[key] = number;
  }

  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }

  DiskCache& cache_;
  Promises& promises_;
  std::mt19937 random_;
  std::array<std::uint32_t, kBlobs> handed_{};
};

class KilledCacheTest : public OpenedCache {
 protected:
  void SetUp() override { disk_calls::skip_syncs(true); }
  void TearDown() override {
    close();
    disk_calls::skip_syncs(false);
  }

  // Every block and value that is there is right; where nothing had to make room, all that was
  // promised is there. Returns how many blocks there are.
  std::uint64_t check(const Promises& promises, bool roomy) {
    std::uint64_t present = 0;
    for (unsigned number = 0; number < kBlobs; ++number) {
      const TestBlob& source = blob_of(number);
      const auto opened = blob(source);
      for (std::uint64_t i = 0; i < source.blocks(); ++i) {
        const auto expected = source.block(i);
        const std::string found = read_text(*opened, i * kTestBlock, expected->size());
        if (found == "<NotFound>") {
          EXPECT_FALSE(roomy && (promises.flushed[number] >> i & 1) != 0) << number << "/" << i;
          continue;
        }
        ++present;
        EXPECT_TRUE(found == as_text(*expected)) << number << "/" << i;
      }
    }
    for (unsigned key = 0; key < kKeys; ++key) check_metadata(promises, key);
    EXPECT_EQ(store().stats().corrupt_blocks, 0u);
    return present;
  }

  void check_metadata(const Promises& promises, unsigned key) {
    const std::string value = get(key_of(key));
    if (value == "<none>") {
      EXPECT_EQ(promises.done[key], 0u) << key;
      return;
    }
    const std::size_t colon = key_of(key).size();
    const auto number = static_cast<std::uint32_t>(std::atoi(value.c_str() + colon + 1));
    EXPECT_GE(number, promises.done[key]) << key;
    EXPECT_LE(number, promises.begun[key]) << key;
    const std::string shortest = value_of(key, number, 0);
    ASSERT_GE(value.size(), shortest.size()) << key;
    EXPECT_TRUE(value ==
                value_of(key, number, static_cast<unsigned>(value.size() - shortest.size())))
        << key;
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
    present += check(**promised, roomy);
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
