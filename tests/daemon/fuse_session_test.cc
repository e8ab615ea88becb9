// SPDX-License-Identifier: Apache-2.0
// The FUSE session, seen from the programs that use the mount.
#include "fs/fuse_session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "daemon/child.h"
#include "daemon/mountinfo.h"
#include "tests/daemon/tiny_filesystem.h"
#include "tests/daemon/tiny_mount.h"

namespace hubvfs {
namespace {

using tiny::eventually;
using tiny::read_through;
using tiny::Reader;
using tiny::TinyMount;

class FuseSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!tiny::can_mount()) GTEST_SKIP() << "needs root and /dev/fuse";
  }
};

TEST_F(FuseSessionTest, EveryByteArrives) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  EXPECT_TRUE(read_through(mount / "numbers") == tiny::numbers(0, tiny::kNumbersSize));
  EXPECT_TRUE(read_through(mount / "slow") == tiny::numbers(0, tiny::kNumbersSize));
}

TEST_F(FuseSessionTest, AKilledWorkerIsNotNoticedByReaders) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  Reader first(mount / "slow", 3);
  Reader second(mount / "slow", 3);
  for (int kills = 0; kills < 12; ++kills) {
    const pid_t worker = mount.worker();
    ASSERT_GT(worker, 0) << mount.log();
    ASSERT_EQ(::kill(worker, SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return mount.worker() != worker; })) << mount.log();
  }
  EXPECT_TRUE(eventually([&] { return first.poll() != -1 && second.poll() != -1; }));
  EXPECT_EQ(first.poll(), 0);
  EXPECT_EQ(second.poll(), 0);
  mount.signal(SIGTERM);
  EXPECT_EQ(mount.wait_end(), 0) << mount.log();
}

TEST_F(FuseSessionTest, AParkedReadIsAskedForAgain) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const pid_t worker = mount.worker();
  Reader reader(mount / "slow");
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return reader.poll() != -1; }));
  EXPECT_EQ(reader.poll(), 0);
  EXPECT_NE(mount.log().find("taking over"), std::string::npos);
}

std::int64_t size_of(const std::string& path) {
  auto size = daemon::ask_child(
      [&path]() -> std::string {
        struct stat s {};
        return ::stat(path.c_str(), &s) == 0 ? std::to_string(s.st_size) : "";
      },
      std::chrono::seconds(20));
  return size ? static_cast<std::int64_t>(parse_decimal(*size).value_or(0)) : 0;
}

TEST_F(FuseSessionTest, TheKernelForgetsWhatItIsToldToForget) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const std::string counter = mount / "counter";
  std::int64_t known = size_of(counter);
  ASSERT_GT(known, 0);
  for (const char* how : {"forget-attributes", "forget-entry"}) {
    EXPECT_EQ(size_of(counter), known) << "believed for an hour";
    ASSERT_TRUE(read_through(mount / how));
    EXPECT_TRUE(eventually([&] { return size_of(counter) > known; })) << how << mount.log();
    known = size_of(counter);
  }
  EXPECT_EQ(mount.log().find("telling the kernel to forget"), std::string::npos) << mount.log();
}

TEST_F(FuseSessionTest, OneReadMayBeAWholeMebibyte) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  auto text = daemon::ask_child(
      [&]() -> std::string {
        constexpr std::size_t kSize = 1u << 20;
        const int fd = ::open((mount / "request").c_str(), O_RDONLY);
        // On whole pages: a request holds 256 of them.
        char* buffer = static_cast<char*>(std::aligned_alloc(4096, kSize));
        const ssize_t n = ::read(fd, buffer, kSize);
        return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : "";
      },
      std::chrono::seconds(20));
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "1048576\n");
}

TEST_F(FuseSessionTest, ManyReadsMayBeInTheKernelAtOnce) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  TempDir control;
  ASSERT_EQ(::mount("fusectl", control.path().c_str(), "fusectl", 0, nullptr), 0);
  auto mounts = daemon::read_mountinfo();
  const std::string device = daemon::mounted_at(*mounts, mount.dir())->device;
  const std::string connection = control / device.substr(device.find(':') + 1);
  EXPECT_EQ(trim(read_file(connection + "/max_background")), "512");
  EXPECT_EQ(trim(read_file(connection + "/congestion_threshold")), "384");
  ::umount2(control.path().c_str(), MNT_DETACH);
}

TEST_F(FuseSessionTest, CloseNeedsNoWorker) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  // The first close learns that there is no FLUSH; the second, with the worker stopped, must not
  // wait.
  ASSERT_TRUE(read_through(mount / "pid"));
  const pid_t worker = mount.worker();
  auto closed = daemon::ask_child(
      [&]() -> std::string {
        const int fd = ::open((mount / "pid").c_str(), O_RDONLY);
        if (fd < 0 || ::kill(worker, SIGSTOP) != 0) return "no";
        return ::close(fd) == 0 ? "closed" : "no";
      },
      std::chrono::seconds(20));
  ::kill(worker, SIGCONT);
  ASSERT_TRUE(closed) << closed.error().context;
  EXPECT_EQ(*closed, "closed");
}

}  // namespace
}  // namespace hubvfs
