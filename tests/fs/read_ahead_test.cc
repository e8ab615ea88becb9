// SPDX-License-Identifier: Apache-2.0
#include "fs/read_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kBlob = 200 * kMiB;
constexpr std::uint64_t kRead = 128 * 1024;

ByteRange on_read(ReadAhead& ahead, ByteRange range, bool waited, std::uint64_t room = UINT64_MAX) {
  ReadAhead::Means means;
  means.room = room;
  return ahead.on_read({range, waited, 1}, means).ahead;
}

TEST(ReadAhead, APeekIntoTheMiddleAsksForNothingMore) {
  ReadAhead ahead(kBlob, kMiB);
  // 1 MiB read from an odd offset, and as much again by the kernel's own read-ahead.
  const std::uint64_t start = 100 * kMiB + 12345;
  for (std::uint64_t at = 0; at < 2 * kMiB; at += 128 * 1024) {
    EXPECT_TRUE(on_read(ahead, {start + at, start + at + 128 * 1024}, true).empty());
  }
}

TEST(ReadAhead, NorDoesOneWhereBlocksAreSmallerThanWhatTheKernelReads) {
  for (const std::uint64_t start : {std::uint64_t{0}, 100 * kMiB}) {
    ReadAhead ahead(kBlob, kMiB / 4);
    EXPECT_TRUE(on_read(ahead, {start, start + kMiB}, true).empty()) << start;
  }
}

TEST(ReadAhead, WhoComesToTheEndBeforeItIsAskedForEndsToo) {
  ReadAhead ahead(kBlob, kMiB);
  ReadAhead::Means means;
  means.room = 0;
  for (std::uint64_t at = 0; at + kMiB < kBlob; at += kMiB) {
    EXPECT_FALSE(ahead.on_read({{at, at + kMiB}, true, 1}, means).ends_soon) << at;
  }
  EXPECT_TRUE(ahead.on_read({{kBlob - kMiB, kBlob}, true, 1}, means).ends_soon);
}

TEST(ReadAhead, WhatTheStoreIsSlowToTakeIsNotAddedTo) {
  ReadAhead ahead(kBlob, kMiB);
  ReadAhead::Means means;
  std::uint64_t asked = 0;
  std::uint64_t at = 0;
  const auto read_to = [&](std::uint64_t end, std::uint64_t kept) {
    means.kept = kept;
    for (; at < end; at += kMiB) {
      const ByteRange more = ahead.on_read({{at, at + kMiB}, true, 1}, means).ahead;
      if (more.empty()) continue;
      EXPECT_LE(more.end - at - kMiB, std::max(8 * kMiB, 32 * kMiB - kept)) << "kept " << kept;
      asked = more.end;
    }
  };
  read_to(64 * kMiB, 4 * kMiB);
  EXPECT_GT(asked, at + 16 * kMiB);
  read_to(100 * kMiB, 30 * kMiB);
  EXPECT_GT(asked, at) << "some is always there";
  read_to(140 * kMiB, 0);
  EXPECT_GT(asked, at + 16 * kMiB) << "as before";
}

TEST(ReadAhead, ReadingOnFetchesEachBlockOnceAndFewerRequestsThanBlocks) {
  ReadAhead ahead(kBlob, kMiB);
  std::set<std::uint64_t> asked;
  std::size_t requests = 0;
  for (std::uint64_t at = 0; at < kBlob; at += 128 * 1024) {
    const bool waited = !asked.contains(at / kMiB);
    if (waited) asked.insert(at / kMiB);
    const ByteRange more = on_read(ahead, {at, at + 128 * 1024}, waited || at % (8 * kMiB) == 0);
    if (more.empty()) continue;
    ++requests;
    EXPECT_EQ(more.begin % kMiB, 0u);
    EXPECT_LE(more.end, kBlob);
    for (std::uint64_t block = more.begin / kMiB; block < (more.end + kMiB - 1) / kMiB; ++block) {
      EXPECT_TRUE(asked.insert(block).second) << "block " << block << " twice";
    }
  }
  EXPECT_EQ(asked.size(), kBlob / kMiB);
  EXPECT_LT(requests, 40u);
}

