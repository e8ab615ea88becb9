// SPDX-License-Identifier: Apache-2.0
// The hit rate of the evictor beside that of an exact LRU, on made and recorded traces.
//
// The evictor works between the watermarks; the exact LRU it is held against holds at every moment
// what the evictor holds at most, 95% of the size. Each case prints both.
#include <gtest/gtest.h>

#include <functional>
#include <iomanip>
#include <iostream>
#include <string>

#include "tests/cache/access_trace.h"

namespace hubvfs::cache {
namespace {

constexpr std::uint64_t kSize = 1000;  // blocks
const Held kHeld(950);
constexpr double kMost = 0.02;  // how much lower than exact LRU a hit rate may be
constexpr std::uint64_t kStep = 200;
constexpr std::uint64_t kMinute = 60'000;

struct Case {
  const char* name;
  std::function<Trace()> make;
};

class EvictionTrace : public testing::TestWithParam<Case> {};

// Beside each other, so that a figure that changes is seen.
void print(const std::string& name, double ours, double exact) {
  std::cout << std::fixed << std::setprecision(2) << name << ": " << 100 * ours << "%, exact LRU "
            << 100 * exact << "%\n";
}

TEST_P(EvictionTrace, IsNeverTwoPointsBelowExactLru) {
  const Trace trace = GetParam().make();
  const double exact = run_exact_lru(trace, kHeld).hit_rate();
  const double ours = run_evictor(trace, kSize, {}).hit_rate();
  print(GetParam().name, ours, exact);
  EXPECT_GE(ours, exact - kMost);
}

Trace zipf(double exponent) { return zipf_trace(100, 50, exponent, 100'000, kStep, 1); }
Trace loads(double exponent) { return load_trace(100, 50, exponent, 1500, kStep, kMinute, 2); }
Trace shifting_zipf() {
  Trace trace = zipf_trace(80, 25, 0.8, 20'000, kStep, 10);
  for (unsigned i = 1; i < 6; ++i) {
    trace = then(std::move(trace), zipf_trace(80, 25, 0.8, 20'000, kStep, 10 + i));
  }
  return trace;
}
Trace mixed(double share) {
  return beside(zipf_trace(100, 50, 0.9, 60'000, kStep, 3), loop_trace(60'000, 60'000, kStep),
                share, 4);
}

INSTANTIATE_TEST_SUITE_P(
    Traces, EvictionTrace,
    testing::Values(
        Case{"Zipf06", [] { return zipf(0.6); }}, Case{"Zipf08", [] { return zipf(0.8); }},
        Case{"Zipf10", [] { return zipf(1.0); }}, Case{"Zipf12", [] { return zipf(1.2); }},
        Case{"Scan", [] { return loop_trace(20'000, 20'000, kStep); }},
        Case{"LoopOfHalf", [] { return loop_trace(500, 20'000, kStep); }},
        Case{"LoopOfMost", [] { return loop_trace(940, 20'000, kStep); }},
        Case{"LoopTooLarge", [] { return loop_trace(1200, 20'000, kStep); }},
        Case{"LoopOfThrice", [] { return loop_trace(3000, 20'000, kStep); }},
        Case{"Loads06", [] { return loads(0.6); }}, Case{"Loads10", [] { return loads(1.0); }},
        Case{"LoadsOfShards",
             [] { return in_shards(load_trace(40, 8, 0.8, 1000, kStep, kMinute, 5), 8); }},
        Case{"ZipfBesideScan", [] { return mixed(0.3); }},
        Case{"ScanBesideZipf", [] { return mixed(0.7); }},
        Case{"ZipfBesideLoop",
             [] {
               return beside(zipf_trace(100, 50, 0.9, 60'000, kStep, 6),
                             loop_trace(1200, 60'000, kStep), 0.5, 7);
             }},
        Case{"ShiftingZipf", [] { return shifting_zipf(); }}),
    [](const auto& each) { return each.param.name; });

// A week of real programs (tests/cache/traces/record), at so many percent of what they used.
//
// Held against an exact simulator that evicts between the same watermarks: at such sizes a whole
// model more or less fits, and the hit rate jumps by points where the room differs by a percent.
// What the watermarks themselves cost is printed beside it.
class RecordedTrace : public testing::TestWithParam<std::uint64_t> {
 protected:
  static const Trace& trace() {
    static const Trace kWeek = read_trace(HUBVFS_SOURCE_DIR "/tests/cache/traces/week.trace");
    return kWeek;
  }
  void check(EvictionPolicy policy, TraceResult (*run_exact)(const Trace&, const Held&)) {
    EvictionSettings settings;
    settings.policy = policy;
    const double ours = run_evictor(trace(), size_, settings).hit_rate();
    const Held between(size_ * settings.high_watermark / 100, size_ * settings.low_watermark / 100);
    const double exact = run_exact(trace(), between).hit_rate();
    const double one_by_one = run_exact(trace(), Held(between.most)).hit_rate();
    const double all_of_it = run_exact(trace(), Held(size_)).hit_rate();
    std::cout << std::fixed << std::setprecision(2) << to_string(policy) << ", " << GetParam()
              << "% of the blocks: " << 100 * ours << "%, exact " << 100 * exact
              << "%; exact and always 95% full " << 100 * one_by_one << "%, 100% full "
              << 100 * all_of_it << "%\n";
    EXPECT_GE(ours, exact - kMost);
  }
  const std::uint64_t size_ = distinct_blocks(trace()) * GetParam() / 100;
};

TEST_P(RecordedTrace, IsNeverTwoPointsBelowExactLru) { check(EvictionPolicy::kLru, run_exact_lru); }

TEST_P(RecordedTrace, FifoIsNeverTwoPointsBelowExactFifo) {
  check(EvictionPolicy::kFifo, run_exact_fifo);
}

INSTANTIATE_TEST_SUITE_P(Percent, RecordedTrace, testing::Range<std::uint64_t>(5, 100, 5),
                         testing::PrintToStringParamName());

// A hot set, a scan of four times the cache, and the hot set again.
struct AroundAScan {
  explicit AroundAScan(std::uint32_t hot_blocks) {
    const Trace hot = zipf_trace(20, hot_blocks / 20, 0.3, 10'000, kStep, 8);
    trace = then(hot, loop_trace(4 * kSize, 4 * kSize, kStep));
    after = trace.accesses.size();
    const std::uint64_t begin = trace.accesses.back().millis;
    for (const Access& access : hot.accesses) {
      trace.accesses.push_back({access.blob, access.block, begin + access.millis});
    }
  }
  // Of the first uses after the scan: a few times the hot set.
  double after_scan(const TraceResult& result) const {
    return result.hit_rate(after, after + 2000);
  }

  Trace trace;
  std::size_t after = 0;
};

TEST(EvictionScan, AScanOfFourTimesTheCacheLeavesTheHotSet) {
  for (const std::uint32_t hot_blocks : {200u, 400u, 480u}) {
    const AroundAScan around(hot_blocks);
    const double ours = around.after_scan(run_evictor(around.trace, kSize, {}));
    const double exact = around.after_scan(run_exact_lru(around.trace, kHeld));
    print("hot set of " + std::to_string(hot_blocks) + " of 1000, after the scan", ours, exact);
    EXPECT_GE(ours, 0.97);
    EXPECT_LT(exact, 0.95);  // else the scan is none
  }
}

TEST(EvictionScan, OfAHotSetLargerThanItsShareTheShareIsLeft) {
  const AroundAScan around(800);
  const double ours = around.after_scan(run_evictor(around.trace, kSize, {}));
  const double exact = around.after_scan(run_exact_lru(around.trace, kHeld));
  print("hot set of 800 of 1000, after the scan", ours, exact);
  EXPECT_GE(ours, exact + 0.1);
}

TEST(EvictionScan, FifoHasNoHotSet) {
  const AroundAScan around(400);
  EvictionSettings fifo;
  fifo.policy = EvictionPolicy::kFifo;
  EXPECT_LT(around.after_scan(run_evictor(around.trace, kSize, fifo)), 0.95);
}

// What the protection of the hot set costs: a new working set larger than the other half of the
// cache has to be missed once before it is hot. Not more than once.
TEST(EvictionScan, ANewWorkingSetCostsAtMostOnePassMore) {
  Trace trace = loop_trace(800, 800 * 5, kStep);
  std::size_t pass = 0;
  for (const std::uint32_t blocks : {900u, 700u, 850u, 600u}) {
    trace = then(std::move(trace), loop_trace(blocks, blocks * 5, kStep));
    pass += blocks;
  }
  const auto misses = [&](const TraceResult& result) {
    return (1 - result.hit_rate()) * static_cast<double>(trace.accesses.size());
  };
  const TraceResult ours = run_evictor(trace, kSize, {});
  const TraceResult exact = run_exact_lru(trace, kHeld);
  print("working sets that follow each other, five passes each", ours.hit_rate(), exact.hit_rate());
  EXPECT_LE(misses(ours), misses(exact) + static_cast<double>(pass));
}

TEST(EvictionTraces, FilesStayWhole) {
  for (const double exponent : {0.6, 1.0}) {
    const Trace trace = in_shards(load_trace(40, 8, exponent, 1000, kStep, kMinute, 9), 8);
    const TraceResult ours = run_evictor(trace, kSize, {});
    EXPECT_GE(ours.whole_blobs * 10, ours.touched_blobs * 9)
        << ours.whole_blobs << " of " << ours.touched_blobs;
  }
}

}  // namespace
}  // namespace hubvfs::cache
