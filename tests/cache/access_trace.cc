// SPDX-License-Identifier: Apache-2.0
#include "tests/cache/access_trace.h"

#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <list>
#include <memory>
#include <random>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "cache/evictor.h"
#include "tests/cache/blobs.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {
namespace {

// Numbers below `count`, number i as often as 1 / (i + 1)^exponent.
class Zipf {
 public:
  Zipf(std::uint32_t count, double exponent) {
    double sum = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      sum += 1 / std::pow(i + 1, exponent);
      sums_.push_back(sum);
    }
  }
  std::uint32_t operator()(std::mt19937& random) const {
    const double at = std::uniform_real_distribution<double>(0, sums_.back())(random);
    return static_cast<std::uint32_t>(std::lower_bound(sums_.begin(), sums_.end(), at) -
                                      sums_.begin());
  }

 private:
  std::vector<double> sums_;
};

std::uint64_t name_of(const Access& access) {
  return std::uint64_t{access.blob} << 32 | access.block;
}

std::uint64_t end_of(const Trace& trace) {
  return trace.accesses.empty() ? 0 : trace.accesses.back().millis;
}

}  // namespace

Trace zipf_trace(std::uint32_t blobs, std::uint32_t blob_blocks, double exponent,
                 std::size_t length, std::uint64_t step, unsigned seed) {
  Trace trace;
  trace.blob_blocks.assign(blobs, blob_blocks);
  std::mt19937 random(seed);
  const std::uint32_t all = blobs * blob_blocks;
  // Which blocks are the popular ones says nothing about where they lie.
  std::vector<std::uint32_t> places(all);
  for (std::uint32_t i = 0; i < all; ++i) places[i] = i;
  std::shuffle(places.begin(), places.end(), random);
  const Zipf zipf(all, exponent);
  for (std::size_t i = 0; i < length; ++i) {
    const std::uint32_t place = places[zipf(random)];
    trace.accesses.push_back({place / blob_blocks, place % blob_blocks, i * step});
  }
  return trace;
}

Trace loop_trace(std::uint32_t blocks, std::size_t length, std::uint64_t step) {
  Trace trace;
  trace.blob_blocks = {blocks};
  for (std::size_t i = 0; i < length; ++i) {
    trace.accesses.push_back({0, static_cast<std::uint32_t>(i % blocks), i * step});
  }
  return trace;
}

Trace load_trace(std::uint32_t blobs, std::uint32_t blob_blocks, double exponent, std::size_t loads,
                 std::uint64_t step, std::uint64_t pause, unsigned seed) {
  Trace trace;
  std::mt19937 random(seed);
  for (std::uint32_t i = 0; i < blobs; ++i) {
    trace.blob_blocks.push_back(1 + static_cast<std::uint32_t>(random() % (2 * blob_blocks)));
  }
  const Zipf zipf(blobs, exponent);
  std::uint64_t now = 0;
  for (std::size_t i = 0; i < loads; ++i, now += pause) {
    const std::uint32_t blob = zipf(random);
    for (std::uint32_t block = 0; block < trace.blob_blocks[blob]; ++block, now += step) {
      trace.accesses.push_back({blob, block, now});
    }
  }
  return trace;
}

Trace in_shards(const Trace& trace, std::uint32_t shards) {
  Trace split;
  for (const std::uint32_t blocks : trace.blob_blocks) {
    split.blob_blocks.insert(split.blob_blocks.end(), shards, blocks);
  }
  for (const Access& access : trace.accesses) {
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
      split.accesses.push_back({access.blob * shards + shard, access.block, access.millis});
    }
  }
  return split;
}

Trace then(Trace first, const Trace& second) {
  const auto blobs = static_cast<std::uint32_t>(first.blob_blocks.size());
  const std::uint64_t begin = end_of(first);
  for (const Access& access : second.accesses) {
    first.accesses.push_back({access.blob + blobs, access.block, begin + access.millis});
  }
  first.blob_blocks.insert(first.blob_blocks.end(), second.blob_blocks.begin(),
                           second.blob_blocks.end());
  return first;
}

Trace beside(const Trace& first, const Trace& second, double share, unsigned seed) {
  Trace trace;
  trace.blob_blocks = first.blob_blocks;
  trace.blob_blocks.insert(trace.blob_blocks.end(), second.blob_blocks.begin(),
                           second.blob_blocks.end());
  const auto blobs = static_cast<std::uint32_t>(first.blob_blocks.size());
  const std::uint64_t step = end_of(first) / std::max<std::size_t>(first.accesses.size(), 1);
  std::mt19937 random(seed);
  std::bernoulli_distribution is_second(share);
  std::size_t a = 0;
  std::size_t b = 0;
  while (a < first.accesses.size() && b < second.accesses.size()) {
    const std::uint64_t now = (a + b) * step;
    if (is_second(random)) {
      const Access& access = second.accesses[b++];
      trace.accesses.push_back({access.blob + blobs, access.block, now});
    } else {
      const Access& access = first.accesses[a++];
      trace.accesses.push_back({access.blob, access.block, now});
    }
  }
  return trace;
}