// Reads all of `ahead`'s blob in order. How far ahead each request that came of it ended.
std::vector<std::uint64_t> distances(ReadAhead& ahead, std::uint64_t size, bool waited) {
  std::vector<std::uint64_t> found;
  for (std::uint64_t at = 128 * 1024; at <= size; at += 128 * 1024) {
    const ByteRange more = on_read(ahead, {at - 128 * 1024, at}, waited);
    if (more.empty()) continue;
    const std::uint64_t most = waited ? 32 * kMiB : std::clamp(at / 2, kMiB, 8 * kMiB);
    EXPECT_LT(more.end - at, most + kMiB) << "at " << at;
    found.push_back(more.end - at);
  }
  return found;
}

TEST(ReadAhead, TheWindowIsHalfOfWhatWasReadToEightMiBAndMoreWhereAReaderWaited) {
  ReadAhead calm(kBlob, kMiB);
  const auto of_calm = distances(calm, kBlob, false);
  EXPECT_GE(*std::max_element(of_calm.begin(), of_calm.end()), 8 * kMiB);
  EXPECT_LT(of_calm.size(), 70u);
  ReadAhead waiting(kBlob, kMiB);
  const auto of_waiting = distances(waiting, kBlob, true);
  EXPECT_GE(*std::max_element(of_waiting.begin(), of_waiting.end()), 30 * kMiB);
}

TEST(ReadAhead, AColdCopyThatNeverWaitsIsFewerRequestsThanHalfItsBlocks) {
  ReadAhead ahead(64 * kMiB, kMiB);
  // With one for each block before the first: there the reader asks.
  EXPECT_LT(distances(ahead, 64 * kMiB, false).size() + 2, 30u);
}

TEST(ReadAhead, ALargeBlockIsAWindowOfItsOwn) {
  ReadAhead ahead(200 * kMiB, 16 * kMiB);
  for (std::uint64_t at = 0; at < 200 * kMiB; at += 128 * 1024) {
    const ByteRange more = on_read(ahead, {at, at + 128 * 1024}, false);
    if (!more.empty()) {
      EXPECT_LE(more.size(), 16 * kMiB) << at;
    }
  }
}

TEST(ReadAhead, WhatHasNoRoomIsAskedForLaterAndNotBlockByBlock) {
  ReadAhead ahead(kBlob, kMiB);
  std::uint64_t asked = 0;
  std::size_t requests = 0;
  std::size_t missed = 0;  // blocks that the reader had to ask for itself
  for (std::uint64_t at = 0; at < kBlob; at += 128 * 1024) {
    const bool waited = at >= asked;
    if (waited) {
      ++missed;
      asked = at / kMiB * kMiB + kMiB;
    }
    const std::uint64_t under_way = asked - std::min(asked, at);
    const std::uint64_t room = at % (3 * kMiB) == 0 ? 0 : 8 * kMiB - std::min(8 * kMiB, under_way);
    const ByteRange more = on_read(ahead, {at, at + 128 * 1024}, waited, room);
    if (more.empty()) continue;
    ++requests;
    EXPECT_LE(more.size(), room);
    EXPECT_EQ(more.begin, asked) << "a hole";
    asked = more.end;
  }
  EXPECT_EQ(asked, kBlob);
  EXPECT_LE(missed, 2u);
  EXPECT_LT(requests, 70u);
}

TEST(ReadAhead, RandomReadsAskForNothing) {
  ReadAhead ahead(kBlob, kMiB);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t at = i * 7919 * 4096 % (kBlob - 4096);
    EXPECT_TRUE(on_read(ahead, {at, at + 4096}, true).empty()) << i;
  }
}

TEST(ReadAhead, SixteenReadersAreToldApart) {
  ReadAhead ahead(kBlob, kMiB);
  std::size_t asked = 0;
  for (std::uint64_t at = 0; at < 6 * kMiB; at += 128 * 1024) {
    for (std::uint64_t reader = 0; reader < 16; ++reader) {
      const std::uint64_t begin = reader * 12 * kMiB + at;
      asked += !on_read(ahead, {begin, begin + 128 * 1024}, true).empty();
    }
  }
  EXPECT_GE(asked, 16u);
}

