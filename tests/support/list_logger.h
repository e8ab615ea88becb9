// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"

namespace hubvfs {

// Keeps every line. Thread-safe.
class ListLogger final : public Logger {
 public:
  struct Line {
    LogLevel level;
    std::string text;
  };
  void write(LogLevel level, std::string_view line) override {
    MutexLock lock(mutex_);
    lines_.push_back({level, std::string(line)});
  }
  std::vector<Line> lines() const {
    MutexLock lock(mutex_);
    return lines_;
  }
  // All of them, a newline after each.
  std::string text() const {
    MutexLock lock(mutex_);
    std::string all;
    for (const Line& line : lines_) all += line.text + "\n";
    return all;
  }

 private:
  mutable Mutex mutex_;
  std::vector<Line> lines_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs
