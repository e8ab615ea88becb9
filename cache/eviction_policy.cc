// SPDX-License-Identifier: Apache-2.0
#include "cache/eviction_policy.h"

#include <algorithm>
#include <unordered_map>

namespace hubvfs::cache {
namespace {

using Candidates = std::vector<EvictionCandidate>;

std::uint64_t bytes_of(Candidates::const_iterator begin, Candidates::const_iterator end) {
  std::uint64_t bytes = 0;
  for (; begin != end; ++begin) bytes += begin->length;
  return bytes;
}

// The first place behind so many bytes.
Candidates::iterator behind(Candidates::iterator begin, Candidates::iterator end,
                            std::uint64_t bytes) {
  for (std::uint64_t sum = 0; begin != end && sum < bytes; ++begin) sum += begin->length;
  return begin;
}

// `candidates` are in rank order. What is hot beyond its share is so no more.
void demote(Candidates& candidates) {
  std::uint64_t hot = 0;
  std::uint64_t all = 0;
  for (const auto& candidate : candidates) {
    all += candidate.length;
    if (candidate.hot) hot += candidate.length;
  }
  for (auto& candidate : candidates) {
    if (hot <= all / 2) break;
    if (!candidate.hot) continue;
    candidate.hot = false;
    hot -= candidate.length;
  }
}

}  // namespace

const char* to_string(EvictionPolicy policy) {
  switch (policy) {
    case EvictionPolicy::kLru:
      return "lru";
    case EvictionPolicy::kFifo:
      return "fifo";
    case EvictionPolicy::kTtl:
      return "ttl";
  }
  return "?";
}

std::optional<EvictionPolicy> parse_eviction_policy(std::string_view name) {
  for (const EvictionPolicy policy :
       {EvictionPolicy::kLru, EvictionPolicy::kFifo, EvictionPolicy::kTtl}) {
    if (name == to_string(policy)) return policy;
  }
  return std::nullopt;
}

// In place throughout: there may be millions.
Candidates choose_victims(Candidates candidates, const std::vector<bool>& complete,
                          std::uint64_t bytes, std::uint64_t leeway) {
  std::sort(candidates.begin(), candidates.end(),
            [](const auto& a, const auto& b) { return a.rank < b.rank; });
  demote(candidates);
  std::sort(candidates.begin(), candidates.end(),
            [](const auto& a, const auto& b) { return a.hot != b.hot ? b.hot : a.rank < b.rank; });
  const auto hot = std::find_if(candidates.begin(), candidates.end(),
                                [](const auto& candidate) { return candidate.hot; });
  // What is hot goes only where the rest is not enough, and then no more of it than must.
  const bool enough = bytes_of(candidates.begin(), hot) >= bytes;
  const auto soon = enough ? behind(candidates.begin(), hot, bytes + leeway)
                           : behind(candidates.begin(), candidates.end(), bytes);
  std::unordered_map<std::uint32_t, std::size_t> order;  // of each blob's first block
  for (auto at = candidates.begin(); at != soon; ++at) order.emplace(at->blob, order.size());
  std::stable_sort(candidates.begin(), soon, [&](const auto& a, const auto& b) {
    if (complete[a.blob] != complete[b.blob]) return !complete[a.blob];
    return order[a.blob] < order[b.blob];
  });
  candidates.erase(behind(candidates.begin(), soon, bytes), candidates.end());
  return candidates;
}

}  // namespace hubvfs::cache