TEST(ReadAhead, NothingIsAskedForPastTheEnd) {
  ReadAhead ahead(5 * kMiB + 3, kMiB);
  std::uint64_t end = 0;
  for (std::uint64_t at = 0; at < 5 * kMiB; at += 256 * 1024) {
    const ByteRange more = on_read(ahead, {at, at + 256 * 1024}, true);
    if (!more.empty()) end = more.end;
  }
  EXPECT_EQ(end, 5 * kMiB + 3);
}

TEST(ReadAhead, NoMoreIsAskedForThanWasReadInARow) {
  ReadAhead ahead(kBlob, kMiB);
  const std::uint64_t start = 40 * kMiB;
  for (std::uint64_t at = start; at < 60 * kMiB; at += kRead) {
    const ByteRange more = on_read(ahead, {at, at + kRead}, true);
    if (!more.empty()) {
      EXPECT_LE(more.end - (at + kRead), at + kRead - start + kMiB);
    }
  }
}

// As pyarrow reads: the footer and a small column by one thread, the large column by another. The
// kernel's requests of 1 MiB are seen in any order, each up to 2 MiB from its place.
TEST(ReadAhead, APartReadByAnotherThreadThanItsIndexIsNoStormWhateverComesFirst) {
  std::mt19937 random(8);
  for (int round = 0; round < 300; ++round) {
    ReadAhead ahead(kBlob, kMiB);
    ReadAhead::Means means;
    EXPECT_FALSE(ahead.on_read({{kBlob - 65536, kBlob}, true, 1}, means).sweep);
    const std::uint64_t begin = 60 * kMiB + 4096 * (random() % 256);
    const std::uint64_t end = begin + 24 * kMiB;
    EXPECT_FALSE(ahead.on_read({{begin, begin + kMiB}, true, 1}, means).sweep);
    std::multimap<std::uint64_t, std::uint64_t> reads;
    for (std::uint64_t at = begin + kMiB; at < end; at += kMiB) {
      reads.emplace(at + random() % (3 * kMiB), at);
    }
    std::uint64_t asked = end;
    for (const auto& [seen, at] : reads) {
      const ReadAhead::Plan plan = ahead.on_read({{at, at + kMiB}, true, 2}, means);
      EXPECT_FALSE(plan.sweep) << "round " << round << " at " << at - begin;
      asked = std::max(asked, plan.ahead.end);
    }
    EXPECT_LE(asked, end + 25 * kMiB) << "round " << round;
  }
}

TEST(ReadAhead, AFastLinkIsKeptBusyPieceByPiece) {
  ReadAhead ahead(1000 * kMiB, kMiB);
  ReadAhead::Means means;
  means.window = 128 * kMiB;
  means.piece = 8 * kMiB;
  std::uint64_t asked = 0;
  for (std::uint64_t at = 0; at < 800 * kMiB; at += kRead) {
    const ByteRange more = ahead.on_read({{at, at + kRead}, at < 300 * kMiB, 1}, means).ahead;
    asked = std::max(asked, more.end);
    if (at < 300 * kMiB) continue;
    EXPECT_GE(asked - at, means.window - means.piece - kMiB);
    EXPECT_LE(more.size(), means.piece + kMiB);
  }
}

TEST(ReadAhead, AWindowThatFindsNoRoomHalves) {
  ReadAhead ahead(1000 * kMiB, kMiB);
  std::uint64_t at = 0;
  std::uint64_t farthest = 0;
  const auto read_on = [&](std::uint64_t to, bool waited, std::uint64_t room) {
    for (; at < to; at += kRead) {
      const ByteRange more = on_read(ahead, {at, at + kRead}, waited, room);
      if (!more.empty()) farthest = more.end - at;
    }
  };
  read_on(200 * kMiB, true, UINT64_MAX);
  EXPECT_GE(farthest, 30 * kMiB);
  read_on(300 * kMiB, false, kMiB);
  read_on(400 * kMiB, false, UINT64_MAX);
  EXPECT_LE(farthest, 10 * kMiB);
}

