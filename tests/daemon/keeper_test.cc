// SPDX-License-Identifier: Apache-2.0
// The keeper with real workers on the tiny filesystem (threats-and-faults, section 7).
#include "daemon/keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "base/text.h"
#include "daemon/busy.h"
#include "daemon/child.h"
#include "daemon/mount_point.h"
#include "daemon/mountinfo.h"
#include "daemon/presence.h"
#include "tests/daemon/tiny_filesystem.h"
#include "tests/daemon/tiny_mount.h"

namespace hubvfs {
namespace {

using tiny::eventually;
using tiny::is_alive;
using tiny::Reader;
using tiny::TinyMount;

class KeeperTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!tiny::can_mount()) GTEST_SKIP() << "needs root and /dev/fuse";
  }
};

std::string field(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + ":");
  if (at == std::string::npos) return "absent";
  const std::size_t begin = at + name.size() + 2;
  return std::string(trim(std::string_view(text).substr(begin, text.find('\n', begin) - begin)));
}

TEST_F(KeeperTest, WorkerHasNoPrivilegeAndNoSecretEnvironment) {
  ::setenv("SSLKEYLOGFILE", "/nowhere", 1);
  ::setenv("HF_TOKEN", "hf_abcdefghijklmnopqrst", 1);
  TinyMount mount;
  ::unsetenv("SSLKEYLOGFILE");
  ::unsetenv("HF_TOKEN");
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const std::string proc = "/proc/" + std::to_string(mount.worker());
  const std::string status = read_file(proc + "/status");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_EQ(field(status, set), "0000000000000000") << set;
  }
  EXPECT_EQ(field(status, "NoNewPrivs"), "1");
  EXPECT_EQ(field(status, "Groups"), "");
  const std::string environment = read_file(proc + "/environ");
  EXPECT_EQ(environment.find("SSLKEYLOGFILE"), std::string::npos);
  EXPECT_EQ(environment.find("hf_abc"), std::string::npos);
  EXPECT_EQ(read_file(proc + "/cmdline").find("hf_abc"), std::string::npos);
  EXPECT_NE(read_file(proc + "/limits").find("Max core file size        0"), std::string::npos);
}

TEST_F(KeeperTest, WorkerHoldsOnlyItsOwnDescriptors) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const std::string fds = "/proc/" + std::to_string(mount.worker()) + "/fd/";
  std::array<char, 64> text{};
  ASSERT_GT(::readlink((fds + "3").c_str(), text.data(), text.size()), 0);
  EXPECT_STREQ(text.data(), "/dev/fuse");
  // Nothing of the keeper's beyond 4, such as its signalfd.
  auto list = daemon::ask_child(
      [&fds] {
        std::string all;
        for (int i = 5; i < 64; ++i) {
          std::array<char, 128> target{};
          if (::readlink((fds + std::to_string(i)).c_str(), target.data(), target.size() - 1) > 0) {
            all += std::string(target.data()) + " ";
          }
        }
        return all;
      },
      std::chrono::seconds(5));
  ASSERT_TRUE(list);
  EXPECT_EQ(list->find("signalfd"), std::string::npos) << *list;
}

TEST_F(KeeperTest, TheMountIsReadOnlyAndCalledHubvfs) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const std::string mountinfo = read_file("/proc/self/mountinfo");
  const std::size_t at = mountinfo.find(mount.dir() + " ");
  ASSERT_NE(at, std::string::npos);
  const std::string line = mountinfo.substr(at, mountinfo.find('\n', at) - at);
  EXPECT_NE(line.find(" ro,nosuid,nodev"), std::string::npos) << line;
  EXPECT_NE(line.find("- fuse.hubvfs hubvfs ro,"), std::string::npos) << line;
  EXPECT_NE(line.find("default_permissions"), std::string::npos) << line;
  EXPECT_EQ(line.find("allow_other"), std::string::npos) << line;
}

