// SPDX-License-Identifier: Apache-2.0
#include "cache/directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/bytes.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {
namespace {

class DirectoryTest : public testing::Test {
 protected:
  TempDir dir_;
  const Directory directory_{
      UniqueFd(::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
};

TEST_F(DirectoryTest, MakesPrivateFilesAndDirectories) {
  ASSERT_TRUE(directory_.make_directory("a"));
  ASSERT_TRUE(directory_.make_directory("a"));
  ASSERT_TRUE(directory_.open_file("a/f", O_RDWR | O_CREAT));
  struct stat info {};
  ASSERT_EQ(::stat((dir_ / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  ASSERT_EQ(::stat((dir_ / "a/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(DirectoryTest, NoAccessTimesAreKeptOfFilesInADirectoryThatItMade) {
  const auto flags_of = [](int fd) {
    std::array<int, 2> flags{};  // the constant is named for a long
    return ::ioctl(fd, FS_IOC_GETFLAGS, flags.data()) == 0 ? flags[0] : 0;
  };
  const std::array<int, 2> before{flags_of(directory_.fd())};
  const std::array<int, 2> wanted{before[0] | FS_NOATIME_FL};
  if (::ioctl(directory_.fd(), FS_IOC_SETFLAGS, wanted.data()) != 0) {
    GTEST_SKIP() << "this filesystem has no such flag";
  }
  ASSERT_EQ(::ioctl(directory_.fd(), FS_IOC_SETFLAGS, before.data()), 0);
  ASSERT_TRUE(directory_.make_directory("a"));
  const auto file = directory_.open_file("a/f", O_RDWR | O_CREAT);
  ASSERT_TRUE(file);
  EXPECT_NE(flags_of(file->get()) & FS_NOATIME_FL, 0);
}

TEST_F(DirectoryTest, FollowsNoSymbolicLink) {
  write_file(dir_ / "real/f", "x");
  ASSERT_EQ(::symlink("real", (dir_ / "link").c_str()), 0);
  ASSERT_EQ(::symlink("real/f", (dir_ / "file").c_str()), 0);
  for (const char* name : {"link/f", "file"}) {
    const auto opened = directory_.open_file(name, O_RDONLY);
    ASSERT_FALSE(opened) << name;
    EXPECT_EQ(opened.error().code, ErrorCode::kPermissionDenied);
  }
  EXPECT_FALSE(directory_.make_directory("link"));
}

TEST_F(DirectoryTest, NeverLeavesItself) {
  ASSERT_TRUE(directory_.make_directory("inner"));
  const auto inner = directory_.open_directory("inner");
  write_file(dir_ / "outer", "x");
  EXPECT_FALSE(inner->open_file("../outer", O_RDONLY));
  EXPECT_FALSE(inner->open_file("/etc/passwd", O_RDONLY));
  EXPECT_FALSE(inner->open_directory(".."));
}

TEST_F(DirectoryTest, OpensPlainFilesWithOneNameOnly) {
  ASSERT_EQ(::mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(directory_.open_file("fifo", O_RDONLY));
  write_file(dir_ / "one", "x");
  ASSERT_EQ(::link((dir_ / "one").c_str(), (dir_ / "two").c_str()), 0);
  const auto opened = directory_.open_file("two", O_RDWR);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kPermissionDenied);
}

TEST_F(DirectoryTest, TellsAbsenceApart) {
  EXPECT_EQ(directory_.open_file("none", O_RDONLY).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(directory_.remove_file("none"));
  EXPECT_TRUE(directory_.remove_directory("none"));
}

TEST_F(DirectoryTest, ReplacesAFileWhole) {
  ASSERT_TRUE(directory_.replace_file("f", "a long first text"));
  ASSERT_TRUE(directory_.replace_file("f", "short"));
  EXPECT_EQ(*directory_.read_small_file("f"), "short");
  EXPECT_FALSE(directory_.open_file("f.new", O_RDONLY));
}

TEST_F(DirectoryTest, RemovesADirectoryWithItsFiles) {
  write_file(dir_ / "d/one", "1");
  write_file(dir_ / "d/two", "2");
  ASSERT_TRUE(directory_.remove_directory("d"));
  EXPECT_FALSE(directory_.open_directory("d"));
}

TEST_F(DirectoryTest, AReadBeyondTheEndIsTold) {
  write_file(dir_ / "f", "0123456789");
  const auto fd = directory_.open_file("f", O_RDONLY);
  Bytes bytes(5);
  EXPECT_TRUE(read_fully(fd->get(), bytes, 5));
  const auto read = read_fully(fd->get(), bytes, 6);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace hubvfs::cache
