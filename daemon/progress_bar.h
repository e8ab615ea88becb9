// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "daemon/cli.h"
#include "daemon/command_request.h"

namespace hubvfs::daemon {

inline constexpr std::size_t kWidestBar = 30;

// "[######........]", `part` of it full; `width` within the brackets.
std::string bar_text(double part, std::size_t width = kWidestBar);

// How far a command has come: on a terminal one line that is drawn over again and again, no wider
// than the terminal, where the bar gives way to the numbers, down to a third of it, and then the
// line is cut; elsewhere a line at the start of each thing it does and every five seconds.
class ProgressBar {
 public:
  // Both must outlive it.
  ProgressBar(const Io& io, const Clock& clock) : io_(io), clock_(clock) {}
  ~ProgressBar() { end(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(const CommandProgress& progress);
  // What is printed next begins on a line of its own.
  void end();

 private:
  std::string pace(const CommandProgress& progress) const;
  void draw(const CommandProgress& progress);

  const Io& io_;
  const Clock& clock_;
  std::string doing_;
  std::optional<TimePoint> line_at_;
  bool drawn_ = false;
  std::deque<std::pair<TimePoint, std::uint64_t>> seen_;  // amounts of the last seconds
};

}  // namespace hubvfs::daemon
