// SPDX-License-Identifier: Apache-2.0
// What the keeper registers with the kernel, on a real connection that nobody reads from.
#include "daemon/mount_passthrough.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>

#include "daemon/kernel_mount.h"
#include "fs/fuse_device.h"
#include "tests/daemon/tiny_mount.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

// The least that the kernel has to be told to take files: linux/fuse.h of 6.9.
void answer_init(int dev_fd, const Bytes& request) {
  constexpr std::uint32_t kPassthrough2 = 1u << 5;  // FUSE_PASSTHROUGH, bit 37
  constexpr std::uint32_t kMaxStackDepth = 1;
  constexpr std::size_t kMaxStackDepthAt =
      offsetof(fuse_init_out, flags2) + sizeof(fuse_init_out::flags2);
  fuse_in_header asked{};
  std::memcpy(&asked, request.data(), sizeof asked);
  fuse_init_out init{};
  init.major = FUSE_KERNEL_VERSION;
  init.minor = FUSE_KERNEL_MINOR_VERSION;
  init.max_write = 4096;
  init.flags = FUSE_INIT_EXT;
  init.flags2 = kPassthrough2;
  std::memcpy(reinterpret_cast<char*>(&init) + kMaxStackDepthAt, &kMaxStackDepth,
              sizeof kMaxStackDepth);
  const fuse_out_header header{sizeof header + sizeof init, 0, asked.unique};
  Bytes reply(header.len);
  std::memcpy(reply.data(), &header, sizeof header);
  std::memcpy(reply.data() + sizeof header, &init, sizeof init);
  ASSERT_EQ(::write(dev_fd, reply.data(), reply.size()), static_cast<ssize_t>(reply.size()));
}

class MountPassthroughOnAConnection : public testing::Test {
 protected:
  void SetUp() override {
    if (!tiny::can_mount()) GTEST_SKIP() << "needs root and /dev/fuse";
    ASSERT_EQ(::mkdir((dir_ / "mnt").c_str(), 0700), 0);
    auto mount = KernelMount::mount(dir_ / "mnt", false);
    ASSERT_TRUE(mount) << mount.error().context;
    mount_ = std::move(*mount);
    const auto init = fs::read_init_request(mount_.dev_fd(), std::chrono::seconds(20));
    ASSERT_TRUE(init) << init.error().context;
    passthrough_.emplace(true, *init);
    if (passthrough_->state() == MountPassthrough::State::kOff) {
      GTEST_SKIP() << passthrough_->why_not();
    }
    answer_init(mount_.dev_fd(), *init);
    make_file(0);
    passthrough_->try_it(mount_.dev_fd(), blobs_);
    if (passthrough_->state() != MountPassthrough::State::kOn) {
      GTEST_SKIP() << passthrough_->why_not();
    }
  }
  static std::string name(std::uint64_t file) {
    return "public/ab/sha256-abcd-" + std::to_string(file);
  }
  void make_file(std::uint64_t file) { write_file(dir_ / ("blobs/" + name(file)), "content"); }
  Result<std::int32_t> open(std::uint64_t node, std::uint64_t file) {
    return passthrough_->open(mount_.dev_fd(), blobs_, node, name(file));
  }
  // FUSE_DEV_IOC_BACKING_CLOSE; false: it has no such file.
  bool kernel_lets_go_of(std::int32_t id) const {
    return ::ioctl(mount_.dev_fd(), _IOW(229, 2, std::uint32_t), &id) == 0;
  }

  TempDir dir_;
  BlobFolder blobs_{dir_.path()};
  KernelMount mount_;
  std::optional<MountPassthrough> passthrough_;
};

TEST_F(MountPassthroughOnAConnection, AFileHasOneIdAsLongAsANodeOfItIsOpen) {
  make_file(1);
  const auto first = open(10, 0);
  ASSERT_TRUE(first) << first.error().context;
  const auto of_another_node = open(11, 0);
  ASSERT_TRUE(of_another_node);
  EXPECT_EQ(*of_another_node, *first);
  const auto other = open(12, 1);
  ASSERT_TRUE(other);
  EXPECT_NE(*other, *first);
  EXPECT_EQ(passthrough_->files(), 2u);

  passthrough_->let_go(mount_.dev_fd(), {11});
  EXPECT_EQ(passthrough_->files(), 1u);
  EXPECT_EQ(*open(11, 0), *first);
  passthrough_->let_go(mount_.dev_fd(), {});
  EXPECT_FALSE(passthrough_->has_files());
  // The kernel has let go of them, too.
  EXPECT_FALSE(kernel_lets_go_of(*first));
  EXPECT_FALSE(kernel_lets_go_of(*other));
}

TEST_F(MountPassthroughOnAConnection, AnOpenNodeIsGivenNoOtherFile) {
  make_file(1);
  ASSERT_TRUE(open(10, 0));
  const auto other = open(10, 1);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kBusy);
  EXPECT_EQ(passthrough_->files(), 1u);
  passthrough_->let_go(mount_.dev_fd(), {});
  EXPECT_TRUE(open(10, 1));
}

TEST_F(MountPassthroughOnAConnection, ThereAreSoManyFilesAndNoMore) {
  constexpr std::uint64_t kMostFiles = 8192;
  for (std::uint64_t file = 0; file < kMostFiles; ++file) {
    make_file(file);
    const auto id = open(100 + file, file);
    ASSERT_TRUE(id) << file << ": " << id.error().context;
  }
  make_file(kMostFiles);
  const auto beyond = open(1, kMostFiles);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::kBusy);
  EXPECT_TRUE(open(2, 0)) << "of a file that is known";
  passthrough_->let_go(mount_.dev_fd(), {100});
  EXPECT_EQ(passthrough_->files(), 1u);
  EXPECT_TRUE(open(1, kMostFiles));
}

}  // namespace
}  // namespace hubvfs::daemon
