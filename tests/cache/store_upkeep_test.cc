// SPDX-License-Identifier: Apache-2.0
// What the store does while nobody uses it, and disks that cannot punch holes.
#include <sys/mount.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class StoreUpkeepTest : public OpenedCache {
 protected:
  void SetUp() override {}
  // Waits, however long it takes, while the store's clock stands still.
  template <typename Condition>
  static void until(Condition&& so) {
    while (!so()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  // The housekeeper has looked at least once since `clock_` was moved.
  void one_round() {
    const TestBlob mark = make_blob(kTestBlock, 999);
    fill(mark);
    passthrough_ = mark.key;
    store().set_passthrough_check([this](const BlobKey& key) { return key == passthrough_; });
    blob(mark)->drop();  // not punched while it is open, and punched by the housekeeper
    flush();
    const std::uint64_t held = store().stats().bytes_used;
    store().set_passthrough_check({});
    clock_.advance(seconds(5));
    until([&] { return store().stats().bytes_used < held; });
    flush();
  }

  std::optional<BlobKey> passthrough_;
};

TEST_F(StoreUpkeepTest, WhatIsUnusedForTheTtlGoesWithoutAReader) {
  options_.eviction.policy = EvictionPolicy::kTtl;
  options_.eviction.ttl = hours(2);
  open();
  const TestBlob old = make_blob(3 * kTestBlock, 1);
  const TestBlob small = make_blob(500, 2);
  const TestBlob pinned = make_blob(2 * kTestBlock, 3);
  for (const TestBlob* source : {&old, &small, &pinned}) fill(*source);
  store().set_pinned({pinned.key});
  clock_.advance(hours(1));
  read_text(*blob(old), kTestBlock, 1);
  clock_.advance(minutes(59));
  one_round();
  EXPECT_TRUE(blob(old)->complete());

  clock_.advance(minutes(1));
  until([&] { return store().stats().expired_blocks == 3; });
  EXPECT_FALSE(blob(old)->has(0));
  EXPECT_TRUE(blob(old)->has(1));
  EXPECT_EQ(blob(small)->cached_bytes(), 0u);
  EXPECT_TRUE(blob(pinned)->complete());
  clock_.advance(hours(1));
  until([&] { return store().stats().expired_blocks == 4; });
  flush();
  EXPECT_FALSE(std::filesystem::exists(data_file(old)));
  EXPECT_EQ(store().stats().bytes_used, 2 * kTestBlock);
  EXPECT_EQ(store().stats().policy, "ttl");
  EXPECT_EQ(store().stats().ttl_seconds, 7200u);
}

TEST_F(StoreUpkeepTest, OtherPoliciesForgetNothingForItsAge) {
  for (const EvictionPolicy policy : {EvictionPolicy::kLru, EvictionPolicy::kFifo}) {
    options_.eviction.policy = policy;
    options_.eviction.ttl = hours(2);
    open();
    const TestBlob source = make_blob(3 * kTestBlock, 4);
    fill(source);
    clock_.advance(hours(1000));
    one_round();
    expect_whole(source);
    EXPECT_EQ(store().stats().ttl_seconds, 0u);
  }
}

TEST_F(StoreUpkeepTest, TheTimeOfUseOutlivesARestart) {
  options_.eviction.policy = EvictionPolicy::kTtl;
  options_.eviction.ttl = hours(2);
  open();
  const TestBlob large = make_blob(2 * kTestBlock, 5);
  const TestBlob small = make_blob(500, 6);
  const TestBlob used = make_blob(500, 7);
  for (const TestBlob* source : {&large, &small, &used}) fill(*source);
  clock_.advance(hours(1));
  read_text(*blob(used));
  open();
  clock_.advance(hours(1));
  until([&] { return store().stats().expired_blocks == 3; });
  EXPECT_EQ(blob(large)->cached_bytes(), 0u);
  EXPECT_EQ(blob(small)->cached_bytes(), 0u);
  EXPECT_TRUE(blob(used)->complete());
}

TEST_F(StoreUpkeepTest, AClockThatWasSetBackExpiresNothingEarly) {
  options_.eviction.policy = EvictionPolicy::kTtl;
  options_.eviction.ttl = hours(2);
  clock_.advance(hours(5000));
  open();
  const TestBlob source = make_blob(2 * kTestBlock, 8);
  fill(source);
  close();
  clock_.advance(-hours(5000));
  open();
  clock_.advance(minutes(119));
  one_round();
  expect_whole(source);
  clock_.advance(hours(2));  // and it is not kept for 5000 hours
  until([&] { return store().stats().expired_blocks == 2; });
}

TEST_F(StoreUpkeepTest, ACacheBeyondItsWatermarkShrinksWithoutAReader) {
  open();
  const TestBlob source = make_blob(20 * kTestBlock, 9);
  fill(source);
  open(10 * kTestBlock);
  clock_.advance(seconds(5));
  until([&] { return store().stats().bytes_used <= 10 * kTestBlock * 85 / 100; });
  flush();
  EXPECT_EQ(store().stats().bytes_used, 8 * kTestBlock);
}

TEST_F(StoreUpkeepTest, TheWatermarksAreThoseThatWereAskedFor) {
  options_.eviction.high_watermark = 60;
  options_.eviction.low_watermark = 30;
  open(10 * kTestBlock);
  const TestBlob source = make_blob(6 * kTestBlock, 10);
  fill(source);
  EXPECT_EQ(store().stats().bytes_used, 6 * kTestBlock);
  fill(make_blob(kTestBlock, 11));
  EXPECT_EQ(store().stats().bytes_used, 3 * kTestBlock);
}

TEST_F(StoreUpkeepTest, ACachedReadCostsNoTransaction) {
  open();
  const TestBlob large = make_blob(4 * kTestBlock, 12);
  const TestBlob small = make_blob(500, 13);
  fill(large);
  fill(small);
  one_round();
  const std::uint64_t before = store().stats().index_writes;
  for (int i = 0; i < 500; ++i) {
    read_text(*blob(large));
    read_text(*blob(small));
  }
  flush();
  EXPECT_EQ(store().stats().index_writes, before);
  // Ten minutes later all of it is one.
  clock_.advance(minutes(10));
  until([&] { return store().stats().index_writes > before; });
  EXPECT_EQ(store().stats().index_writes, before + 1);
}

TEST_F(StoreUpkeepTest, WhatIsUsedAgainAndAgainStaysWhenMuchIsReadOnce) {
  open(20 * kTestBlock);
  const TestBlob hot = make_blob(4 * kTestBlock, 14);
  fill(hot);
  clock_.advance(seconds(61));
  read_text(*blob(hot));
  for (const bool reopened : {false, true}) {
    if (reopened) open(20 * kTestBlock);
    fill(make_blob(80 * kTestBlock, reopened ? 16 : 15));
    expect_whole(hot);
  }
}

TEST_F(StoreUpkeepTest, AFileOpenInPassthroughIsNotPunchedUntilItIsClosed) {
  open();
  const TestBlob source = make_blob(3 * kTestBlock, 17);
  fill(source);
  const std::string bytes = read_file(data_file(source));
  // It is opened just when the store has looked: asked again, it is open.
  std::atomic<int> asked{0};
  std::atomic<bool> is_open{true};
  store().set_passthrough_check([&](const BlobKey&) { return asked++ > 0 && is_open; });
  auto opened = blob(source);
  EXPECT_EQ(store().evict(source.key).value_or(99), 0u);
  EXPECT_GE(asked, 2);
  EXPECT_FALSE(opened->complete());  // by this the one who opens sees it
  EXPECT_FALSE(opened->verified());
  EXPECT_TRUE(read_file(data_file(source)) == bytes);
  EXPECT_EQ(store().stats().bytes_used, 3 * kTestBlock);
  is_open = false;
  clock_.advance(seconds(5));
  until([&] { return store().stats().bytes_used == 0; });
  opened.reset();
  close();  // it asks what ends here
}

TEST_F(StoreUpkeepTest, VerifyFindsWhatTurnedBadAfterItWasRead) {
  open();
  const TestBlob source = make_blob(3 * kTestBlock, 18);
  const TestBlob small = make_blob(5000, 19);
  fill(source);
  fill(small);
  const auto opened = blob(source);
  read_text(*opened);  // from now on its checksums are trusted
  flip_byte(data_file(source), kTestBlock + 17);

  const auto looked = store().verify(false, {});
  ASSERT_TRUE(looked) << looked.error().context;
  EXPECT_EQ(looked->bad_blocks, 1u);
  EXPECT_EQ(looked->blocks, 4u);
  EXPECT_EQ(looked->bad_blobs, 0u);
  ASSERT_EQ(looked->problems.size(), 1u);
  EXPECT_NE(looked->problems[0].find(source.key.content.to_string()), std::string::npos);
  EXPECT_NE(looked->problems[0].find("block 1"), std::string::npos);
  EXPECT_TRUE(opened->has(1));  // it was not told to drop it; but nobody gets the wrong byte
  EXPECT_EQ(read_text(*opened, kTestBlock, 100), "<NotFound>");
}

TEST_F(StoreUpkeepTest, VerifyDropsWhatIsBadWhenItIsToldTo) {
  open();
  const TestBlob source = make_blob(3 * kTestBlock, 20);
  const TestBlob gone = make_blob(2 * kTestBlock, 21);
  fill(source);
  fill(gone);
  flip_byte(data_file(source), 5);
  std::filesystem::remove(data_file(gone));
  open();  // else its descriptor is still open
  const auto report = store().verify(true, {});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->bad_blocks, 3u);
  EXPECT_EQ(report->problems.size(), 3u);
  EXPECT_EQ(store().stats().corrupt_blocks, 3u);
  EXPECT_EQ(store().stats().bytes_used, 2 * kTestBlock);
  EXPECT_FALSE(blob(source)->has(0));
  EXPECT_EQ(blob(gone)->cached_bytes(), 0u);
  fill(source);
  expect_whole(source);
  EXPECT_EQ(store().verify(false, {})->bad_blocks, 0u);
}

