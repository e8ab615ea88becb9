// SPDX-License-Identifier: Apache-2.0
#include "cache/blob_entry.h"

#include <gtest/gtest.h>

#include "tests/cache/blobs.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::cache {
namespace {

using Blocks = std::vector<std::uint64_t>;

class BlobEntryTest : public testing::Test {
 protected:
  std::uint64_t put(std::uint64_t block, const EndpointId& by) {
    return entry_.put(block, source_.block(block), by).fill;
  }
  // As the writer and the committer take a block to the disk and into the index.
  std::uint64_t store(std::uint64_t block, const EndpointId& by) {
    const std::uint64_t fill = put(block, by);
    EXPECT_EQ(entry_.written(block, fill, 77), BlobEntry::Written::kYes);
    entry_.indexed(Blocks{block});
    return fill;
  }

  ManualClock clock_;
  // As eviction does, whenever they were used.
  Blocks drop_unused(const Blocks& blocks, bool all = false) {
    BlobEntry::Uses uses;
    for (const std::uint64_t block : blocks) uses.emplace_back(block, UINT64_MAX);
    return entry_.drop_unused(uses, all);
  }

  StoreCounters counters_{clock_};
  const TestBlob source_ = make_blob(4 * kTestBlock - 100, 1);
  const EndpointId hub_ = EndpointId::of(kEndpoint);
  const EndpointId mirror_ = EndpointId::of(kOtherEndpoint);
  BlobEntry entry_{source_.key, 1, kTestBlock, counters_};
};

TEST_F(BlobEntryTest, ABlockGoesFromMemoryToDisk) {
  const std::uint64_t fill = put(1, hub_);
  EXPECT_EQ(entry_.find(1, &hub_).where, BlobEntry::Found::kMemory);
  EXPECT_EQ(counters_.pending_bytes, kTestBlock);
  ASSERT_EQ(entry_.written(1, fill, 77), BlobEntry::Written::kYes);
  EXPECT_EQ(counters_.pending_bytes, 0u);
  const auto found = entry_.find(1, &hub_);
  EXPECT_EQ(found.where, BlobEntry::Found::kDisk);
  EXPECT_EQ(found.checksum, 77u);
  EXPECT_FALSE(found.checked);
  EXPECT_TRUE(entry_.finish_read(found, true));
  const auto again = entry_.find(1, &hub_);
  EXPECT_TRUE(again.checked);
  entry_.mark_unchecked(again);
  EXPECT_TRUE(entry_.finish_read(again, false));
  EXPECT_FALSE(entry_.peek(1).checked);
  EXPECT_EQ(entry_.cached_bytes(hub_), kTestBlock);
}

TEST_F(BlobEntryTest, ABlockThatIsHereIsNotTakenAgain) {
  store(0, hub_);
  EXPECT_EQ(entry_.put(0, source_.block(0), hub_).what, BlobEntry::Put::kKnown);
  put(1, hub_);
  EXPECT_EQ(entry_.put(1, source_.block(1), hub_).what, BlobEntry::Put::kKnown);
}

TEST_F(BlobEntryTest, ADroppedBlockIsPunchedBeforeItIsAbsent) {
  store(0, hub_);
  const std::uint64_t generation = entry_.generation();
  BlobEntry::Found other = entry_.peek(0);
  ++other.fill;
  EXPECT_FALSE(entry_.drop_block(other));
  ASSERT_TRUE(entry_.drop_block(entry_.peek(0)));
  EXPECT_NE(entry_.generation(), generation);
  EXPECT_EQ(entry_.find(0, &hub_).where, BlobEntry::Found::kAbsent);
  EXPECT_EQ(entry_.still_dropped(Blocks{0, 1}), Blocks{0});
  EXPECT_FALSE(entry_.idle());
  EXPECT_EQ(entry_.punched(Blocks{0, 1}), kTestBlock);
  EXPECT_TRUE(entry_.idle());
}

TEST_F(BlobEntryTest, ABlockWrittenOverADroppedOneIsNotPunched) {
  store(0, hub_);
  ASSERT_TRUE(entry_.drop_block(entry_.peek(0)));
  const std::uint64_t fill = put(0, hub_);
  EXPECT_EQ(entry_.written(0, fill, 78), BlobEntry::Written::kOverDropped);
  EXPECT_TRUE(entry_.still_dropped(Blocks{0}).empty());
  EXPECT_EQ(entry_.punched(Blocks{0}), 0u);
  EXPECT_EQ(entry_.find(0, &hub_).checksum, 78u);
}

TEST_F(BlobEntryTest, ABlockDroppedWhileItWasWrittenIsGone) {
  const std::uint64_t fill = put(0, hub_);
  EXPECT_TRUE(entry_.drop_all().empty());  // it was only pending
  EXPECT_EQ(entry_.pending(0, fill), nullptr);
  EXPECT_EQ(entry_.written(0, fill, 77), BlobEntry::Written::kGone);
  const std::uint64_t again = put(0, hub_);
  EXPECT_EQ(entry_.written(0, fill, 77), BlobEntry::Written::kGone);
  EXPECT_NE(entry_.pending(0, again), nullptr);
}

TEST_F(BlobEntryTest, OnlyWhatIsStillThereIsCommitted) {
  const std::uint64_t first = put(0, hub_);
  const std::uint64_t second = put(1, hub_);
  ASSERT_EQ(entry_.written(0, first, 1), BlobEntry::Written::kYes);
  ASSERT_EQ(entry_.written(1, second, 2), BlobEntry::Written::kYes);
  ASSERT_TRUE(entry_.drop_block(entry_.peek(1)));
  using Fills = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  EXPECT_EQ(entry_.committable(Fills{{0, first}, {1, second}, {0, first + 9}, {2, 5}}), Blocks{0});
}

TEST_F(BlobEntryTest, EvictionTakesOnlyWhatIsIndexed) {
  store(0, hub_);
  const std::uint64_t fill = put(1, hub_);
  ASSERT_EQ(entry_.written(1, fill, 1), BlobEntry::Written::kYes);
  put(2, hub_);
  EXPECT_EQ(drop_unused({0, 1, 2, 3}), Blocks{0});
  EXPECT_TRUE(entry_.has(1, hub_));
  EXPECT_TRUE(entry_.has(2, hub_));
}

TEST_F(BlobEntryTest, EvictionSparesWhatIsBeingReadAndWhatWasUsedSince) {
  for (std::uint64_t i = 0; i < 4; ++i) store(i, hub_);
  const auto one = entry_.find(0, &hub_);
  const auto other = entry_.find(0, &hub_);
  EXPECT_EQ(drop_unused({0, 1}), Blocks{1});
  EXPECT_TRUE(entry_.finish_read(one, true));
  EXPECT_TRUE(drop_unused({0}).empty());
  EXPECT_TRUE(entry_.finish_read(other, true));
  EXPECT_TRUE(drop_unused({0, 1}, true).empty());  // one of them is gone
  EXPECT_EQ(drop_unused({0}, true), Blocks{0});

  const std::uint64_t planned = counters_.uses.tick();
  entry_.finish_read(entry_.find(2, &hub_), true);
  EXPECT_EQ(entry_.drop_unused({{2, planned}, {3, planned}}, false), Blocks{3});
}

TEST_F(BlobEntryTest, AReadOfABlockThatWentAwayIsWorthNothing) {
  store(0, hub_);
  const auto found = entry_.find(0, &hub_);
  entry_.punched(entry_.drop_all());
  EXPECT_FALSE(entry_.finish_read(found, true));
  store(0, hub_);  // it came again: not what was read
  const auto fresh = entry_.find(0, &hub_);
  EXPECT_FALSE(fresh.checked);
  EXPECT_FALSE(entry_.finish_read(found, false));
}

TEST_F(BlobEntryTest, ABlockIsHotOnceItIsUsedAMinuteAfterItCame) {
  const auto is_hot = [&](std::uint64_t block) { return entry_.block_record(block)->hot; };
  store(0, hub_);
  for (int i = 0; i < 100; ++i) {  // many readers at once
    clock_.advance(std::chrono::milliseconds(590));
    entry_.finish_read(entry_.find(0, &hub_), true);
  }
  EXPECT_FALSE(is_hot(0));
  clock_.advance(std::chrono::seconds(1));
  entry_.finish_read(entry_.find(0, &hub_), true);
  EXPECT_TRUE(is_hot(0));
  const std::uint64_t fill = put(1, hub_);
  ASSERT_EQ(entry_.written(1, fill, 77, true), BlobEntry::Written::kYes);
  EXPECT_TRUE(is_hot(1));
}

TEST_F(BlobEntryTest, PinnedBytesAreCounted) {
  store(0, hub_);
  entry_.set_pinned(true);
  entry_.set_pinned(true);
  EXPECT_EQ(counters_.pinned_bytes, kTestBlock);
  put(3, hub_);
  EXPECT_EQ(counters_.pinned_bytes, 2 * kTestBlock - 100);
  entry_.punched(drop_unused({0}));
  EXPECT_EQ(counters_.pinned_bytes, kTestBlock - 100);
  entry_.set_pinned(false);
  EXPECT_EQ(counters_.pinned_bytes, 0u);
}

TEST_F(BlobEntryTest, ABlockBeyondTheEndIsNeverThere) {
  store(3, hub_);
  for (const std::uint64_t block : {std::uint64_t{4}, std::uint64_t{63}, UINT64_MAX}) {
    EXPECT_FALSE(entry_.has(block, hub_));
    EXPECT_EQ(entry_.find(block, &hub_).where, BlobEntry::Found::kAbsent);
  }
}

TEST_F(BlobEntryTest, UsesAreTakenOnceAndInParts) {
  const auto id =
      ContentId::create(ContentId::Algorithm::kSha256, std::string(64, 'a'), 5000 * kTestBlock);
  BlobEntry large({"public", *id}, 2, kTestBlock, counters_);
  for (std::uint64_t block = 0; block < 5000; ++block) {
    large.load_block(block, {static_cast<std::uint32_t>(kTestBlock), 1, 0, 1, false});
    large.finish_read(large.find(block, &hub_), true);
  }
  std::uint64_t next = 0;
  std::size_t taken = 0;
  int parts = 0;
  for (; next != UINT64_MAX; ++parts) taken += large.take_touched(next).size();
  EXPECT_EQ(taken, 5000u);
  EXPECT_GE(parts, 3);
  next = 0;
  EXPECT_TRUE(large.take_touched(next).empty());
}

TEST_F(BlobEntryTest, TrustMakesBlocksEverybodysAndLaterOnesAreNot) {
  for (std::uint64_t i = 0; i < 4; ++i) store(i, hub_);
  EXPECT_FALSE(entry_.has(0, mirror_));
  ASSERT_TRUE(entry_.trust(entry_.generation()));
  EXPECT_TRUE(entry_.verified());
  EXPECT_TRUE(entry_.has(0, mirror_));
  EXPECT_TRUE(entry_.complete(mirror_));
  // One is evicted and comes again: only the one that brought it may read it, until all is hashed
  // anew.
  const auto dropped = drop_unused({2});
  entry_.punched(dropped);
  EXPECT_FALSE(entry_.verified());
  entry_.add_handle(hub_);
  store(2, mirror_);
  EXPECT_TRUE(entry_.has(2, mirror_));
  EXPECT_FALSE(entry_.has(2, hub_));
  EXPECT_TRUE(entry_.has(1, hub_));
  EXPECT_FALSE(entry_.verified());
  EXPECT_TRUE(entry_.all_here());
}

TEST_F(BlobEntryTest, TrustNeedsThatNothingChanged) {
  for (std::uint64_t i = 0; i < 4; ++i) store(i, hub_);
  const std::uint64_t generation = entry_.generation();
  ASSERT_TRUE(entry_.drop_block(entry_.peek(3)));
  entry_.punched(Blocks{3});
  store(3, hub_);
  EXPECT_FALSE(entry_.trust(generation));
  EXPECT_FALSE(entry_.drop_all_if(generation).has_value());
  EXPECT_TRUE(entry_.trust(entry_.generation()));
}

TEST_F(BlobEntryTest, AnotherEndpointTakesOverWhenTheOwnerIsGone) {
  entry_.add_handle(hub_);
  entry_.add_handle(mirror_);
  store(0, hub_);
  const auto streamed = entry_.put(1, source_.block(1), mirror_);
  EXPECT_EQ(streamed.what, BlobEntry::Put::kForeign);
  EXPECT_TRUE(entry_.has(1, mirror_));
  EXPECT_FALSE(entry_.has(1, hub_));
  entry_.forget(1, streamed.fill);
  EXPECT_FALSE(entry_.has(1, mirror_));
  EXPECT_EQ(counters_.pending_bytes, 0u);

  entry_.remove_handle(hub_);
  const auto taken = entry_.put(1, source_.block(1), mirror_);
  EXPECT_EQ(taken.what, BlobEntry::Put::kPending);
  EXPECT_EQ(taken.dropped, Blocks{0});
  EXPECT_FALSE(entry_.has(0, hub_));
  EXPECT_FALSE(entry_.has(0, mirror_));
}

TEST_F(BlobEntryTest, TheVerifierIsHandedWhatComesInOrder) {
  using Awaited = BlobEntry::Awaited;
  EXPECT_TRUE(entry_.put(0, source_.block(0), hub_).in_order);
  EXPECT_EQ(entry_.await_block(0), Awaited::kComing);  // handed over, or about to be
  EXPECT_EQ(entry_.await_block(1), Awaited::kAbsent);
  const auto early = entry_.put(2, source_.block(2), hub_);
  EXPECT_FALSE(early.in_order);
  EXPECT_TRUE(early.early);
  const auto next = entry_.put(1, source_.block(1), hub_);
  EXPECT_TRUE(next.in_order);
  EXPECT_FALSE(next.early);
  EXPECT_EQ(next.next, 3u);  // what came early is in order now
  EXPECT_EQ(entry_.await_block(1), Awaited::kComing);
  EXPECT_EQ(entry_.await_block(2), Awaited::kComing);
  EXPECT_EQ(entry_.await_block(3), Awaited::kAbsent);
  const auto last = entry_.put(3, source_.block(3), hub_);
  EXPECT_TRUE(last.in_order);
  EXPECT_EQ(last.next, 4u);
  EXPECT_TRUE(last.whole);
}

TEST_F(BlobEntryTest, WhatTheVerifierIsNotHandedYetIsInOrderAllTheSame) {
  using Awaited = BlobEntry::Awaited;
  EXPECT_EQ(entry_.await_block(0), Awaited::kAbsent);
  store(1, hub_);
  store(2, hub_);
  EXPECT_EQ(entry_.put(0, source_.block(0), hub_).next, 3u);
  drop_unused({1});
  EXPECT_EQ(entry_.await_block(0), Awaited::kHere);  // nothing is on its way any more
  EXPECT_EQ(entry_.await_block(1), Awaited::kAbsent);
}

TEST_F(BlobEntryTest, TheVerifierIsHandedNothingBehindALostBlock) {
  const auto first = entry_.put(0, source_.block(0), hub_);
  entry_.forget(0, first.fill);
  const auto again = entry_.put(0, source_.block(0), hub_);
  EXPECT_FALSE(again.in_order);
  EXPECT_NE(again.generation, first.generation);
  EXPECT_EQ(entry_.await_block(0), BlobEntry::Awaited::kHere);
  EXPECT_TRUE(entry_.put(1, source_.block(1), hub_).in_order);
  entry_.await_none();
  const auto unwanted = entry_.put(2, source_.block(2), hub_);
  EXPECT_FALSE(unwanted.in_order || unwanted.early);
  EXPECT_TRUE(entry_.put(3, source_.block(3), hub_).whole);
}

// Who counts the buffers starts what waited for memory, and asks for other blocks with its own
// locks held: it must not be told under the entry's.
TEST_F(BlobEntryTest, NoBufferIsLetGoUnderTheLock) {
  unsigned let_go = 0;
  const auto counted = [&](std::uint64_t block) {
    return std::shared_ptr<const Bytes>(new Bytes(*source_.block(block)), [&](const Bytes* bytes) {
      delete bytes;
      static_cast<void>(entry_.all_here());  // takes the lock: would hang
      ++let_go;
    });
  };
  entry_.add_handle(hub_);
  const auto first = entry_.put(0, counted(0), hub_);
  EXPECT_EQ(entry_.written(0, first.fill, 77), BlobEntry::Written::kYes);
  EXPECT_EQ(let_go, 1u);
  entry_.forget(1, entry_.put(1, counted(1), hub_).fill);
  EXPECT_EQ(let_go, 2u);
  entry_.forget(2, entry_.put(2, counted(2), mirror_).fill);
  EXPECT_EQ(let_go, 3u);
  const auto streamed = entry_.put(2, counted(2), mirror_);
  entry_.put(2, counted(2), mirror_);  // once more
  EXPECT_EQ(let_go, 4u);
  entry_.forget(2, streamed.fill);
  EXPECT_EQ(let_go, 5u);
  entry_.put(1, counted(1), hub_);
  entry_.drop_all();
  EXPECT_EQ(let_go, 6u);
  entry_.put(1, counted(1), hub_);
  EXPECT_TRUE(entry_.drop_all_if(entry_.generation()));
  EXPECT_EQ(let_go, 7u);
  entry_.put(1, counted(1), hub_);
  entry_.remove_handle(hub_);
  entry_.put(1, counted(1), mirror_);  // takes over
  EXPECT_EQ(let_go, 8u);
  entry_.drop_all();
  EXPECT_EQ(let_go, 9u);  // all
}

TEST_F(BlobEntryTest, AStampIsForgottenWithABlock) {
  for (std::uint64_t i = 0; i < 4; ++i) store(i, hub_);
  EXPECT_FALSE(entry_.stampable());
  ASSERT_TRUE(entry_.trust(entry_.generation()));
  ASSERT_TRUE(entry_.stampable());
  entry_.stamp({1, 2, 3, 4}, entry_.generation());
  EXPECT_TRUE(entry_.record().verified);
  drop_unused({0});
  EXPECT_FALSE(entry_.record().verified);
  entry_.stamp({1, 2, 3, 4}, entry_.generation());
  EXPECT_FALSE(entry_.record().verified);
}

TEST_F(BlobEntryTest, MemoryFollowsWhatIsCachedNotWhatIsClaimed) {
  const auto id =
      ContentId::create(ContentId::Algorithm::kSha256, std::string(64, 'a'), 1ull << 44);
  BlobEntry huge({"public", *id}, 2, kTestBlock, counters_);
  const auto last = huge.block_count() - 1;
  auto bytes = std::make_shared<const Bytes>(kTestBlock);
  const auto put = huge.put(last, bytes, hub_);
  EXPECT_EQ(huge.written(last, put.fill, 1), BlobEntry::Written::kYes);
  EXPECT_TRUE(huge.has(last, hub_));
  EXPECT_FALSE(huge.has(0, hub_));
}

TEST_F(BlobEntryTest, CountersReturnToZero) {
  entry_.add_handle(hub_);
  entry_.add_handle(mirror_);
  for (std::uint64_t i = 0; i < 3; ++i) store(i, hub_);
  put(3, hub_);
  entry_.put(0, source_.block(0), mirror_);
  const auto foreign = entry_.put(1, source_.block(1), mirror_);
  EXPECT_EQ(counters_.blobs, 1u);
  EXPECT_EQ(counters_.blocks, 3u);
  entry_.punched(entry_.drop_all());
  entry_.forget(1, foreign.fill);
  entry_.forget(0, foreign.fill - 1);
  EXPECT_EQ(counters_.blobs, 0u);
  EXPECT_EQ(counters_.blocks, 0u);
  EXPECT_EQ(counters_.pending_bytes, 0u);
}

}  // namespace
}  // namespace hubvfs::cache
