// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"

namespace hubvfs {

// Tells failures in the log without letting one that goes on fill it: after an error the kernel
// asks again page by page, and programs loop.
//
// The first failure of a kind is a line at once. Those that follow are counted, and told once a
// minute for as long as they come. A level has kMostKinds kinds at a time; what is beyond is only
// counted, all together. Thread-safe. Lock rank: leaf; not held while a line is written.
class FailureLog {
 public:
  static constexpr Duration kEvery = std::chrono::minutes(1);
  static constexpr std::size_t kMostKinds = 64;

  FailureLog(Logger& log, const Clock& clock) : log_(log), clock_(clock) {}
  ~FailureLog();  // tells what was counted
  FailureLog(const FailureLog&) = delete;
  FailureLog& operator=(const FailureLog&) = delete;

  // `kind` says what makes two failures the same: what failed and why, without what differs from
  // one time to the next. `line` is what to write of this one.
  void note(LogLevel level, const std::string& kind, std::string line) EXCLUDES(mutex_);

  // Tells what was counted for a minute. To be called about once a second.
  void tick() EXCLUDES(mutex_);

 private:
  struct Kind {
    TimePoint told;
    std::uint64_t repeats = 0;  // since
    std::string last;           // line of the last of these
  };
  struct Level {
    std::map<std::string, Kind> kinds;
    std::uint64_t left_out = 0;
    TimePoint left_out_since;
  };
  using Lines = std::vector<std::pair<LogLevel, std::string>>;

  void tell_counted(TimePoint now, bool all, Lines& lines) REQUIRES(mutex_);
  void write(const Lines& lines);

  Logger& log_;
  const Clock& clock_;
  Mutex mutex_;
  std::array<Level, 4> levels_ GUARDED_BY(mutex_);  // by LogLevel
};

}  // namespace hubvfs
