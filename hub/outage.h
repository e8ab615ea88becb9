// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/result.h"

namespace hubvfs::hub {

// Whether the endpoint is down, so that a lookup of a name nobody knows fails at once and not after
// its whole deadline, each time anew (a circuit breaker). A call that failed, retries and all, and
// heard nothing opens it; so does a second one in a row that heard only 5xx. From then on one call
// every 5 s goes out, as a probe, once; any answer below 500 closes it. Calls that are under way go
// on. Engine's thread only.
class Outage {
 public:
  static constexpr Duration kProbeEvery = std::chrono::seconds(5);

  // The endpoint gave an answer that is no 5xx. True: that ended an outage.
  bool note_answer();
  bool is_on() const { return error_.has_value(); }
  // A call had its time and failed. `answered`: with 5xx. True: an outage begins.
  bool note_failure(const Error& error, bool answered, TimePoint now);

  enum class Verdict { kAsk, kProbe, kDoNotAsk };
  // May a new call go out? kProbe: for one attempt.
  Verdict admit(TimePoint now);
  const Error& error() const { return *error_; }      // during an outage only
  TimePoint next_probe() const { return probe_at_; }  // the same
  // Counts up with each answer: what a call compares to know whether one came while it ran.
  std::uint64_t answers() const { return answers_; }

 private:
  std::optional<Error> error_;  // set: it is down
  TimePoint probe_at_;
  int failures_ = 0;  // in a row
  std::uint64_t answers_ = 0;
};

}  // namespace hubvfs::hub
