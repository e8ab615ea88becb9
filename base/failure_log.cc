// SPDX-License-Identifier: Apache-2.0
#include "base/failure_log.h"

namespace hubvfs {
namespace {

std::string times_in(std::uint64_t times, Duration span) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(span).count();
  return std::to_string(times) + (times == 1 ? " time in " : " times in ") +
         std::to_string(seconds) + " s";
}

}  // namespace

FailureLog::~FailureLog() {
  Lines lines;
  {
    MutexLock lock(mutex_);
    tell_counted(clock_.now(), true, lines);
  }
  write(lines);
}

void FailureLog::note(LogLevel level, const std::string& kind, std::string line) {
  Lines lines;
  {
    MutexLock lock(mutex_);
    const TimePoint now = clock_.now();
    tell_counted(now, false, lines);
    Level& at = levels_[static_cast<std::size_t>(level)];
    if (const auto known = at.kinds.find(kind); known != at.kinds.end()) {
      ++known->second.repeats;
      known->second.last = std::move(line);
    } else if (at.kinds.size() < kMostKinds) {
      at.kinds[kind].told = now;
      lines.emplace_back(level, std::move(line));
    } else if (++at.left_out == 1) {
      at.left_out_since = now;
    }
  }
  write(lines);
}

void FailureLog::tick() {
  Lines lines;
  {
    MutexLock lock(mutex_);
    tell_counted(clock_.now(), false, lines);
  }
  write(lines);
}

// Also lets go of what has not come again for a minute.
void FailureLog::tell_counted(TimePoint now, bool all, Lines& lines) {
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    const auto name = static_cast<LogLevel>(i);
    Level& level = levels_[i];
    for (auto at = level.kinds.begin(); at != level.kinds.end();) {
      Kind& kind = at->second;
      if (!all && now - kind.told < kEvery) {
        ++at;
      } else if (kind.repeats == 0) {
        at = level.kinds.erase(at);
      } else {
        lines.emplace_back(name,
                           "again, " + times_in(kind.repeats, now - kind.told) + ": " + kind.last);
        kind = {now, 0, {}};
        ++at;
      }
    }
    if (level.left_out == 0 || (!all && now - level.left_out_since < kEvery)) continue;
    lines.emplace_back(name, "other failures, not told one by one: " +
                                 times_in(level.left_out, now - level.left_out_since));
    level.left_out = 0;
  }
}

void FailureLog::write(const Lines& lines) {
  for (const auto& [level, line] : lines) log_.write(level, line);
}

}  // namespace hubvfs