TEST(ReadAhead, AReaderThatSkipsAboutKeepsItsWindow) {
  ReadAhead ahead(kBlob, kMiB);
  for (std::uint64_t at = 0; at < 20 * kMiB; at += kRead) on_read(ahead, {at, at + kRead}, true);
  const std::uint64_t skipped_to = 35 * kMiB;
  EXPECT_GE(on_read(ahead, {skipped_to, skipped_to + kRead}, true).size(), 8 * kMiB);
  const std::uint64_t elsewhere = 150 * kMiB;
  EXPECT_TRUE(on_read(ahead, {elsewhere, elsewhere + kRead}, true).empty());
  EXPECT_TRUE(on_read(ahead, {elsewhere + 15 * kMiB, elsewhere + 15 * kMiB + kRead}, true).empty());
}

// --- read at several places on a fast link ---

class WideReadAhead : public testing::Test {
 protected:
  // Each reads on, in turns, `rounds` times 1 MiB.
  void read_on(const std::vector<std::uint64_t>& begins, int rounds) {
    if (at_.size() != begins.size()) at_ = begins;
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < at_.size(); ++i) {
        const ByteRange range{at_[i], at_[i] + kMiB};
        at_[i] = range.end;
        last_ = ahead_.on_read({range, true, static_cast<std::uint32_t>(1 + i)}, means_);
        if (last_.sweep) ahead_.swept(kMiB, last_.sweep->from + kMiB);
        if (!last_.ahead.empty()) window_ends_ = last_.ahead.end;
      }
    }
  }
  bool is_wide() const { return last_.sweep && last_.sweep->urgent; }
  bool last_has_window() const { return window_ends_ > at_.back(); }

  ReadAhead ahead_{1000 * kMiB, kMiB};
  ReadAhead::Means means_{.fast = true};
  std::vector<std::uint64_t> at_;
  ReadAhead::Plan last_;
  std::uint64_t window_ends_ = 0;
};

TEST_F(WideReadAhead, WhatIsHashedNextComesFirst) {
  read_on({0, 300 * kMiB, 600 * kMiB}, 4);
  EXPECT_FALSE(last_.sweep) << "nobody knows yet how far they go";
  read_on({0, 300 * kMiB, 600 * kMiB}, 20);
  ASSERT_TRUE(is_wide());
  EXPECT_FALSE(last_has_window());
  EXPECT_EQ(last_.sweep->within.end, 1000 * kMiB);
  EXPECT_GT(last_.sweep->from, 50 * kMiB);
  EXPECT_LT(last_.sweep->from, 75 * kMiB) << "as much as they read";
}

TEST_F(WideReadAhead, OnASlowLinkEachHasItsWindow) {
  means_.fast = false;
  read_on({0, 300 * kMiB, 600 * kMiB}, 24);
  EXPECT_FALSE(last_.sweep);
  EXPECT_TRUE(last_has_window());
}

TEST_F(WideReadAhead, SoHaveTwo) {
  read_on({0, 300 * kMiB}, 24);
  EXPECT_FALSE(last_.sweep);
  EXPECT_TRUE(last_has_window());
}

TEST_F(WideReadAhead, AndThoseWhoSkippedItsBeginning) {
  read_on({100 * kMiB, 300 * kMiB, 600 * kMiB}, 24);
  EXPECT_FALSE(last_.sweep);
  EXPECT_TRUE(last_has_window());
}

TEST_F(WideReadAhead, WhoIsLeftHasAWindowAgain) {
  read_on({0, 300 * kMiB, 600 * kMiB}, 24);
  ASSERT_TRUE(is_wide());
  const std::uint64_t on = at_.back();
  at_.clear();
  read_on({on}, 70);
  EXPECT_FALSE(last_.sweep);
  EXPECT_TRUE(last_has_window());
}

// --- with a layout ------------------------------------------------------------------------------

constexpr std::uint64_t kHeader = 3000;  // of tensors() below, whatever the tensors

// A header, then tensors of these sizes.
std::shared_ptr<const TensorLayout> tensors(const std::vector<std::uint64_t>& sizes) {
  std::string json = "{";
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    json += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) + "\":{\"data_offsets\":[" +
            std::to_string(at) + "," + std::to_string(at + sizes[i]) + "]}";
    at += sizes[i];
  }
  json += "}";
  json.resize(kHeader - 8, ' ');
  std::string head;
  for (int i = 0; i < 8; ++i) head += static_cast<char>(json.size() >> (8 * i));
  head += json;
  return TensorLayout::parse(TensorLayout::Format::kSafetensors, as_bytes(head), kHeader + at)
      .layout;
}

