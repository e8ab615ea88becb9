// SPDX-License-Identifier: Apache-2.0
#include "cache/eviction_lru.h"

#include <algorithm>
#include <unordered_map>

namespace hubvfs::cache {

std::vector<EvictionCandidate> choose_lru(std::vector<EvictionCandidate> candidates,
                                          const std::vector<bool>& complete, std::uint64_t bytes) {
  std::sort(candidates.begin(), candidates.end(),
            [](const auto& a, const auto& b) { return a.epoch < b.epoch; });
  std::uint64_t total = 0;
  for (const auto& candidate : candidates) total += candidate.length;
  // Never more than all but the newest quarter, however much is asked for.
  const std::uint64_t cold_bytes = std::max(total / 2, std::min(2 * bytes, total / 4 * 3));
  auto hot = candidates.begin();
  for (std::uint64_t cold = 0; hot != candidates.end() && cold < cold_bytes; ++hot) {
    cold += hot->length;
  }
  std::unordered_map<std::uint32_t, std::size_t> order;  // of each blob's oldest block
  for (auto at = candidates.begin(); at != hot; ++at) order.emplace(at->blob, order.size());
  std::stable_sort(candidates.begin(), hot, [&](const auto& a, const auto& b) {
    if (complete[a.blob] != complete[b.blob]) return !complete[a.blob];
    return order[a.blob] < order[b.blob];
  });
  std::uint64_t chosen = 0;
  auto end = candidates.begin();
  while (end != candidates.end() && chosen < bytes) {
    chosen += end->length;
    ++end;
  }
  candidates.erase(end, candidates.end());
  return candidates;
}

}  // namespace hubvfs::cache
