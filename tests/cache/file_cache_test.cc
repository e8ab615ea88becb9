// SPDX-License-Identifier: Apache-2.0
#include "cache/file_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>

#include "tests/support/temp_dir.h"

namespace hubvfs::cache {
namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

class FileCacheTest : public testing::Test {
 protected:
  TempDir dir_;
  const Directory directory_{
      UniqueFd(::open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
};

TEST_F(FileCacheTest, AFileIsOpenedOnce) {
  FileCache files(directory_, 4);
  const auto made = files.create(1, "a");
  ASSERT_TRUE(made);
  EXPECT_EQ(*files.open(1, "a"), *made);
  files.forget(1);
  EXPECT_NE(*files.open(1, "a"), *made);
  EXPECT_EQ(files.open(2, "none").error().code, ErrorCode::kNotFound);
}

TEST_F(FileCacheTest, TheLeastRecentlyUsedIsClosed) {
  FileCache files(directory_, 4);
  const std::size_t before = open_descriptors();
  for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(files.create(i, std::to_string(i)));
  EXPECT_EQ(open_descriptors(), before + 4);
}

TEST_F(FileCacheTest, AHeldFileStaysOpen) {
  FileCache files(directory_, 1);
  const auto held = *files.create(1, "a");
  ASSERT_TRUE(files.create(2, "b"));
  EXPECT_GE(::fcntl(held->get(), F_GETFD), 0);
}

TEST_F(FileCacheTest, WithoutDescriptorsItClosesSomeAndGoesOn) {
  FileCache files(directory_, 1000);
  for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(files.create(i, std::to_string(i)));
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit tight = old;
  tight.rlim_cur = static_cast<rlim_t>(::fcntl(0, F_DUPFD_CLOEXEC, 3));
  ::close(static_cast<int>(tight.rlim_cur));  // the next descriptor would be this number
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  const auto opened = files.create(100, "more");
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_TRUE(opened);
}

}  // namespace
}  // namespace hubvfs::cache