class TensorReadAhead : public testing::Test {
 protected:
  void make(const std::vector<std::uint64_t>& sizes) {
    std::uint64_t size = kHeader;
    for (const std::uint64_t tensor : sizes) size += tensor;
    ahead_.emplace(size, kMiB);
    ahead_->set_layout(tensors(sizes));
  }
  // The reads of 1 MiB that the kernel makes of a program that faults in [begin, end) in order; the
  // union of what is asked for.
  ByteRange fault(std::uint64_t begin, std::uint64_t end) {
    ByteRange all;
    const std::uint64_t first = begin / 4096 * 4096;
    std::uint64_t at = first < kMiB / 2 ? 0 : first - kMiB / 2;
    for (; at < end + kMiB; at += kMiB) {
      const ByteRange more = on_read(*ahead_, {at, at + kMiB}, true);
      if (more.empty()) continue;
      all = {all.empty() ? more.begin : std::min(all.begin, more.begin),
             std::max(all.end, more.end)};
    }
    return all;
  }

  std::optional<ReadAhead> ahead_;
};

TEST_F(TensorReadAhead, ASecondReadInATensorAsksForTheRestOfItAndNoMore) {
  make({40 * kMiB, 20 * kMiB, 40 * kMiB});
  const std::uint64_t begin = kHeader + 40 * kMiB;
  const std::uint64_t end = begin + 20 * kMiB;
  EXPECT_TRUE(
      on_read(*ahead_, {begin / kMiB * kMiB - kMiB / 2, begin / kMiB * kMiB + kMiB / 2}, true)
          .empty());
  const ByteRange all = fault(begin + kMiB, end);
  EXPECT_LE(all.begin, begin + 3 * kMiB);
  EXPECT_EQ(all.end, end / kMiB * kMiB + kMiB);
}

TEST_F(TensorReadAhead, NorIsMoreAskedForWhereSeveralReadItOnAFastLink) {
  for (const bool all : {false, true}) {
    make({80 * kMiB, 80 * kMiB});
    ReadAhead::Means means;
    means.fast = true;
    const std::uint64_t between = all ? 40 * kMiB : 20 * kMiB;
    std::uint64_t asked_to = 0;
    for (std::uint64_t at = 0; at < between; at += kMiB) {
      for (std::uint32_t i = 0; i < 4; ++i) {
        const std::uint64_t begin = i * between + at;
        const auto plan = ahead_->on_read({{begin, begin + kMiB}, true, 1 + i}, means);
        asked_to = std::max(asked_to, plan.ahead.end);
        if (!plan.sweep) continue;
        EXPECT_TRUE(plan.sweep->urgent);
        asked_to = std::max(asked_to, plan.sweep->within.end);
        ahead_->swept(kMiB, plan.sweep->from + kMiB);
      }
    }
    EXPECT_EQ(asked_to, all ? 160 * kMiB + kHeader : 81 * kMiB);
  }
}

TEST_F(TensorReadAhead, TheRestOfALargeTensorIsThirtyTwoMiB) {
  make({100 * kMiB});
  const std::uint64_t at = 20 * kMiB;
  EXPECT_TRUE(on_read(*ahead_, {at, at + kMiB}, true).empty());
  EXPECT_EQ(on_read(*ahead_, {at + kMiB, at + 2 * kMiB}, true),
            (ByteRange{at + 2 * kMiB, at + 34 * kMiB}));
}

TEST_F(TensorReadAhead, ALookAtTheHeaderAsksForNothing) {
  make({50 * kMiB, 50 * kMiB});
  EXPECT_TRUE(on_read(*ahead_, {0, kMiB}, true).empty());
  EXPECT_TRUE(on_read(*ahead_, {kMiB, 2 * kMiB}, true).empty());
}

TEST_F(TensorReadAhead, PagesOfOneTensorFarApartAskForNothing) {
  make({1000 * kMiB});
  for (std::uint64_t i = 1; i < 1000; ++i) {
    const std::uint64_t at = kMiB + i * 7919 * 4096 % (990 * kMiB);
    EXPECT_TRUE(on_read(*ahead_, {at, at + 4096}, true).empty()) << i;
  }
}

