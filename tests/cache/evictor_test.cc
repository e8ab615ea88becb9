// SPDX-License-Identifier: Apache-2.0
#include "cache/evictor.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <set>

#include "cache/ghost_filter.h"
#include "tests/cache/blobs.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::cache {
namespace {

class EvictorTest : public testing::Test {
 protected:
  using EntryPtr = std::shared_ptr<BlobEntry>;

  EvictorTest() { set(EvictionPolicy::kLru); }
  void set(EvictionPolicy policy, bool whole_blobs = false) {
    EvictionSettings settings;
    settings.policy = policy;
    context_ =
        std::make_unique<StoreContext>(directory_, small_, kTestBlock, settings, log_, clock_);
    context_->whole_blobs = whole_blobs;
    context_->quota.set_limit(1000 * kTestBlock, 0);
    evictor_ = std::make_unique<Evictor>(*context_);
  }
  // A blob whose blocks are all on disk, used in order.
  EntryPtr add(std::uint64_t blocks, char name) {
    const auto id = *ContentId::create(ContentId::Algorithm::kSha256, std::string(64, name),
                                       blocks * kTestBlock);
    EntryPtr entry = context_->table.open({"public", id}, hub_);
    for (std::uint64_t i = 0; i < blocks; ++i) add_block(entry, i);
    return entry;
  }
  void add_block(const EntryPtr& entry, std::uint64_t block) {
    const auto put = entry->put(block, std::make_shared<const Bytes>(), hub_);
    entry->written(block, put.fill, 1, evictor_->came_back(*entry, block));
    entry->indexed(std::vector<std::uint64_t>{block});
  }
  void use(const EntryPtr& entry, std::uint64_t block) {
    entry->finish_read(entry->find(block, &hub_), true);
  }
  // Carries the plan out; the blocks that went.
  std::uint64_t carry_out() {
    std::uint64_t count = 0;
    while (evictor_->planned()) {
      for (auto& [entry, blocks] : evictor_->drop_next(3)) {
        count += blocks.size();
        entry->punched(blocks);
      }
    }
    return count;
  }
  std::uint64_t evict(std::uint64_t blocks) {
    evictor_->plan(blocks * kTestBlock);
    return carry_out();
  }
  std::string left(const EntryPtr& entry) const {
    std::string text;
    for (std::uint64_t i = 0; i < entry->block_count(); ++i) {
      text += entry->has(i, hub_) ? std::to_string(i) : "-";
    }
    return text;
  }

