// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace hubvfs::cache {

struct EvictionCandidate {
  std::uint32_t blob = 0;  // index into `complete` of choose_lru
  std::uint32_t length = 0;
  std::uint64_t block = 0;
  std::uint64_t epoch = 0;  // of its last use
};

// Chooses blocks of at least `bytes` (or all there are), least recently used first.
//
// Among what is cold (the oldest half, or twice what is asked for where that is more) it takes
// blobs that have holes already before whole ones, and all cold blocks of one before the next: most
// files stay complete. What was used lately goes only when nothing cold is left.
std::vector<EvictionCandidate> choose_lru(std::vector<EvictionCandidate> candidates,
                                          const std::vector<bool>& complete, std::uint64_t bytes);

}  // namespace hubvfs::cache
