// SPDX-License-Identifier: Apache-2.0
// When a request is sent again, and after how long (hub-protocol E.4, E.5).
#pragma once

#include <cstdint>
#include <optional>
#include <random>

#include "base/clock.h"
#include "hub/http_head.h"

namespace hubvfs::hub {

// Statuses that say "later" and not "no": 408 and every 5xx. 429 has rules of its own.
bool is_transient_status(int status);

// Full jitter: a random wait from nothing up to a bound that doubles from 250 ms to 8 s, so that
// many clients that failed together do not come back together. Not thread-safe.
class Backoff {
 public:
  explicit Backoff(std::uint64_t seed) : random_(seed) {}
  Duration wait(int failures);  // after this many failures in a row, from 1
  static Duration bound(int failures);

 private:
  std::mt19937_64 random_;
};

// How long a 429 asks to wait: an exhausted RateLimit's reset and a second more (the Hub rounds
// down), else Retry-After. None: it does not say. More than 300 s, the length of the Hub's
// windows, counts as 300 s: nobody can silence us for a year.
std::optional<Duration> told_wait(const HttpHead& head, UnixSeconds now);

// How patient one attempt is, for a caller that allows `allowance` without progress.
struct Patience {
  Duration connect;
  Duration first_byte;  // from the start of the attempt to its first header
  Duration stall;       // the window in which at least kLeastRate must arrive
};
inline constexpr std::uint64_t kLeastRate = 1024;  // bytes a second
// 10 s, 30 s and 15 s, less where `allowance` would leave no time for a second attempt.
Patience patience_for(Duration allowance);

}  // namespace hubvfs::hub
