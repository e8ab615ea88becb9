// SPDX-License-Identifier: Apache-2.0
#include "fs/read_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kBlob = 200 * kMiB;

TEST(ReadAhead, APeekIntoTheMiddleAsksForNothingMore) {
  ReadAhead ahead(kBlob, kMiB);
  // 1 MiB read from an odd offset, and as much again by the kernel's own read-ahead.
  const std::uint64_t start = 100 * kMiB + 12345;
  for (std::uint64_t at = 0; at < 2 * kMiB; at += 128 * 1024) {
    EXPECT_TRUE(ahead.on_read({start + at, start + at + 128 * 1024}, true).empty());
  }
}

TEST(ReadAhead, ReadingOnFetchesEachBlockOnceAndFewerRequestsThanBlocks) {
  ReadAhead ahead(kBlob, kMiB);
  std::set<std::uint64_t> asked;
  std::size_t requests = 0;
  for (std::uint64_t at = 0; at < kBlob; at += 128 * 1024) {
    const bool waited = !asked.contains(at / kMiB);
    if (waited) asked.insert(at / kMiB);
    const ByteRange more = ahead.on_read({at, at + 128 * 1024}, waited || at % (8 * kMiB) == 0);
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
    const ByteRange more = ahead.on_read({at - 128 * 1024, at}, waited);
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
    const ByteRange more = ahead.on_read({at, at + 128 * 1024}, false);
    if (!more.empty()) {
      EXPECT_LE(more.size(), 16 * kMiB) << at;
    }
  }
}

TEST(ReadAhead, WhatHasNoRoomIsAskedForLaterAndNotBlockByBlock) {
  ReadAhead ahead(kBlob, kMiB, 8 * kMiB);
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
    const ByteRange more = ahead.on_read({at, at + 128 * 1024}, waited, room);
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
    EXPECT_TRUE(ahead.on_read({at, at + 4096}, true).empty()) << i;
  }
}

TEST(ReadAhead, SixteenReadersAreToldApart) {
  ReadAhead ahead(kBlob, kMiB);
  std::size_t asked = 0;
  for (std::uint64_t at = 0; at < 6 * kMiB; at += 128 * 1024) {
    for (std::uint64_t reader = 0; reader < 16; ++reader) {
      const std::uint64_t begin = reader * 12 * kMiB + at;
      asked += !ahead.on_read({begin, begin + 128 * 1024}, true).empty();
    }
  }
  EXPECT_GE(asked, 16u);
}

TEST(ReadAhead, NothingIsAskedForPastTheEnd) {
  ReadAhead ahead(5 * kMiB + 3, kMiB);
  std::uint64_t end = 0;
  for (std::uint64_t at = 0; at < 5 * kMiB; at += 256 * 1024) {
    const ByteRange more = ahead.on_read({at, at + 256 * 1024}, true);
    if (!more.empty()) end = more.end;
  }
  EXPECT_EQ(end, 5 * kMiB + 3);
}

}  // namespace
}  // namespace hubvfs::fs
