// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temp_dir.h"

namespace hubvfs {
namespace {

TEST(FileLogger, LinesAreStampedAndSafeForATerminal) {
  const TempDir dir;
  const std::string path = dir / "hubvfs.log";
  {
    auto log = make_file_logger(path, LogLevel::kInfo);
    ASSERT_TRUE(log);
    (*log)->warning("name \x1b[31mred\nsecond line");
    (*log)->debug("not this");
  }
  const std::string text = read_file(path);
  EXPECT_NE(text.find("Z warning name \\x1b[31mred\\x0asecond line\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("not this"), std::string::npos);
}

TEST(FileLogger, TheFileIsItsOwnersOnly) {
  const TempDir dir;
  ASSERT_TRUE(make_file_logger(dir / "hubvfs.log", LogLevel::kInfo));
  struct stat st {};
  ASSERT_EQ(::stat((dir / "hubvfs.log").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777u, 0600u);
}

TEST(FileLogger, AFileThatCannotBeOpenedIsAnErrorThatNamesIt) {
  const auto log = make_file_logger("/proc/no/such/file", LogLevel::kInfo);
  ASSERT_FALSE(log);
  EXPECT_NE(log.error().context.find("/proc/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace hubvfs
