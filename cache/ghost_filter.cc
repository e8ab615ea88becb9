// SPDX-License-Identifier: Apache-2.0
#include "cache/ghost_filter.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

namespace hubvfs::cache {
namespace {

constexpr std::uint64_t kBitsPerBlock = 10;
constexpr int kProbes = 7;

// A mix whose halves are independent enough for the probes.
std::uint64_t hash_of(const BlobKey& key, std::uint64_t block) {
  std::uint64_t hash = std::hash<ContentId>()(key.content) ^ std::hash<std::string>()(key.space);
  hash += (block + 1) * 0x9e37'79b9'7f4a'7c15;
  hash = (hash ^ hash >> 30) * 0xbf58'476d'1ce4'e5b9;
  hash = (hash ^ hash >> 27) * 0x94d0'49bb'1331'11eb;
  return hash ^ hash >> 31;
}

std::uint64_t probe(std::uint64_t hash, int number, std::uint64_t bits) {
  return (hash + static_cast<std::uint64_t>(number) * (hash >> 32 | 1)) % bits;
}

}  // namespace

GhostFilter::GhostFilter(std::uint64_t bytes, std::uint64_t block_size)
    : half_bytes_(bytes / 2), half_blocks_(std::max<std::uint64_t>(bytes / 2 / block_size, 64)) {}

void GhostFilter::add(const BlobKey& key, std::uint64_t block, std::uint64_t length) {
  if (newer_.empty()) newer_.resize(half_blocks_ * kBitsPerBlock / 64 + 1);
  set(newer_, hash_of(key, block));
  ++blocks_;
  bytes_ += length;
  if (bytes_ < half_bytes_ && blocks_ < half_blocks_) return;
  bytes_ = blocks_ = 0;
  older_ = std::exchange(newer_, {});
}

bool GhostFilter::contains(const BlobKey& key, std::uint64_t block) const {
  const std::uint64_t hash = hash_of(key, block);
  return has(newer_, hash) || has(older_, hash);
}

bool GhostFilter::has(const Bits& bits, std::uint64_t hash) {
  if (bits.empty()) return false;
  for (int i = 0; i < kProbes; ++i) {
    const std::uint64_t at = probe(hash, i, bits.size() * 64);
    if ((bits[at / 64] >> at % 64 & 1) == 0) return false;
  }
  return true;
}

void GhostFilter::set(Bits& bits, std::uint64_t hash) {
  for (int i = 0; i < kProbes; ++i) {
    const std::uint64_t at = probe(hash, i, bits.size() * 64);
    bits[at / 64] |= 1ull << at % 64;
  }
}

}  // namespace hubvfs::cache