class WholeBlobsTest : public StoreUpkeepTest {
 protected:
  // Everything that a cache without holes has to do.
  void evicts_whole_blobs() {
    open(10 * kTestBlock);
    EXPECT_TRUE(store().stats().whole_blobs);
    const TestBlob first = make_blob(4 * kTestBlock, 30);
    const TestBlob second = make_blob(4 * kTestBlock, 31);
    const TestBlob third = make_blob(4 * kTestBlock, 32);
    fill(first);
    fill(second);
    read_text(*blob(first), 0, 1);  // one block is enough for all of it
    auto held = blob(second);
    fill(third);
    EXPECT_TRUE(blob(first)->complete());
    EXPECT_EQ(held->cached_bytes(), 0u);
    EXPECT_FALSE(std::filesystem::exists(data_file(second)));
    EXPECT_FALSE(std::filesystem::exists(data_file(second) + ".map"));
    expect_whole(third);
    EXPECT_LE(store().stats().bytes_used, 10 * kTestBlock);
    EXPECT_EQ(store().stats().degraded, "");

    put_all(*held, second);  // by the handle that it left without a file
    flush();
    EXPECT_TRUE(held->verified());
    EXPECT_EQ(brief(read_text(*held)), brief(second.content));
    held.reset();
    expect_nothing_lost();
  }
  void expect_nothing_lost() {
    const std::uint64_t used = store().stats().bytes_used;
    std::map<BlobKey, std::uint64_t> before;
    store().for_each_blob([&](const BlobInfo& info) { before[info.key] = info.bytes; });
    open(10 * kTestBlock);
    EXPECT_EQ(store().stats().bytes_used, used);
    store().for_each_blob([&](const BlobInfo& info) { EXPECT_EQ(before[info.key], info.bytes); });
    EXPECT_EQ(store().verify(false, {})->bad_blocks, 0u);
  }
};

