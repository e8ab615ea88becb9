// SPDX-License-Identifier: Apache-2.0
#include "daemon/progress_bar.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/text.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ProgressBarTest : public testing::Test {
 protected:
  static CommandProgress at(std::uint64_t done, const std::string& doing = "fetching") {
    CommandProgress progress;
    progress.doing = doing;
    progress.done = done << 20;
    progress.total = 100 << 20;
    progress.files_done = done / 10;
    progress.files_total = 10;
    return progress;
  }
  Io io(bool terminal) {
    return {out_, out_, [](const char*) { return std::string(); }, terminal};
  }

  std::ostringstream out_;
  ManualClock clock_;
};

TEST_F(ProgressBarTest, BarsAreFullAtTheEndAndEmptyAtTheStart) {
  EXPECT_EQ(bar_text(0), "[" + std::string(30, '.') + "]");
  EXPECT_EQ(bar_text(0.5), "[" + std::string(15, '#') + std::string(15, '.') + "]");
  EXPECT_EQ(bar_text(1), "[" + std::string(30, '#') + "]");
  EXPECT_EQ(bar_text(0.5, 4), "[##..]");
  EXPECT_EQ(bar_text(7), bar_text(1));
  EXPECT_EQ(bar_text(-1), bar_text(0));
}

TEST_F(ProgressBarTest, OnATerminalOneLineIsDrawnOver) {
  const Io terminal = io(true);
  {
    ProgressBar bar(terminal, clock_);
    bar.show(at(0));
    clock_.advance(seconds(2));
    bar.show(at(50));
    EXPECT_EQ(out_.str().find('\n'), std::string::npos);
  }
  const std::string text = out_.str();
  EXPECT_NE(text.find("\r"), std::string::npos);
  // Of 80 columns: what matters first, and what that leaves for the bar.
  EXPECT_NE(text.find("fetching [#####.....] 50%, 50.0 MiB of 100.0 MiB, 25.0 MiB/s, 3 s left, 5"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.back(), '\n') << "what follows begins on a line of its own";
}

TEST_F(ProgressBarTest, ALineIsNeverWiderThanTheTerminalNorCutWithinALetter) {
  const Io terminal = io(true);
  ProgressBar bar(terminal, clock_);
  CommandProgress progress = at(1);
  for (std::size_t letters = 1; letters < 60; ++letters) {
    progress.now.clear();
    for (std::size_t i = 0; i < letters; ++i) progress.now += "\xc3\xa9";
    out_.str("");
    bar.show(progress);
    const std::string line = out_.str().substr(out_.str().find("\x1b[K") + 3);
    EXPECT_LT(line.size(), 80u);
    EXPECT_TRUE(is_utf8(line));
  }
}

TEST_F(ProgressBarTest, NamesFromTheHubCannotDriveTheTerminal) {
  const Io terminal = io(true);
  ProgressBar bar(terminal, clock_);
  CommandProgress progress = at(1);
  progress.now = "\x1b[2J";
  bar.show(progress);
  EXPECT_EQ(out_.str().find("\x1b[2J"), std::string::npos);
}

TEST_F(ProgressBarTest, ElsewhereALineAtTheStartOfEachThingAndThenNowAndThen) {
  const Io file = io(false);
  ProgressBar bar(file, clock_);
  bar.show(at(0));
  EXPECT_EQ(out_.str(), "fetching: 0%, 0 B of 100.0 MiB, 0 of 10 files\n");
  out_.str("");
  clock_.advance(milliseconds(4900));
  bar.show(at(10));
  EXPECT_EQ(out_.str(), "");
  clock_.advance(milliseconds(100));
  bar.show(at(20));
  EXPECT_EQ(out_.str(),
            "fetching: 20%, 20.0 MiB of 100.0 MiB, 2 of 10 files, 4.0 MiB/s, 21 s left\n");
  out_.str("");
  bar.show(at(0, "checking"));
  EXPECT_EQ(out_.str(), "checking: 0%, 0 B of 100.0 MiB, 0 of 10 files\n");
  bar.end();
  EXPECT_EQ(out_.str().back(), '\n');
}

TEST_F(ProgressBarTest, ThePaceIsThatOfTheLastSeconds) {
  const Io file = io(false);
  ProgressBar bar(file, clock_);
  bar.show(at(0));
  clock_.advance(seconds(5));
  bar.show(at(50));
  for (int i = 0; i < 3; ++i) {
    clock_.advance(seconds(5));
    out_.str("");
    bar.show(at(51 + static_cast<std::uint64_t>(i)));
  }
  EXPECT_NE(out_.str().find("204.8 KiB/s, 3 min left"), std::string::npos) << out_.str();
}

}  // namespace
}  // namespace hubvfs::daemon
