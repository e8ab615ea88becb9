// SPDX-License-Identifier: Apache-2.0
#include "daemon/progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ostream>

#include "base/text.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::seconds;

constexpr std::size_t kNarrowestBar = 10;
constexpr std::size_t kUsualWidth = 80;
constexpr auto kLineEvery = seconds(5);
constexpr auto kPaceOver = seconds(10);
constexpr auto kPaceFrom = seconds(1);  // before that it says nothing
constexpr const char* kClearLine = "\r\x1b[K";

double part_of(const CommandProgress& progress) {
  if (progress.total == 0) return 1;
  return std::min(1.0, static_cast<double>(progress.done) / static_cast<double>(progress.total));
}

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualWidth;
  return size.ws_col;
}

// Cut where it would wrap: what is drawn over must be one line. Ours is ASCII but for file names,
// which are cut a byte earlier than they need be.
std::string fitted(std::string line, std::size_t width) {
  if (line.size() < width) return line;
  line.resize(width - 1);
  while (!is_utf8(line)) line.pop_back();
  return line;
}

std::string bytes_of(const CommandProgress& progress) {
  return std::to_string(static_cast<int>(part_of(progress) * 100)) + "%, " +
         human_bytes(progress.done) + " of " + human_bytes(progress.total);
}

std::string files_of(const CommandProgress& progress) {
  if (progress.files_total == 0) return "";
  return ", " + std::to_string(progress.files_done) + " of " +
         std::to_string(progress.files_total) + " files";
}

std::string human_time(std::uint64_t s) {
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return std::to_string(s / 60) + " min";
  return std::to_string(s / 3600) + " h " + std::to_string(s % 3600 / 60) + " min";
}

}  // namespace

std::string bar_text(double part, std::size_t width) {
  const auto full =
      static_cast<std::size_t>(std::clamp(part, 0.0, 1.0) * static_cast<double>(width));
  return "[" + std::string(full, '#') + std::string(width - full, '.') + "]";
}

void ProgressBar::show(const CommandProgress& progress) {
  const TimePoint now = clock_.now();
  const bool begins = progress.doing != doing_ || !line_at_;
  if (begins) {
    doing_ = progress.doing;
    seen_.clear();
  }
  seen_.emplace_back(now, progress.done);
  while (now - seen_.front().first > kPaceOver) seen_.pop_front();
  if (io_.out_is_terminal) {
    line_at_ = now;
    return draw(progress);
  }
  if (!begins && now - *line_at_ < kLineEvery) return;
  line_at_ = now;
  io_.out << escape_for_log(progress.doing) << ": " << bytes_of(progress) << files_of(progress)
          << pace(progress) << std::endl;
}

void ProgressBar::end() {
  if (drawn_) io_.out << std::endl;
  drawn_ = false;
}

// Of the last seconds, and how long the rest takes at that.
std::string ProgressBar::pace(const CommandProgress& progress) const {
  const auto& [since, before] = seen_.front();
  const Duration took = seen_.back().first - since;
  if (took < kPaceFrom || progress.done <= before) return "";
  const double rate =
      static_cast<double>(progress.done - before) / std::chrono::duration<double>(took).count();
  std::string text = ", " + human_bytes(static_cast<std::uint64_t>(rate)) + "/s";
  if (progress.done < progress.total) {
    const double left = static_cast<double>(progress.total - progress.done) / rate;
    text += ", " + human_time(static_cast<std::uint64_t>(left) + 1) + " left";
  }
  return text;
}

void ProgressBar::draw(const CommandProgress& progress) {
  const std::string doing = escape_for_log(progress.doing) + " ";
  const std::string numbers = " " + bytes_of(progress) + pace(progress) + files_of(progress);
  const std::size_t width = terminal_width();
  const std::size_t others = doing.size() + numbers.size() + sizeof "[]";
  const std::size_t bar = std::clamp(width - std::min(width, others), kNarrowestBar, kWidestBar);
  std::string line = doing + bar_text(part_of(progress), bar) + numbers;
  if (!progress.now.empty()) line += "  " + escape_for_log(progress.now);
  io_.out << kClearLine << fitted(std::move(line), width) << std::flush;
  drawn_ = true;
}

}  // namespace hubvfs::daemon
