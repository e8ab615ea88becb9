// SPDX-License-Identifier: Apache-2.0
#include "cache/map_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "cache/lmdb_meta_index.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {
namespace {

constexpr std::size_t kPage = 4096;

// A file of one page, mapped as two: the second cannot be read.
class MapGuardTest : public testing::Test {
 protected:
  void SetUp() override {
    write_file(dir_ / "file", std::string(kPage, 'x'));
    const UniqueFd fd(::open((dir_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
    memory_ = ::mmap(nullptr, 2 * kPage, PROT_READ, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(memory_, MAP_FAILED);
  }
  void TearDown() override { ::munmap(memory_, 2 * kPage); }
  int read(std::size_t at) {
    return guarded([&] { return static_cast<volatile const char*>(memory_)[at] == 'x' ? 0 : 1; });
  }

  TempDir dir_;
  void* memory_ = nullptr;
};

TEST_F(MapGuardTest, APageThatCannotBeReadIsAnError) {
  EXPECT_EQ(read(0), 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(read(kPage), EIO) << "time after time";
  EXPECT_EQ(read(kPage - 1), 0);
}

TEST_F(MapGuardTest, TheInnermostGuardIsTheOneThatReturns) {
  const int outer = guarded([&] {
    EXPECT_EQ(read(kPage), EIO);
    return 7;
  });
  EXPECT_EQ(outer, 7);
}

TEST_F(MapGuardTest, EachThreadHasItsOwn) {
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) EXPECT_EQ(read(kPage), EIO);
  });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(read(kPage), EIO);
  other.join();
}

using MapGuardDeathTest = MapGuardTest;

TEST_F(MapGuardDeathTest, OutsideOfOneItIsTheEnd) {
  const auto access = [&] {
    EXPECT_EQ(read(kPage), EIO);  // the handler is there
    static_cast<void>(static_cast<volatile const char*>(memory_)[kPage]);
  };
  EXPECT_EXIT(access(), testing::KilledBySignal(SIGBUS), "");
}

// As where the disk fails: what the map shows of it cannot be read.
TEST(LmdbMetaIndex, AnIndexWhosePagesCannotBeReadFailsAndIsOpenedAgain) {
  TempDir dir;
  const Directory directory(
      UniqueFd(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  auto index = std::move(*LmdbMetaIndex::open(directory));
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(index->apply({{{"key" + std::to_string(i), std::string(100, 'v')}}}));
  }
  const std::string whole = read_file(dir / "data.mdb");
  ASSERT_EQ(::truncate((dir / "data.mdb").c_str(), 2 * kPage), 0);
  EXPECT_FALSE(index->get("key7"));
  EXPECT_FALSE(index->apply({{{"key7", "new"}}}));
  ASSERT_EQ(::truncate((dir / "data.mdb").c_str(), 0), 0);
  write_file(dir / "data.mdb", whole);
  EXPECT_EQ(index->get("key7")->value_or(""), std::string(100, 'v'));
  EXPECT_TRUE(index->apply({{{"key7", "new"}}}));
  EXPECT_EQ(index->get("key7")->value_or(""), "new");
}

}  // namespace
}  // namespace hubvfs::cache
