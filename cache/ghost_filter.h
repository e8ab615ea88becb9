// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "cache/blob_store.h"

namespace hubvfs::cache {

// Remembers blocks that were evicted lately: one that comes back was missed.
//
// Two Bloom filters, the newer and the older half of the memory. Now and then it takes a block for
// another (1 of 100), which only keeps that one a little longer. Not thread-safe.
class GhostFilter {
 public:
  // Remembers between a half and all of `bytes` of blocks, of about `block_size` each. Takes three
  // bytes of memory a block, from the first eviction on.
  GhostFilter(std::uint64_t bytes, std::uint64_t block_size);

  void add(const BlobKey& key, std::uint64_t block, std::uint64_t length);
  bool contains(const BlobKey& key, std::uint64_t block) const;

 private:
  using Bits = std::vector<std::uint64_t>;
  static bool has(const Bits& bits, std::uint64_t hash);
  static void set(Bits& bits, std::uint64_t hash);

  std::uint64_t half_bytes_;
  std::uint64_t half_blocks_;
  std::uint64_t bytes_ = 0;  // in newer_
  std::uint64_t blocks_ = 0;
  Bits newer_;
  Bits older_;
};

}  // namespace hubvfs::cache
