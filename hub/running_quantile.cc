// SPDX-License-Identifier: Apache-2.0
#include "hub/running_quantile.h"

#include <algorithm>
#include <cmath>

namespace hubvfs::hub {
namespace {

constexpr Duration kLeast = std::chrono::microseconds(100);
constexpr double kPerOctave = 4;
constexpr std::uint32_t kMemory = 1024;  // samples, before all are halved

}  // namespace

void RunningQuantile::add(Duration sample) {
  std::size_t bucket = 0;
  if (sample > kLeast) {
    const double octaves =
        std::log2(static_cast<double>(sample.count()) / static_cast<double>(kLeast.count()));
    bucket = std::min(kBuckets - 1, static_cast<std::size_t>(std::ceil(octaves * kPerOctave)));
  }
  ++counts_[bucket];
  if (++total_ < kMemory) return;
  total_ = 0;
  for (std::uint32_t& count : counts_) total_ += count /= 2;
}

Duration RunningQuantile::at(double share) const {
  if (total_ == 0) return {};
  const auto wanted = static_cast<std::uint32_t>(std::ceil(share * total_));
  std::uint32_t seen = 0;
  std::size_t bucket = 0;
  for (; bucket + 1 < kBuckets; ++bucket) {
    seen += counts_[bucket];
    if (seen >= wanted) break;
  }
  const double factor = std::exp2(static_cast<double>(bucket) / kPerOctave);
  return Duration(static_cast<Duration::rep>(factor * static_cast<double>(kLeast.count())));
}

}  // namespace hubvfs::hub
