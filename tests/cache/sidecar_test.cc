// SPDX-License-Identifier: Apache-2.0
#include "cache/sidecar.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "base/unique_fd.h"
#include "cache/directory.h"
#include "tests/cache/blobs.h"

namespace hubvfs::cache {
namespace {

class SidecarTest : public testing::Test {
 protected:
  Result<Sidecar> read() { return read_sidecar(fd_.get(), header_.content); }
  std::vector<std::uint64_t> numbers() {
    std::vector<std::uint64_t> found;
    const auto sidecar = read();
    for (const SidecarBlock& each : sidecar->blocks) found.push_back(each.block);
    return found;
  }
  SidecarBlock block(std::uint64_t number, bool trusted = false) {
    return {number, trusted, static_cast<std::uint32_t>(kTestBlock), number * 1000};
  }
  void flip(off_t offset) {
    char byte = 0;
    ASSERT_EQ(::pread(fd_.get(), &byte, 1, offset), 1);
    byte = static_cast<char>(byte ^ 0x10);
    ASSERT_EQ(::pwrite(fd_.get(), &byte, 1, offset), 1);
  }

  TempDir dir_;
  const UniqueFd fd_{::open((dir_ / "map").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  SidecarHeader header_{make_blob(1, 1).key.content, kTestBlock, EndpointId::of(kEndpoint)};
  void SetUp() override {
    header_.content =
        *ContentId::create(ContentId::Algorithm::kSha256, std::string(64, 'a'), 20 * kTestBlock);
  }
};

TEST_F(SidecarTest, GivesBackWhatWasWritten) {
  const std::vector<SidecarBlock> blocks = {block(0), block(1, true), block(7), block(19)};
  ASSERT_TRUE(write_sidecar(fd_.get(), header_, blocks));
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->header.content, header_.content);
  EXPECT_EQ(found->header.block_size, kTestBlock);
  EXPECT_EQ(found->header.owner, header_.owner);
  ASSERT_EQ(found->blocks.size(), 4u);
  EXPECT_EQ(found->blocks[1].block, 1u);
  EXPECT_TRUE(found->blocks[1].trusted);
  EXPECT_FALSE(found->blocks[2].trusted);
  EXPECT_EQ(found->blocks[2].checksum, 7000u);
  EXPECT_EQ(found->blocks[2].length, kTestBlock);
}

TEST_F(SidecarTest, ClearedBlocksAreAbsent) {
  const std::vector<SidecarBlock> blocks = {block(0), block(1), block(2), block(3)};
  ASSERT_TRUE(write_sidecar(fd_.get(), header_, blocks));
  struct stat before {};
  ASSERT_EQ(::fstat(fd_.get(), &before), 0);
  const std::vector<std::uint64_t> cleared = {1, 2, 9};
  ASSERT_TRUE(clear_sidecar(fd_.get(), cleared));
  EXPECT_EQ(numbers(), (std::vector<std::uint64_t>{0, 3}));
  struct stat after {};
  ASSERT_EQ(::fstat(fd_.get(), &after), 0);
  EXPECT_EQ(before.st_size, after.st_size);
}

TEST_F(SidecarTest, ADamagedEntryIsAbsent) {
  const std::vector<SidecarBlock> blocks = {block(0), block(1), block(2)};
  for (const off_t byte : {0, 1, 4, 8, 15}) {
    ASSERT_TRUE(write_sidecar(fd_.get(), header_, blocks));
    flip(static_cast<off_t>(kSidecarHeaderSize + kSidecarEntrySize) + byte);
    EXPECT_EQ(numbers(), (std::vector<std::uint64_t>{0, 2})) << byte;
  }
}

TEST_F(SidecarTest, AnEntryInTheWrongPlaceIsAbsent) {
  ASSERT_TRUE(write_sidecar(fd_.get(), header_, std::vector<SidecarBlock>{block(0)}));
  Bytes entry(kSidecarEntrySize);
  ASSERT_TRUE(read_fully(fd_.get(), entry, kSidecarHeaderSize));
  ASSERT_TRUE(write_fully(fd_.get(), entry, kSidecarHeaderSize + kSidecarEntrySize));
  EXPECT_EQ(numbers(), (std::vector<std::uint64_t>{0}));
}

TEST_F(SidecarTest, AnotherOwnersUntrustedEntriesAreAbsent) {
  ASSERT_TRUE(
      write_sidecar(fd_.get(), header_, std::vector<SidecarBlock>{block(0), block(1, true)}));
  header_.owner = EndpointId::of(kOtherEndpoint);
  ASSERT_TRUE(write_sidecar(fd_.get(), header_, std::vector<SidecarBlock>{block(2)}));
  EXPECT_EQ(numbers(), (std::vector<std::uint64_t>{1, 2}));
}

TEST_F(SidecarTest, ADamagedOrForeignHeaderIsAnError) {
  ASSERT_TRUE(write_sidecar(fd_.get(), header_, std::vector<SidecarBlock>{block(0)}));
  EXPECT_FALSE(read_sidecar(fd_.get(), make_blob(5, 5).key.content));
  for (const off_t byte : {0, 8, 16, 40, 60, 127}) {
    flip(byte);
    EXPECT_FALSE(read()) << byte;
    flip(byte);
  }
  ASSERT_TRUE(read());
  ASSERT_EQ(::ftruncate(fd_.get(), 100), 0);
  EXPECT_FALSE(read());
}

TEST_F(SidecarTest, EntriesBeyondTheBlobAreIgnored) {
  ASSERT_TRUE(write_sidecar(fd_.get(), header_, std::vector<SidecarBlock>{block(0), block(20)}));
  EXPECT_EQ(numbers(), (std::vector<std::uint64_t>{0}));
}

}  // namespace
}  // namespace hubvfs::cache
