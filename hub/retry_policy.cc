// SPDX-License-Identifier: Apache-2.0
#include "hub/retry_policy.h"

#include <algorithm>

namespace hubvfs::hub {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kFirstBound = milliseconds(250);
constexpr Duration kLastBound = seconds(8);
constexpr std::uint64_t kLongestTold = 300;

}  // namespace

bool is_transient_status(int status) { return status == 408 || status >= 500; }

Duration Backoff::bound(int failures) {
  const int doublings = std::clamp(failures - 1, 0, 10);
  return std::min<Duration>(kFirstBound * (1 << doublings), kLastBound);
}

Duration Backoff::wait(int failures) {
  std::uniform_int_distribution<Duration::rep> spread(0, bound(failures).count());
  return Duration(spread(random_));
}

std::optional<Duration> told_wait(const HttpHead& head, UnixSeconds now) {
  const auto limit = parse_rate_limit(head.rate_limit);
  if (limit && limit->remaining == 0) {
    return seconds(std::min(limit->reset_seconds, kLongestTold) + 1);
  }
  const auto after = parse_retry_after(head.retry_after, now);
  if (!after) return {};
  return seconds(std::min(*after, kLongestTold));
}

Patience patience_for(Duration allowance) {
  const auto part = [&](Duration most, int share) {
    return std::clamp<Duration>(allowance / share, milliseconds(20), most);
  };
  return {part(seconds(10), 3), part(seconds(30), 2), part(seconds(15), 3)};
}

}  // namespace hubvfs::hub
