// SPDX-License-Identifier: Apache-2.0
// The keeper with real workers on the tiny filesystem (threats-and-faults, section 7).
#include "daemon/keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "daemon/busy.h"
#include "daemon/child.h"
#include "daemon/control_socket.h"
#include "daemon/messages.h"
#include "daemon/mount_point.h"
#include "daemon/mountinfo.h"
#include "daemon/presence.h"
#include "tests/daemon/tiny_filesystem.h"
#include "tests/daemon/tiny_mount.h"

namespace hubvfs {
namespace {

using tiny::eventually;
using tiny::is_alive;
using tiny::read_through;
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

std::size_t occurrences(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

// What the keeper says of the mount at `dir`; "" when it does not answer.
std::string mount_status(const std::string& dir) {
  auto mounts = daemon::read_mountinfo();
  const auto* entry = daemon::mounted_at(*mounts, dir);
  const auto keeper = entry == nullptr ? std::nullopt : daemon::find_keeper(entry->device, 0);
  if (!keeper) return "";
  const int connection = keeper->connection.get();
  if (!daemon::send_message(connection, daemon::MessageKind::kStatus, {})) return "";
  if (!daemon::wait_readable(connection, std::chrono::seconds(10))) return "";
  auto message = daemon::receive_message(connection);
  return message ? std::string(as_text(message->body)) : "";
}

Result<void> mount_one_more(const TinyMount& mount, const std::string& dir, bool make = true) {
  if (make && ::mkdir(dir.c_str(), 0755) != 0) return {ErrorCode::kIo, "mkdir"};
  auto folder = daemon::ControlFolder::open(mount.control_folder());
  if (!folder) return folder.error();
  auto connection = folder->connect();
  if (!connection) return connection.error();
  return daemon::ask_for_mount(connection->get(), {dir, false, {}}, std::chrono::seconds(20));
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
  // Nothing of the keeper's, such as its signalfd or its control socket.
  auto list = daemon::ask_child(
      [&fds] {
        std::string all;
        for (int i = 3; i < 64; ++i) {
          std::array<char, 128> target{};
          if (::readlink((fds + std::to_string(i)).c_str(), target.data(), target.size() - 1) > 0) {
            all += std::string(target.data()) + " ";
          }
        }
        return all;
      },
      std::chrono::seconds(5));
  ASSERT_TRUE(list);
  EXPECT_NE(list->find("/dev/fuse"), std::string::npos) << *list;
  EXPECT_EQ(list->find("signalfd"), std::string::npos) << *list;
  const std::size_t socket = list->find("socket:");
  EXPECT_EQ(list->find("socket:", socket + 1), std::string::npos) << *list;
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

TEST_F(KeeperTest, ARequestThatTwoWorkersDiedOfIsAnsweredWithAnError) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  auto opened = daemon::ask_child(
      [&mount]() -> std::string {
        return ::open((mount / "crash").c_str(), O_RDONLY) < 0 ? std::to_string(errno) : "opened";
      },
      std::chrono::seconds(20));
  ASSERT_TRUE(opened) << mount.log();
  EXPECT_EQ(*opened, std::to_string(EIO));
  EXPECT_TRUE(read_through(mount / "numbers") == tiny::numbers(0, tiny::kNumbersSize));
  EXPECT_EQ(occurrences(mount.log(), "signal 6"), 2u) << mount.log();
}

TEST_F(KeeperTest, FiveWorkersThatAnswerNothingEndTheMountWithAnError) {
  TinyMount mount("abort-after-first");
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  Reader reader(mount / "slow");
  ASSERT_EQ(::kill(mount.worker(), SIGKILL), 0);
  EXPECT_EQ(mount.wait_end(), 1) << mount.log();
  EXPECT_FALSE(mount.mounted());
  EXPECT_TRUE(eventually([&] { return reader.poll() != -1; }));
  EXPECT_EQ(reader.poll(), 3) << "the read has to fail, not to end like a file";
  EXPECT_NE(mount.log().find("hubvfs mount"), std::string::npos) << "what to do next";
}

TEST_F(KeeperTest, WithoutResendTheMountIsMadeAnew) {
  TinyMount mount("no-resend");
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  EXPECT_NE(mount_status(mount.dir()).find("\"after_worker_death\":\"remount\""),
            std::string::npos);
  Reader reader(mount / "parked");
  const pid_t worker = mount.worker();
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return reader.poll() != -1; }));
  EXPECT_EQ(reader.poll(), 3) << "what was asked of the dead one fails";
  EXPECT_TRUE(eventually([&] {
    return read_through(mount / "numbers") == tiny::numbers(0, tiny::kNumbersSize);
  })) << mount.log();
  EXPECT_NE(mount.worker(), worker);
  const std::string status = mount_status(mount.dir());
  EXPECT_NE(status.find("\"remounts\":1"), std::string::npos) << status;
  mount.signal(SIGTERM);
  EXPECT_EQ(mount.wait_end(), 0) << mount.log();
  EXPECT_FALSE(mount.mounted());
}

