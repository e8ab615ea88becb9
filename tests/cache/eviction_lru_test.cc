// SPDX-License-Identifier: Apache-2.0
#include "cache/eviction_lru.h"

#include <gtest/gtest.h>

#include <string>

namespace hubvfs::cache {
namespace {

// Blocks "BLOB/BLOCK" in the order they are to go.
std::string choose(const std::vector<EvictionCandidate>& candidates,
                   const std::vector<bool>& complete, std::uint64_t bytes) {
  std::string text;
  for (const auto& chosen : choose_lru(candidates, complete, bytes)) {
    text += std::to_string(chosen.blob) + "/" + std::to_string(chosen.block) + " ";
  }
  return text;
}

// `count` blocks of one byte, used one after the other.
void add(std::vector<EvictionCandidate>& all, std::uint32_t blob, std::uint64_t count,
         std::uint64_t epoch) {
  for (std::uint64_t i = 0; i < count; ++i) all.push_back({blob, 1, i, epoch + i});
}

TEST(EvictionLru, TheLeastRecentlyUsedGoFirst) {
  std::vector<EvictionCandidate> all;
  add(all, 0, 4, 100);
  add(all, 1, 4, 10);
  EXPECT_EQ(choose(all, {true, true}, 2), "1/0 1/1 ");
  EXPECT_EQ(choose(all, {true, true}, 0), "");
}

TEST(EvictionLru, FinishesOneBlobBeforeItBreaksAnother) {
  // Used in turns: by blocks alone, both would get holes.
  std::vector<EvictionCandidate> all;
  for (std::uint64_t i = 0; i < 4; ++i) {
    all.push_back({0, 1, i, 2 * i});
    all.push_back({1, 1, i, 2 * i + 1});
  }
  add(all, 2, 8, 1000);
  EXPECT_EQ(choose(all, {true, true, true}, 4), "0/0 0/1 0/2 0/3 ");
}

TEST(EvictionLru, ABrokenBlobGoesBeforeAWholeOne) {
  std::vector<EvictionCandidate> all;
  add(all, 0, 3, 10);  // older, and whole
  add(all, 1, 3, 20);
  add(all, 2, 6, 1000);
  EXPECT_EQ(choose(all, {true, false, true}, 3), "1/0 1/1 1/2 ");
}

TEST(EvictionLru, WhatIsHotStaysThoughItsBlobIsBroken) {
  std::vector<EvictionCandidate> all;
  add(all, 0, 4, 10);    // whole, cold
  add(all, 1, 4, 1000);  // being fetched now
  EXPECT_EQ(choose(all, {true, false}, 2), "0/0 0/1 ");
}

TEST(EvictionLru, GivesAllThereIsWhenAskedForMore) {
  std::vector<EvictionCandidate> all;
  add(all, 0, 3, 10);
  EXPECT_EQ(choose(all, {true}, 100), "0/0 0/1 0/2 ");
  EXPECT_EQ(choose({}, {}, 100), "");
}

TEST(EvictionLru, StopsAtTheBytesAskedFor) {
  const std::vector<EvictionCandidate> all = {{0, 10, 0, 1}, {0, 10, 1, 2}, {0, 10, 2, 3}};
  EXPECT_EQ(choose(all, {true}, 11), "0/0 0/1 ");
  EXPECT_EQ(choose(all, {true}, 10), "0/0 ");
}

}  // namespace
}  // namespace hubvfs::cache
