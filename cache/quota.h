// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "cache/directory.h"
#include "cache/eviction_policy.h"

namespace hubvfs::cache {

// How many bytes of blocks may lie on disk, and how many do. Thread-safe.
//
// Room is reserved before it is written and given back after it was punched, so that the limit
// holds at every moment. It only counts: who evicts what is the writer's affair.
class Quota {
 public:
  explicit Quota(const EvictionSettings& settings = {}) : settings_(settings) {}

  // `limit` 0: 80% of what the disk has free plus what is cached.
  void set_limit(std::uint64_t limit, std::uint64_t free_on_disk);
  std::uint64_t limit() const { return limit_.load(); }
  std::uint64_t used() const { return used_.load(); }

  // At load: blocks that are there already, over the limit or not.
  void count(std::uint64_t bytes) { used_ += bytes; }
  void give_back(std::uint64_t bytes) { used_ -= bytes; }
  // False, and nothing reserved: it would not fit.
  bool reserve(std::uint64_t bytes);

  // How much should go before `bytes` more are taken: down to the low watermark once the high one
  // would be passed.
  std::uint64_t to_evict(std::uint64_t bytes) const;
  // How much must go so that the disk keeps what stays free.
  std::uint64_t to_evict(const DiskSpace& space, std::uint64_t bytes) const;
  // Bytes of that disk that stay free.
  std::uint64_t min_free(const DiskSpace& space) const;

 private:
  const EvictionSettings settings_;
  std::atomic<std::uint64_t> limit_{0};
  std::atomic<std::uint64_t> used_{0};
};

}  // namespace hubvfs::cache
