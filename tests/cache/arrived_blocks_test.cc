// SPDX-License-Identifier: Apache-2.0
#include "cache/arrived_blocks.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <new>

#include "tests/cache/blobs.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::cache {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kLimit = 8 * kTestBlock;  // of one blob; 6 of them early

class ArrivedBlocksTest : public testing::Test {
 protected:
  using EntryPtr = ArrivedBlocks::EntryPtr;
  enum class Hashed { kNow, kLater };

  EntryPtr make_entry(unsigned seed) {
    const TestBlob source = make_blob(64 * kTestBlock, seed);
    return std::make_shared<BlobEntry>(source.key, seed, kTestBlock, counters_);
  }
  void add(const EntryPtr& entry, std::uint64_t block, const BlobEntry::Put& put,
           Hashed hashed = Hashed::kLater) {
    arrived_.add(entry, block, put, std::make_shared<const Bytes>(kTestBlock),
                 hashed == Hashed::kNow, now_, removed_);
  }
  // In order, and what is before `next` is here.
  static BlobEntry::Put in_order(std::uint64_t next, std::uint64_t generation = 1) {
    BlobEntry::Put put;
    put.in_order = true;
    put.next = next;
    put.generation = generation;
    return put;
  }
  static BlobEntry::Put early(std::uint64_t generation = 1) {
    BlobEntry::Put put;
    put.early = true;
    put.generation = generation;
    return put;
  }
  enum class Taken { kNone, kHeld, kToBeRead };
  Taken take(const EntryPtr& entry, std::uint64_t block, std::uint64_t generation = 1) {
    const auto arrival = arrived_.take(entry, block, generation, removed_);
    if (!arrival) return Taken::kNone;
    return arrival->bytes ? Taken::kHeld : Taken::kToBeRead;
  }

  ManualClock clock_;
  StoreCounters counters_{clock_};
  ArrivedBlocks::Time now_{seconds(100)};
  ArrivedBlocks::Buffers removed_;
  ArrivedBlocks arrived_{kLimit};
  const EntryPtr entry_ = make_entry(1);
};

TEST_F(ArrivedBlocksTest, WhatIsInOrderIsHeldToTheLimitAndReadBackBeyond) {
  for (std::uint64_t block = 0; block < 10; ++block) add(entry_, block, in_order(block + 1));
  EXPECT_EQ(arrived_.held(), kLimit);
  EXPECT_EQ(removed_.size(), 2u);
  for (std::uint64_t block = 0; block < 8; ++block) EXPECT_EQ(take(entry_, block), Taken::kHeld);
  EXPECT_EQ(take(entry_, 8), Taken::kToBeRead);
  EXPECT_EQ(take(entry_, 9), Taken::kToBeRead);
  EXPECT_EQ(take(entry_, 10), Taken::kNone);
  EXPECT_EQ(arrived_.held(), 0u);
  EXPECT_TRUE(arrived_.empty());
}

TEST_F(ArrivedBlocksTest, OfTheOneThatIsHashedMoreIsHeldAsItGoesByItself) {
  for (std::uint64_t block = 0; block < 40; ++block) {
    add(entry_, block, in_order(block + 1), Hashed::kNow);
  }
  EXPECT_EQ(arrived_.held(), 4 * kLimit);
  EXPECT_EQ(take(entry_, 0), Taken::kHeld);
}

TEST_F(ArrivedBlocksTest, WhatIsEarlyIsHeldLessOfEvenThen) {
  for (std::uint64_t block = 5; block < 15; ++block) add(entry_, block, early(), Hashed::kNow);
  EXPECT_EQ(arrived_.held(), kLimit / 4 * 3);
  const EntryPtr other = make_entry(2);
  add(other, 5, early());  // the limit is each blob's
  EXPECT_EQ(arrived_.held(), kLimit / 4 * 3 + kTestBlock);
}

TEST_F(ArrivedBlocksTest, WhatWasEarlyIsInOrderOnceTheGapIsFilled) {
  for (std::uint64_t block = 1; block < 9; ++block) add(entry_, block, early());
  EXPECT_EQ(take(entry_, 0), Taken::kNone);
  add(entry_, 0, in_order(9));
  for (std::uint64_t block = 10; block < 16; ++block) add(entry_, block, early(), Hashed::kNow);
  EXPECT_EQ(arrived_.held(), kLimit);  // what is early counts as such no more, but is still held
  for (std::uint64_t block = 0; block < 7; ++block) EXPECT_EQ(take(entry_, block), Taken::kHeld);
  EXPECT_EQ(take(entry_, 7), Taken::kToBeRead);  // there was no room for them
  EXPECT_EQ(take(entry_, 8), Taken::kToBeRead);
  EXPECT_EQ(take(entry_, 9), Taken::kNone);
  add(entry_, 9, in_order(12));
  EXPECT_EQ(take(entry_, 9), Taken::kHeld);
  EXPECT_EQ(take(entry_, 10), Taken::kHeld);
}

