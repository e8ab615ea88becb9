// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "base/clock.h"

namespace hubvfs {

// A clock that moves only when told. Thread-safe.
class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(Duration(nanoseconds_.load())); }
  UnixSeconds unix_now() const override {
    return 1'760'000'000 + nanoseconds_.load() / 1'000'000'000;
  }
  Duration suspended() const override { return Duration(suspended_.load()); }
  void advance(Duration by) { nanoseconds_ += by.count(); }
  // As if the machine had slept that long.
  void suspend(Duration by) {
    advance(by);
    suspended_ += by.count();
  }

 private:
  std::atomic<Duration::rep> nanoseconds_{1'000'000'000};
  std::atomic<Duration::rep> suspended_{0};
};

// Real time, with sleeps of the machine that take no time. Thread-safe.
class SuspendingClock final : public Clock {
 public:
  TimePoint now() const override { return clock_.now() + suspended(); }
  UnixSeconds unix_now() const override {
    return clock_.unix_now() +
           std::chrono::duration_cast<std::chrono::seconds>(suspended()).count();
  }
  Duration suspended() const override { return Duration(suspended_.load()); }
  void suspend(Duration by) { suspended_ += by.count(); }

 private:
  SystemClock clock_;
  std::atomic<Duration::rep> suspended_{0};
};

}  // namespace hubvfs