TEST_F(KeeperTest, ReadAheadIsRaised) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  auto mounts = daemon::read_mountinfo();
  ASSERT_TRUE(mounts);
  const std::string device = daemon::mounted_at(*mounts, mount.dir())->device;
  EXPECT_EQ(trim(read_file("/sys/class/bdi/" + device + "/read_ahead_kb")), "1024");
}

TEST_F(KeeperTest, SigtermLeavesNothing) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const pid_t worker = mount.worker();
  ASSERT_GT(worker, 0);
  mount.signal(SIGTERM);
  EXPECT_EQ(mount.wait_end(), 0) << mount.log();
  EXPECT_FALSE(mount.mounted());
  EXPECT_FALSE(is_alive(worker));
}

TEST_F(KeeperTest, SigtermEndsThoughAReadIsParked) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const pid_t worker = mount.worker();
  Reader reader(mount / "parked");
  EXPECT_EQ(reader.poll(), -1);
  mount.signal(SIGINT);
  mount.signal(SIGINT);  // an impatient user
  EXPECT_EQ(mount.wait_end(10), 0) << mount.log();
  EXPECT_FALSE(is_alive(worker));
  EXPECT_TRUE(eventually([&] { return reader.poll() != -1; }));
  EXPECT_EQ(reader.poll(), 3) << "the read has to fail, not to end like a file";
}

TEST_F(KeeperTest, SigtermLetsAReaderFinish) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  Reader reader(mount / "slow");
  mount.signal(SIGTERM);
  EXPECT_EQ(mount.wait_end(), 0) << mount.log();
  EXPECT_TRUE(eventually([&] { return reader.poll() != -1; }));
  EXPECT_EQ(reader.poll(), 0);
}

TEST_F(KeeperTest, AnUnmountFromOutsideEndsIt) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const pid_t worker = mount.worker();
  ASSERT_EQ(::umount2(mount.dir().c_str(), UMOUNT_NOFOLLOW), 0);
  EXPECT_EQ(mount.wait_end(), 0) << mount.log();
  EXPECT_FALSE(is_alive(worker));
}

TEST_F(KeeperTest, AWorkerThatAlwaysDiesEndsTheMountAndFreesItsReaders) {
  TinyMount mount("abort");
  EXPECT_EQ(mount.wait_end(), 1) << mount.log();
  EXPECT_FALSE(mount.mounted());
  EXPECT_NE(mount.log().find("killed by signal 6"), std::string::npos) << mount.log();
}

TEST_F(KeeperTest, ARefusalIsSaidAndNotTriedAgain) {
  TinyMount mount("refuse");
  EXPECT_EQ(mount.wait_end(), 1);
  EXPECT_FALSE(mount.mounted());
  EXPECT_NE(mount.log().find("no luck today"), std::string::npos) << mount.log();
  EXPECT_EQ(mount.log().find("starting another"), std::string::npos) << mount.log();
}

TEST_F(KeeperTest, AWorkerThatLeavesItsKeeperIsFenced) {
  TinyMount mount("mute");
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  EXPECT_TRUE(eventually([&] {
    return mount.log().find("does not behave: killing it") != std::string::npos;
  })) << mount.log();
  mount.signal(SIGTERM);
  EXPECT_EQ(mount.wait_end(), 0) << mount.log();
}

TEST_F(KeeperTest, APoisonedRequestDoesNotMakeItSpin) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const pid_t opener = ::fork();
  if (opener == 0) {
    const int fd = ::open((mount / "crash").c_str(), O_RDONLY);
    ::_exit(fd < 0 ? 0 : 1);
  }
  // Each worker gets the request again, and dies of it: the sixth start has to wait.
  auto deaths = [&] {
    std::size_t n = 0;
    const std::string log = mount.log();
    for (std::size_t at = log.find("signal 6"); at != std::string::npos;
         at = log.find("signal 6", at + 1)) {
      ++n;
    }
    return n;
  };
  EXPECT_TRUE(eventually([&] { return deaths() >= 5; })) << mount.log();
  mount.signal(SIGTERM);
  EXPECT_EQ(mount.wait_end(), 0) << mount.log();
  EXPECT_LT(deaths(), 60u);
  EXPECT_TRUE(eventually([&] { return ::waitpid(opener, nullptr, WNOHANG) == opener; }));
}