// Two threads hand over blocks 4 and 5 the other way round.
TEST_F(ArrivedBlocksTest, WhatIsAddedLateWasReadBackOrIsStillTaken) {
  add(entry_, 4, in_order(6));
  add(entry_, 5, early());
  EXPECT_EQ(take(entry_, 4), Taken::kHeld);
  EXPECT_EQ(take(entry_, 5), Taken::kHeld);
  add(entry_, 6, in_order(8));
  EXPECT_EQ(take(entry_, 6), Taken::kHeld);
  EXPECT_EQ(take(entry_, 7), Taken::kToBeRead);
  add(entry_, 7, early());
  EXPECT_EQ(take(entry_, 8), Taken::kNone);
  EXPECT_TRUE(arrived_.empty());
}

TEST_F(ArrivedBlocksTest, WhatFindsNoRoomDoesNotTakeThePlaceOfWhatIsToBeReadBack) {
  for (std::uint64_t block = 20; block < 26; ++block) add(entry_, block, early());
  add(entry_, 0, in_order(2));
  add(entry_, 1, early());
  EXPECT_EQ(take(entry_, 0), Taken::kHeld);
  EXPECT_EQ(take(entry_, 1), Taken::kToBeRead);
}

TEST_F(ArrivedBlocksTest, WhatCameBeforeABlockWasLostIsNotUsed) {
  for (std::uint64_t block = 0; block < 4; ++block) add(entry_, block, in_order(block + 1));
  EXPECT_EQ(take(entry_, 0, 2), Taken::kNone);
  EXPECT_TRUE(arrived_.empty());
  add(entry_, 1, early());
  add(entry_, 0, in_order(2, 2), Hashed::kNow);
  EXPECT_EQ(take(entry_, 0, 2), Taken::kHeld);
  EXPECT_EQ(take(entry_, 1, 2), Taken::kToBeRead);
  EXPECT_EQ(arrived_.held(), 0u);
}

TEST_F(ArrivedBlocksTest, AnotherBlobAtTheSameAddressHasNothingOfTheFirst) {
  alignas(BlobEntry) std::byte place[sizeof(BlobEntry)];
  const TestBlob source = make_blob(64 * kTestBlock, 9);
  const auto make_there = [&] {
    return EntryPtr(new (place) BlobEntry(source.key, 9, kTestBlock, counters_),
                    [](BlobEntry* entry) { entry->~BlobEntry(); });
  };
  EntryPtr entry = make_there();
  add(entry, 0, in_order(1));
  entry.reset();
  entry = make_there();
  EXPECT_EQ(take(entry, 0), Taken::kNone);
  EXPECT_EQ(arrived_.held(), 0u);
  add(entry, 0, in_order(1));
  entry.reset();
  entry = make_there();
  add(entry, 1, in_order(2));
  EXPECT_EQ(arrived_.held(), kTestBlock);
  EXPECT_EQ(take(entry, 1), Taken::kHeld);
}

TEST_F(ArrivedBlocksTest, NoMoreIsHeldBehindMuchThatIsToBeReadBack) {
  add(entry_, 0, in_order(10));  // blocks 1 to 9 were here
  for (std::uint64_t block = 10; block < 20; ++block) {
    add(entry_, block, in_order(block + 1), Hashed::kNow);
  }
  EXPECT_EQ(arrived_.held(), kLimit);
  for (std::uint64_t block = 0; block < 7; ++block) EXPECT_NE(take(entry_, block), Taken::kNone);
  EXPECT_EQ(arrived_.held(), kLimit - kTestBlock);
  for (std::uint64_t block = 20; block < 30; ++block) {  // 3 and 3 are still to be read back
    add(entry_, block, in_order(block + 1), Hashed::kNow);
  }
  EXPECT_EQ(arrived_.held(), kLimit + 9 * kTestBlock);
}

TEST_F(ArrivedBlocksTest, WhatIsEarlyIsForgottenWhereNothingMoreComes) {
  const EntryPtr fresh = make_entry(3);
  add(entry_, 0, in_order(1));
  add(entry_, 3, early());
  now_ += seconds(1);
  add(fresh, 3, early());
  arrived_.forget_early(now_ - seconds(1), removed_);
  EXPECT_EQ(arrived_.held(), 2 * kTestBlock);
  EXPECT_EQ(take(entry_, 0), Taken::kHeld);  // what is in order waits for its turn
  EXPECT_EQ(take(entry_, 3), Taken::kNone);
  EXPECT_EQ(take(fresh, 3), Taken::kHeld);
  add(fresh, 4, early());
  arrived_.forget(fresh, removed_);
  EXPECT_TRUE(arrived_.empty());
  EXPECT_EQ(arrived_.held(), 0u);
}

}  // namespace
}  // namespace hubvfs::cache