TEST_F(TensorReadAhead, WhoReadsOnBeyondATensorHasAllOfTheFile) {
  for (const std::uint64_t tensor : {kMiB / 8, 3 * kMiB / 2, 5 * kMiB, 50 * kMiB}) {
    make(std::vector<std::uint64_t>(100 * kMiB / tensor, tensor));
    std::uint64_t asked = 0;
    std::size_t missed = 0;
    for (std::uint64_t at = 0; at < 90 * kMiB; at += kMiB) {
      const bool waited = at >= asked;
      missed += waited ? 1 : 0;
      asked = std::max(asked, at + kMiB);
      const ByteRange more = on_read(*ahead_, {at, at + kMiB}, waited);
      if (more.empty()) continue;
      EXPECT_EQ(more.begin, asked);
      asked = more.end;
    }
    EXPECT_LE(missed, 12u) << tensor;
  }
}

// The kernel sends what it reads ahead beside what a fault waits for, and a worker may take up the
// later of two first.
TEST_F(TensorReadAhead, EightThreadsInOneTensorAskForNoOtherWhateverComesFirst) {
  constexpr std::uint64_t kTensor = 20 * kMiB;
  const std::uint64_t begin = kHeader + 2 * kTensor;
  const std::uint64_t first = begin / kMiB * kMiB;
  const std::uint64_t last = (begin + kTensor) / kMiB * kMiB + kMiB;
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    make(std::vector<std::uint64_t>(6, kTensor));
    std::vector<std::deque<ByteRange>> threads(8);
    for (std::size_t i = 0; i < threads.size(); ++i) {
      const std::uint64_t from = begin + i * kTensor / threads.size();
      const std::uint64_t to = from + kTensor / threads.size();
      for (std::uint64_t at = from / 4096 * 4096 - kMiB / 2; at < to + kMiB;) {
        const std::uint64_t size = at > from && random() % 3 == 0 ? kMiB / 2 : kMiB;
        threads[i].push_back({at, at + size});
        at += size;
      }
    }
    std::size_t left = 0;
    for (const auto& reads : threads) left += reads.size();
    while (left != 0) {
      const std::size_t i = random() % threads.size();
      if (threads[i].empty()) continue;
      --left;
      const std::size_t taken = random() % std::min<std::size_t>(threads[i].size(), 3);
      const ReadSeen read{threads[i][taken], random() % 4 != 0, static_cast<std::uint32_t>(i + 1)};
      const ReadAhead::Plan plan = ahead_->on_read(read, {});
      ASSERT_TRUE(plan.ahead.empty() || (plan.ahead.begin >= first && plan.ahead.end <= last))
          << "seed " << seed << ", at " << read.range.begin << ": " << plan.ahead.begin << " to "
          << plan.ahead.end;
      if (plan.sweep) {
        ASSERT_GE(plan.sweep->within.begin, first) << "seed " << seed;
        ASSERT_LE(plan.sweep->within.end, last) << "seed " << seed;
        ahead_->swept(plan.sweep->most, plan.sweep->from);
      }
      threads[i].erase(threads[i].begin() + static_cast<std::ptrdiff_t>(taken));
    }
  }
}

TEST_F(TensorReadAhead, WhatFollowsIsNamedOnlyByWhoReadNearlyAll) {
  make({50 * kMiB, 50 * kMiB});
  const std::uint64_t size = kHeader + 100 * kMiB;
  EXPECT_EQ(fault(kHeader + 80 * kMiB, size - kMiB).end, size);
  EXPECT_FALSE(ahead_->on_read({{size - kMiB, size}, true, 1}, {}).ends_soon);
  make({50 * kMiB, 50 * kMiB});
  bool named = false;
  std::uint64_t at = 0;
  for (; at < size && !named; at += kMiB) {
    named = ahead_->on_read({{at, std::min(size, at + kMiB)}, true, 1}, {}).ends_soon;
  }
  EXPECT_TRUE(named);
  EXPECT_GE(at, size / 2);
  EXPECT_LT(at, size - 10 * kMiB);
}

}  // namespace
}  // namespace hubvfs::fs