TEST_F(KeeperTest, AKilledKeeperTakesItsWorkerAlongAndTheNextMountRecovers) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const pid_t worker = mount.worker();
  mount.signal(SIGKILL);
  EXPECT_EQ(mount.wait_end(), 128 + SIGKILL);
  EXPECT_TRUE(eventually([&] { return !is_alive(worker); }));
  EXPECT_TRUE(mount.mounted()) << "dead, but there";
  auto point = daemon::prepare_mount_point(mount.dir());
  ASSERT_TRUE(point) << point.error().context;
  EXPECT_TRUE(point->recovered);
  EXPECT_FALSE(mount.mounted());
}

TEST_F(KeeperTest, ItsFolderIsRefusedWhileMounted) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  auto same = daemon::prepare_mount_point(mount.dir());
  ASSERT_FALSE(same);
  EXPECT_NE(same.error().context.find("mounted there already"), std::string::npos);
  auto inside = daemon::prepare_mount_point(mount / "below");
  ASSERT_FALSE(inside);
  EXPECT_NE(inside.error().context.find("inside the hubvfs"), std::string::npos)
      << inside.error().context;
}

TEST_F(KeeperTest, AHangingMountIsRefusedNotWaitedFor) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  ASSERT_EQ(::kill(mount.worker(), SIGSTOP), 0);
  auto same = daemon::prepare_mount_point(mount.dir());
  ASSERT_FALSE(same);
  EXPECT_NE(same.error().context.find("mounted there already"), std::string::npos);
}

TEST_F(KeeperTest, WhoKeepsItBusyIsNamed) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  Reader reader(mount / "parked");
  auto mounts = daemon::read_mountinfo();
  ASSERT_TRUE(mounts);
  const auto* entry = daemon::mounted_at(*mounts, mount.dir());
  ASSERT_NE(entry, nullptr);
  const auto users = daemon::processes_using(*entry);
  ASSERT_EQ(users.size(), 1u);
  EXPECT_EQ(users[0].use, "open file");
  EXPECT_EQ(::umount2(mount.dir().c_str(), UMOUNT_NOFOLLOW), -1);
}

TEST_F(KeeperTest, ItIsFoundByTheDeviceOfItsMount) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  auto mounts = daemon::read_mountinfo();
  const std::string device = daemon::mounted_at(*mounts, mount.dir())->device;
  const auto found = daemon::find_keeper(device, 0);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->pid, mount.keeper());
  EXPECT_FALSE(daemon::find_keeper("0:0", 0));
  mount.signal(SIGTERM);
  EXPECT_TRUE(daemon::wait_for_end(*found, std::chrono::seconds(20)));
}

TEST_F(KeeperTest, AnAbortedConnectionEndsIt) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  TempDir control;
  ASSERT_EQ(::mount("fusectl", control.path().c_str(), "fusectl", 0, nullptr), 0);
  auto mounts = daemon::read_mountinfo();
  const std::string device = daemon::mounted_at(*mounts, mount.dir())->device;
  {
    const UniqueFd abort(
        ::open((control / (device.substr(device.find(':') + 1) + "/abort")).c_str(),
               O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(::write(abort.get(), "1", 1), 1);
  }
  ::umount2(control.path().c_str(), MNT_DETACH);
  EXPECT_EQ(mount.wait_end(), 0) << mount.log();
  EXPECT_FALSE(mount.mounted()) << "a dead mount must not stay";
}

}  // namespace
}  // namespace hubvfs