TEST_F(KeeperTest, OneMoreMountIsServedByTheSameWorkerAndEndsAlone) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const std::string second = mount.place("second");
  ASSERT_TRUE(mount_one_more(mount, second)) << mount.log();
  const auto worker = read_through(second + "/pid");
  ASSERT_TRUE(worker);
  EXPECT_EQ(parse_decimal(trim(*worker)), mount.worker());
  Reader reader(second + "/slow", 2);
  ASSERT_EQ(::umount2(mount.dir().c_str(), UMOUNT_NOFOLLOW), 0);
  EXPECT_TRUE(eventually([&] { return reader.poll() != -1; }));
  EXPECT_EQ(reader.poll(), 0) << mount.log();
  // A worker's death is survived by what is left.
  ASSERT_EQ(::kill(static_cast<pid_t>(*parse_decimal(trim(*worker))), SIGKILL), 0);
  EXPECT_TRUE(read_through(second + "/numbers") == tiny::numbers(0, tiny::kNumbersSize));
  ASSERT_EQ(::umount2(second.c_str(), UMOUNT_NOFOLLOW), 0);
  EXPECT_EQ(mount.wait_end(), 0) << "it ends with its last mount" << mount.log();
}

TEST_F(KeeperTest, AMountThatCannotBeMadeIsRefusedAndTheOthersStay) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  auto refused = mount_one_more(mount, mount.place("absent/folder"), false);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().context.find("absent/folder"), std::string::npos)
      << refused.error().context;
  EXPECT_TRUE(read_through(mount / "pid"));
}

TEST_F(KeeperTest, NonsenseOnItsSocketsDoesNoHarm) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  auto folder = daemon::ControlFolder::open(mount.control_folder());
  ASSERT_TRUE(folder);
  for (const char* text : {"", "\x21", "\x22", "garbage of some length", "\xff"}) {
    auto connection = folder->connect();
    ASSERT_TRUE(connection);
    ASSERT_GE(::send(connection->get(), text, std::strlen(text) + 1, MSG_NOSIGNAL), 0);
    static_cast<void>(daemon::wait_readable(connection->get(), std::chrono::seconds(5)));
  }
  auto connection = folder->connect();
  ASSERT_TRUE(connection);
  auto who = daemon::ask_introduction(connection->get(), std::chrono::seconds(10));
  ASSERT_TRUE(who) << who.error().context;
  EXPECT_TRUE(read_through(mount / "pid"));
}

TEST_F(KeeperTest, ItsStatusNamesTheWorkerAndItsForerunners) {
  TinyMount mount;
  ASSERT_TRUE(mount.wait_ready()) << mount.log();
  const std::string before = mount_status(mount.dir());
  EXPECT_NE(before.find("\"workers_died\":0"), std::string::npos) << before;
  EXPECT_NE(before.find("\"after_worker_death\":\"resend\""), std::string::npos) << before;
  Reader reader(mount / "slow");
  ASSERT_EQ(::kill(mount.worker(), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return reader.poll() != -1; }));
  const std::string after = mount_status(mount.dir());
  EXPECT_NE(after.find("\"workers_died\":1"), std::string::npos) << after;
  EXPECT_NE(after.find("was killed by signal 9"), std::string::npos) << after;
  EXPECT_EQ(after.find("\"requests_resent\":0"), std::string::npos) << after;
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
