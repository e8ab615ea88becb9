// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "cache/use_clock.h"

namespace hubvfs::cache {

// What the parts of the disk store count together. Thread-safe.
struct StoreCounters {
  explicit StoreCounters(const Clock& clock) : uses(clock) {}

  std::atomic<std::uint64_t> fill{1};  // given to each block that comes in, rising, persisted
  UseClock uses;                       // epochs, persisted now and then

  std::atomic<std::uint64_t> blobs{0};
  std::atomic<std::uint64_t> blocks{0};
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> misses{0};
  std::atomic<std::uint64_t> evicted{0};
  std::atomic<std::uint64_t> expired{0};
  std::atomic<std::uint64_t> pinned_bytes{0};
  std::atomic<std::uint64_t> unindexed_bytes{0};  // written, and not in the index yet
  std::atomic<std::uint64_t> index_writes{0};
  std::atomic<std::uint64_t> corrupt{0};
  std::atomic<std::uint64_t> unstored{0};
  std::atomic<std::uint64_t> pending_bytes{0};
};

}  // namespace hubvfs::cache
