// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace hubvfs::hub {

// Quantiles of durations as they come in, the last thousand or so counting most. They are known to
// a fifth, from 0.1 ms to 2 minutes. Not thread-safe; no allocation.
class RunningQuantile {
 public:
  void add(Duration sample);
  std::uint32_t samples() const { return total_; }  // those that still count
  // The least duration that `share` (0 to 1) of the samples do not exceed; zero without samples.
  Duration at(double share) const;

 private:
  static constexpr std::size_t kBuckets = 82;  // four an octave
  std::array<std::uint32_t, kBuckets> counts_{};
  std::uint32_t total_ = 0;
};

}  // namespace hubvfs::hub