TEST_F(WholeBlobsTest, WholeBlobsGoWhereTheDiskIsNotToPunchHoles) {
  options_.punch_holes = false;
  evicts_whole_blobs();
}

TEST_F(WholeBlobsTest, WholeBlobsGoOnAFilesystemWithoutHoles) {
  const TempDir mount;
  if (::mount("ramfs", mount.path().c_str(), "ramfs", 0, "mode=0700") != 0) {
    GTEST_SKIP() << "only root can mount a ramfs";
  }
  path_ = mount / "cache";
  evicts_whole_blobs();
  close();
  EXPECT_EQ(::umount2(mount.path().c_str(), MNT_DETACH), 0);
}

TEST_F(WholeBlobsTest, WhereHolesCanBePunchedTheyAre) {
  open(10 * kTestBlock);
  EXPECT_FALSE(store().stats().whole_blobs);
}

class FullDiskTest : public StoreUpkeepTest {
 protected:
  static constexpr std::uint64_t kDisk = 32u << 20;
  void SetUp() override {
    const std::string size = "size=" + std::to_string(kDisk) + ",mode=0700";
    if (::mount("tmpfs", mount_.path().c_str(), "tmpfs", 0, size.c_str()) != 0) {
      GTEST_SKIP() << "only root can mount a small disk";
    }
    mounted_ = true;
    path_ = mount_ / "cache";
  }
  void TearDown() override {
    close();
    if (!mounted_) return;
    EXPECT_EQ(::umount2(mount_.path().c_str(), MNT_DETACH), 0);
  }
  std::uint64_t free_bytes() const { return std::filesystem::space(mount_.path()).available; }
  TempDir mount_;
  bool mounted_ = false;
};

TEST_F(FullDiskTest, RoomIsMadeWhenOthersFillTheDisk) {
  options_.eviction.min_free.bytes = 8u << 20;
  open();
  const TestBlob pinned = make_blob(4 * kTestBlock, 40);
  const TestBlob source = make_blob(40 * kTestBlock, 41);
  fill(pinned);
  store().set_pinned({pinned.key});
  fill(source);
  EXPECT_TRUE(blob(source)->complete());
  EXPECT_EQ(store().stats().min_free, 8u << 20);
  EXPECT_GE(store().stats().disk_free, 8u << 20);
  write_file(mount_ / "others", std::string(free_bytes() - (2u << 20), 'x'));
  ASSERT_LT(free_bytes(), 8u << 20);
  until([&] {  // a file that is being synced is left for the next time
    clock_.advance(seconds(5));
    return free_bytes() >= 8u << 20;
  });
  EXPECT_TRUE(blob(pinned)->complete());
  EXPECT_GT(blob(source)->cached_bytes(), 0u);
}

TEST_F(FullDiskTest, AShareOfTheDiskStaysFree) {
  options_.eviction.min_free.percent = 50;
  open();
  for (unsigned i = 0; i < 10; ++i) {
    fill(make_blob(16 * kTestBlock, 50 + i));
    EXPECT_GE(free_bytes(), kDisk / 2);
  }
  EXPECT_GT(store().stats().bytes_used, kDisk / 4);
  EXPECT_EQ(store().stats().min_free, kDisk / 2);
  EXPECT_EQ(store().stats().degraded, "");
}

}  // namespace
}  // namespace hubvfs::cache