  TempDir dir_;
  const Directory directory_{
      UniqueFd(::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
  NullLogger log_;
  SmallBlobs small_{directory_, log_};
  ManualClock clock_;
  const EndpointId hub_ = EndpointId::of(kEndpoint);
  std::unique_ptr<StoreContext> context_;
  std::unique_ptr<Evictor> evictor_;
};

TEST_F(EvictorTest, LruTakesWhatWasUsedLongestAgo) {
  const EntryPtr blob = add(6, 'a');
  use(blob, 0);
  use(blob, 1);
  EXPECT_EQ(evict(2), 2u);
  EXPECT_EQ(left(blob), "01--45");
  EXPECT_EQ(context_->counters.evicted, 2u);
}

TEST_F(EvictorTest, FifoTakesWhatCameFirstHoweverMuchItIsUsed) {
  set(EvictionPolicy::kFifo);
  const EntryPtr blob = add(6, 'a');
  clock_.advance(std::chrono::hours(1));
  use(blob, 0);
  use(blob, 1);
  EXPECT_EQ(evict(2), 2u);
  EXPECT_EQ(left(blob), "--2345");
}

TEST_F(EvictorTest, WhatIsUsedAfterItWasPlannedIsSpared) {
  const EntryPtr blob = add(6, 'a');
  evictor_->plan(4 * kTestBlock);
  use(blob, 1);
  EXPECT_EQ(carry_out(), 3u);
  EXPECT_EQ(left(blob), "-1--45");
}

TEST_F(EvictorTest, WhatIsPinnedOrOpenedAfterItWasPlannedIsSpared) {
  const EntryPtr pinned = add(3, 'a');
  const EntryPtr opened = add(3, 'b');
  const EntryPtr other = add(3, 'c');
  evictor_->plan(9 * kTestBlock);
  context_->table.set_pinned({pinned->key()});
  context_->in_passthrough.set([&](const BlobKey& key) { return key == opened->key(); });
  EXPECT_EQ(carry_out(), 3u);
  EXPECT_EQ(left(pinned), "012");
  EXPECT_EQ(left(opened), "012");
  EXPECT_EQ(left(other), "---");
  EXPECT_EQ(evict(9), 0u);
}

TEST_F(EvictorTest, ABlockThatComesBackSoonIsHotAtOnce) {
  const EntryPtr blob = add(4, 'a');
  evict(2);
  add_block(blob, 0);  // was evicted
  EXPECT_TRUE(blob->block_record(0)->hot);
  EXPECT_FALSE(blob->block_record(3)->hot);
  const EntryPtr other = add(4, 'b');  // never was
  EXPECT_FALSE(other->block_record(0)->hot);
}

TEST_F(EvictorTest, WhatWasNotUsedForTheTtlGoes) {
  const EntryPtr old = add(3, 'a');
  clock_.advance(std::chrono::hours(5));
  use(old, 1);
  const EntryPtr young = add(2, 'b');
  clock_.advance(std::chrono::hours(2));
  evictor_->plan_unused_for(std::chrono::hours(7) + std::chrono::seconds(1), true);
  EXPECT_FALSE(evictor_->planned());
  evictor_->plan_unused_for(std::chrono::hours(7), true);
  EXPECT_EQ(carry_out(), 2u);
  EXPECT_EQ(left(old), "-1-");
  EXPECT_EQ(left(young), "01");
  EXPECT_EQ(context_->counters.expired, 2u);
  add_block(old, 0);  // nobody had missed it
  EXPECT_FALSE(old->block_record(0)->hot);
}

TEST_F(EvictorTest, WholeBlobsGoWhereHolesCannotBePunched) {
  set(EvictionPolicy::kLru, true);
  const EntryPtr first = add(3, 'a');
  const EntryPtr second = add(3, 'b');
  const EntryPtr third = add(3, 'c');
  use(first, 2);
  EXPECT_EQ(evict(4), 6u);  // no part of a blob
  EXPECT_EQ(left(first), "012");
  EXPECT_EQ(left(second), "---");
  EXPECT_EQ(left(third), "---");
}

TEST_F(EvictorTest, AWholeBlobIsSparedForOneBlockThatIsRead) {
  set(EvictionPolicy::kLru, true);
  const EntryPtr blob = add(3, 'a');
  const auto reading = blob->find(1, &hub_);
  EXPECT_EQ(evict(3), 0u);
  blob->finish_read(reading, true);
  EXPECT_EQ(evict(3), 3u);
}

TEST_F(EvictorTest, ALargerPlanTakesThePlaceOfASmallerOne) {
  add(9, 'a');
  evictor_->plan(3 * kTestBlock);
  evictor_->plan(5 * kTestBlock);
  evictor_->plan(2 * kTestBlock);
  EXPECT_EQ(carry_out(), 5u);
}

TEST(GhostFilter, RemembersTheLatestAndForgetsTheOldest) {
  GhostFilter ghosts(1000, 1);
  const BlobKey key = make_blob(10, 1).key;
  for (std::uint64_t i = 0; i < 3000; ++i) ghosts.add(key, i, 1);
  for (std::uint64_t i = 2500; i < 3000; ++i) EXPECT_TRUE(ghosts.contains(key, i)) << i;
  int known = 0;
  for (std::uint64_t i = 0; i < 2000; ++i) known += ghosts.contains(key, i) ? 1 : 0;
  EXPECT_LT(known, 100);
  BlobKey other = key;
  other.space = "u1000";
  known = 0;
  for (std::uint64_t i = 2000; i < 3000; ++i) known += ghosts.contains(other, i) ? 1 : 0;
  EXPECT_LT(known, 50);
}

TEST(GhostFilter, SmallBlocksDoNotFillItWithoutEnd) {
  GhostFilter ghosts(1000 * 1000, 1000);  // a thousand blocks, if they were whole
  const BlobKey key = make_blob(10, 1).key;
  for (std::uint64_t i = 0; i < 100'000; ++i) ghosts.add(key, i, 1);
  int known = 0;
  for (std::uint64_t i = 0; i < 90'000; ++i) known += ghosts.contains(key, i) ? 1 : 0;
  EXPECT_LT(known, 4500);
}

}  // namespace
}  // namespace hubvfs::cache
