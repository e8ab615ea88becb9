// SPDX-License-Identifier: Apache-2.0
// Traces of block uses, made or recorded, and what a cache makes of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache/eviction_policy.h"

namespace hubvfs::cache {

struct Access {
  std::uint32_t blob = 0;
  std::uint32_t block = 0;
  std::uint64_t millis = 0;  // since the trace began
};

struct Trace {
  std::vector<Access> accesses;
  std::vector<std::uint32_t> blob_blocks;  // of each blob, how many it has
};

// All random, the same for the same seed. Uses are `step` milliseconds apart.
Trace zipf_trace(std::uint32_t blobs, std::uint32_t blob_blocks, double exponent,
                 std::size_t length, std::uint64_t step, unsigned seed);
// One blob of so many blocks, over and over.
Trace loop_trace(std::uint32_t blocks, std::size_t length, std::uint64_t step);
// Whole files one after the other, chosen by Zipf: how models are loaded.
Trace load_trace(std::uint32_t blobs, std::uint32_t blob_blocks, double exponent, std::size_t loads,
                 std::uint64_t step, std::uint64_t pause, unsigned seed);
// Each blob of it as so many shards that are read at once.
Trace in_shards(const Trace& trace, std::uint32_t shards);
// `first`, then `second`, whose blobs are others.
Trace then(Trace first, const Trace& second);
// Both at once, in turns: `share` of the uses (0 to 1) are of `second`.
Trace beside(const Trace& first, const Trace& second, double share, unsigned seed);
// A recorded one, in the format of tests/cache/traces/record; aborts where it cannot be read.
Trace read_trace(const std::string& path);
// How many different blocks it uses.
std::uint64_t distinct_blocks(const Trace& trace);

struct TraceResult {
  std::vector<bool> hits;       // of each use
  std::size_t whole_blobs = 0;  // complete at the end
  std::size_t touched_blobs = 0;
  double hit_rate(std::size_t from = 0, std::size_t to = SIZE_MAX) const;
};

// What an exact simulator holds, in blocks: beyond `most` it evicts down to `least`.
struct Held {
  explicit Held(std::uint64_t blocks) : most(blocks), least(blocks) {}  // one out for one in
  Held(std::uint64_t most_blocks, std::uint64_t least_blocks)
      : most(most_blocks), least(least_blocks) {}
  std::uint64_t most;
  std::uint64_t least;
};
// Exactly LRU (what was used last stays), or exactly FIFO (what came last does).
TraceResult run_exact_lru(const Trace& trace, const Held& held);
TraceResult run_exact_fifo(const Trace& trace, const Held& held);
// The disk store's own parts without the disk: entries, quota and evictor, at a limit of `blocks`.
TraceResult run_evictor(const Trace& trace, std::uint64_t blocks, const EvictionSettings& settings);

}  // namespace hubvfs::cache