Trace read_trace(const std::string& path) {
  std::ifstream file(path);
  Trace trace;
  bool good = true;
  for (std::string line; good && std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream words(line);
    std::uint32_t blocks = 0;
    if (line.starts_with("blob ")) {
      std::string word;
      good = static_cast<bool>(words >> word >> blocks);
      trace.blob_blocks.push_back(blocks);
      continue;
    }
    Access access;
    good = words >> access.millis >> access.blob >> access.block >> blocks &&
           access.blob < trace.blob_blocks.size() &&
           access.block + blocks <= trace.blob_blocks[access.blob] &&
           access.millis >= end_of(trace);
    for (; good && blocks > 0; --blocks, ++access.block) trace.accesses.push_back(access);
  }
  if (!good || trace.accesses.empty()) {
    std::cerr << path << " is no trace\n";
    std::abort();
  }
  return trace;
}

std::uint64_t distinct_blocks(const Trace& trace) {
  std::unordered_set<std::uint64_t> names;
  for (const Access& access : trace.accesses) names.insert(name_of(access));
  return names.size();
}

double TraceResult::hit_rate(std::size_t from, std::size_t to) const {
  to = std::min(to, hits.size());
  std::size_t count = 0;
  for (std::size_t i = from; i < to; ++i) count += hits[i] ? 1u : 0u;
  return to > from ? static_cast<double>(count) / static_cast<double>(to - from) : 0;
}

namespace {

TraceResult run_exact(const Trace& trace, const Held& held, bool by_use) {
  TraceResult result;
  std::list<std::uint64_t> order;  // what goes first is last
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> where;
  for (const Access& access : trace.accesses) {
    const std::uint64_t name = name_of(access);
    const auto at = where.find(name);
    result.hits.push_back(at != where.end());
    if (at != where.end() && !by_use) continue;
    if (at != where.end()) order.erase(at->second);
    order.push_front(name);
    where[name] = order.begin();
    if (order.size() <= held.most) continue;
    for (; order.size() > held.least; order.pop_back()) where.erase(order.back());
  }
  std::unordered_map<std::uint32_t, std::uint32_t> here;
  for (const std::uint64_t name : order) ++here[static_cast<std::uint32_t>(name >> 32)];
  result.touched_blobs = here.size();
  for (const auto& [blob, count] : here) {
    if (count == trace.blob_blocks[blob]) ++result.whole_blobs;
  }
  return result;
}

}  // namespace

TraceResult run_exact_lru(const Trace& trace, const Held& held) {
  return run_exact(trace, held, true);
}

TraceResult run_exact_fifo(const Trace& trace, const Held& held) {
  return run_exact(trace, held, false);
}

TraceResult run_evictor(const Trace& trace, std::uint64_t blocks,
                        const EvictionSettings& settings) {
  const TempDir dir;
  const Directory directory(
      UniqueFd(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  NullLogger log;
  ManualClock clock;
  SmallBlobs small(directory, log);
  StoreContext context(directory, small, kTestBlock, settings, log, clock);
  context.quota.set_limit(blocks * kTestBlock, 0);
  Evictor evictor(context);
  const EndpointId hub = EndpointId::of(kEndpoint);
  const auto bytes = std::make_shared<const Bytes>();  // nobody reads it
  std::vector<std::shared_ptr<BlobEntry>> entries;
  for (std::size_t i = 0; i < trace.blob_blocks.size(); ++i) {
    const std::string content = std::to_string(i);
    const auto id = *ContentId::create(ContentId::Algorithm::kSha256, sha256_hex(as_bytes(content)),
                                       trace.blob_blocks[i] * kTestBlock);
    entries.push_back(context.table.open({"public", id}, hub));
  }

  TraceResult result;
  std::uint64_t now = 0;
  for (const Access& access : trace.accesses) {
    clock.advance(std::chrono::milliseconds(access.millis - now));
    now = access.millis;
    BlobEntry& entry = *entries[access.blob];
    const auto found = entry.find(access.block, &hub);
    result.hits.push_back(found.where == BlobEntry::Found::kDisk);
    if (result.hits.back()) {
      entry.finish_read(found, true);
      continue;
    }
    // As BlockWriter makes room; here the plan is carried out at once.
    if (const auto excess = context.quota.to_evict(kTestBlock); excess > 0) {
      evictor.plan(excess);
      while (evictor.planned()) {
        for (auto& [from, dropped] : evictor.drop_next(64)) {
          context.quota.give_back(from->punched(dropped));
        }
      }
    }
    if (!context.quota.reserve(kTestBlock)) std::abort();
    const auto put = entry.put(access.block, bytes, hub);
    entry.written(access.block, put.fill, 1, evictor.came_back(entry, access.block));
    entry.indexed(std::vector<std::uint64_t>{access.block});
  }
  for (const auto& entry : entries) {
    if (!entry->has_blocks()) continue;
    ++result.touched_blobs;
    if (entry->all_here()) ++result.whole_blobs;
  }
  return result;
}

}  // namespace hubvfs::cache
