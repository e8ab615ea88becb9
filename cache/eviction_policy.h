// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace hubvfs::cache {

enum class EvictionPolicy : std::uint8_t {
  kLru,   // least recently used first; half of the cache is kept for what is used again and again
  kFifo,  // what came first goes first
  kTtl,   // as kLru, and what was not used for the ttl goes though there is room
};

const char* to_string(EvictionPolicy policy);
// "lru", "fifo" or "ttl".
std::optional<EvictionPolicy> parse_eviction_policy(std::string_view name);

// Bytes of the disk that stay free: `bytes` where it is set, else a share of the disk.
struct MinFree {
  unsigned percent = 5;
  std::optional<std::uint64_t> bytes;
  bool operator==(const MinFree&) const = default;
};

struct EvictionSettings {
  EvictionPolicy policy = EvictionPolicy::kLru;
  Duration ttl = std::chrono::hours(30 * 24);  // of kTtl
  MinFree min_free;
  // Percent of the cache's size: beyond the first, eviction goes down to the second.
  unsigned high_watermark = 95;
  unsigned low_watermark = 85;
  bool operator==(const EvictionSettings&) const = default;
};

struct EvictionCandidate {
  std::uint64_t rank = 0;  // the lowest goes first
  std::uint32_t blob = 0;  // index into `complete` of choose_victims
  std::uint32_t block = 0;
  std::uint64_t length = 0;
  bool hot = false;
};

// Chooses blocks of at least `bytes` (or all there are), in the order they are to go.
//
// Segmented by `hot`: as long as others are left, hot blocks stay up to half of all the bytes;
// beyond that the hot ones with the lowest rank count as others. Files are kept whole: among what
// is to go soon (what is asked for and `leeway` bytes more), those that have holes already are
// finished before a whole one is broken, and one before the next. Without leeway it is exactly
// those of the lowest rank that go.
std::vector<EvictionCandidate> choose_victims(std::vector<EvictionCandidate> candidates,
                                              const std::vector<bool>& complete,
                                              std::uint64_t bytes, std::uint64_t leeway);

}  // namespace hubvfs::cache
