// SPDX-License-Identifier: Apache-2.0
#include "cache/eviction_policy.h"

#include <gtest/gtest.h>

#include <string>

namespace hubvfs::cache {
namespace {

using Candidates = std::vector<EvictionCandidate>;

// Blocks "BLOB/BLOCK" in the order they are to go.
std::string choose(const Candidates& candidates, const std::vector<bool>& complete,
                   std::uint64_t bytes, std::uint64_t leeway) {
  std::string text;
  for (const auto& chosen : choose_victims(candidates, complete, bytes, leeway)) {
    text += std::to_string(chosen.blob) + "/" + std::to_string(chosen.block) + " ";
  }
  return text;
}

std::string choose(const Candidates& candidates, const std::vector<bool>& complete,
                   std::uint64_t bytes) {
  return choose(candidates, complete, bytes, bytes / 4);
}

// `count` blocks of one byte, used one after the other.
void add(Candidates& all, std::uint32_t blob, std::uint32_t count, std::uint64_t epoch,
         bool hot = false) {
  for (std::uint32_t i = 0; i < count; ++i) {
    all.push_back({epoch + i, blob, i, 1, hot});
  }
}

TEST(EvictionPolicy, TheLeastRecentlyUsedGoFirst) {
  Candidates all;
  add(all, 0, 4, 100);
  add(all, 1, 4, 10);
  EXPECT_EQ(choose(all, {true, true}, 2), "1/0 1/1 ");
  EXPECT_EQ(choose(all, {true, true}, 0), "");
}

TEST(EvictionPolicy, FinishesOneBlobBeforeItBreaksAnother) {
  // Two that are used in turns: by blocks alone, both would get holes.
  Candidates all;
  for (std::uint32_t i = 0; i < 5; ++i) {
    for (std::uint32_t blob = 0; blob < 2; ++blob) {
      const std::uint64_t epoch = 2 * i + blob;
      all.push_back({epoch, blob, i, 1, false});
    }
  }
  add(all, 2, 10, 1000);
  EXPECT_EQ(choose(all, {true, true, true}, 8), "0/0 0/1 0/2 0/3 0/4 1/0 1/1 1/2 ");
}

TEST(EvictionPolicy, ABrokenBlobGoesBeforeAWholeOne) {
  Candidates all;
  add(all, 0, 4, 10);  // older, and whole
  add(all, 1, 1, 20);
  add(all, 2, 6, 1000);
  EXPECT_EQ(choose(all, {true, false, true}, 4), "1/0 0/0 0/1 0/2 ");
}

TEST(EvictionPolicy, WithoutLeewayTheLowestRanksGoWhateverBreaks) {
  Candidates all;
  add(all, 0, 4, 10);
  add(all, 1, 1, 14);  // broken, and just newer
  EXPECT_EQ(choose(all, {true, false}, 4, 1), "1/0 0/0 0/1 0/2 ");
  EXPECT_EQ(choose(all, {true, false}, 4, 0), "0/0 0/1 0/2 0/3 ");
}

TEST(EvictionPolicy, WhatIsNewStaysThoughItsBlobIsBroken) {
  Candidates all;
  add(all, 0, 4, 10);    // whole, cold
  add(all, 1, 4, 1000);  // being fetched now
  EXPECT_EQ(choose(all, {true, false}, 2), "0/0 0/1 ");
}

TEST(EvictionPolicy, HotBlocksStayWhileThereAreOthers) {
  Candidates all;
  add(all, 0, 4, 10, true);
  add(all, 1, 4, 1000);  // a scan, later
  EXPECT_EQ(choose(all, {true, true}, 4), "1/0 1/1 1/2 1/3 ");
  EXPECT_EQ(choose(all, {true, true}, 5), "1/0 1/1 1/2 1/3 0/0 ");
}

TEST(EvictionPolicy, HotBlocksHaveHalfOfTheCacheAndNoMore) {
  Candidates all;
  add(all, 0, 6, 10, true);
  add(all, 1, 2, 1000);
  EXPECT_EQ(choose(all, {true, true}, 3), "0/0 0/1 1/0 ");
}

TEST(EvictionPolicy, GivesAllThereIsWhenAskedForMore) {
  Candidates all;
  add(all, 0, 3, 10);
  EXPECT_EQ(choose(all, {true}, 100), "0/0 0/1 0/2 ");
  EXPECT_EQ(choose({}, {}, 100), "");
}

TEST(EvictionPolicy, StopsAtTheBytesAskedFor) {
  const Candidates all = {{1, 0, 0, 10, false}, {2, 0, 1, 10, false}, {3, 0, 2, 10, false}};
  EXPECT_EQ(choose(all, {true}, 11), "0/0 0/1 ");
  EXPECT_EQ(choose(all, {true}, 10), "0/0 ");
}

TEST(EvictionPolicy, NamesComeBack) {
  for (const char* name : {"lru", "fifo", "ttl"}) {
    const auto policy = parse_eviction_policy(name);
    ASSERT_TRUE(policy) << name;
    EXPECT_STREQ(to_string(*policy), name);
  }
  EXPECT_FALSE(parse_eviction_policy("LRU"));
  EXPECT_FALSE(parse_eviction_policy(""));
}

}  // namespace
}  // namespace hubvfs::cache
