// SPDX-License-Identifier: Apache-2.0
// Paths, children, privileges and the link between keeper and worker: what needs no mount.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/child.h"
#include "daemon/mount_point.h"
#include "daemon/paths.h"
#include "daemon/privileges.h"
#include "daemon/messages.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Paths, AbsoluteIsByTextAlone) {
  EXPECT_EQ(*absolute_path("/a/./b//c/../d/"), "/a/b/d");
  EXPECT_EQ(*absolute_path("/../.."), "/");
  EXPECT_FALSE(absolute_path(""));
  EXPECT_FALSE(absolute_path(std::string_view("/a\0b", 4)));
  EXPECT_EQ(absolute_path("x")->substr(absolute_path("x")->size() - 2), "/x");
}

TEST(Paths, CanonicalFollowsLinksToTheEnd) {
  TempDir dir;
  ASSERT_EQ(::mkdir((dir / "real").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("real", (dir / "link").c_str()), 0);
  ASSERT_EQ(::symlink((dir / "link").c_str(), (dir / "second").c_str()), 0);
  EXPECT_EQ(*canonical_path(dir / "second"), dir / "real");
  EXPECT_EQ(*canonical_path(dir / "second/new"), dir / "real/new");
  EXPECT_EQ(*canonical_path(dir / "absent"), dir / "absent");
  auto orphan = canonical_path(dir / "absent/below");
  ASSERT_FALSE(orphan);
  EXPECT_EQ(orphan.error().code, ErrorCode::kNotFound);
}

TEST(Paths, ALoopOfLinksIsAnError) {
  TempDir dir;
  ASSERT_EQ(::symlink("b", (dir / "a").c_str()), 0);
  ASSERT_EQ(::symlink("a", (dir / "b").c_str()), 0);
  EXPECT_FALSE(canonical_path(dir / "a"));
}

TEST(Paths, FoldersAreMadePrivateWithTheirParents) {
  TempDir dir;
  ASSERT_TRUE(make_directories(dir / "x/y/z"));
  struct stat s {};
  ASSERT_EQ(::stat((dir / "x/y").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0700u);
  EXPECT_TRUE(make_directories(dir / "x/y/z")) << "again";
  write_file(dir / "file", "");
  EXPECT_FALSE(make_directories(dir / "file/below"));
}

TEST(Paths, XdgFoldersFallBackToTheHome) {
  auto env = [](const char* name) -> std::string {
    return std::string_view(name) == "HOME" ? "/h" : "relative";
  };
  EXPECT_EQ(*cache_home(env), "/h/.cache");
  EXPECT_EQ(*state_home(env), "/h/.local/state");
  auto full = [](const char* name) -> std::string {
    return std::string_view(name) == "XDG_STATE_HOME" ? "/s" : "";
  };
  EXPECT_EQ(*state_home(full), "/s");
}

TEST(MountPoint, IsMadeWhereTheParentExistsAndTakenBack) {
  TempDir dir;
  auto point = prepare_mount_point(dir / "m");
  ASSERT_TRUE(point) << point.error().context;
  EXPECT_TRUE(point->made);
  EXPECT_EQ(::access((dir / "m").c_str(), F_OK), 0);
  discard_mount_point(*point);
  EXPECT_NE(::access((dir / "m").c_str(), F_OK), 0);
  auto orphan = prepare_mount_point(dir / "a/b");
  ASSERT_FALSE(orphan);
  EXPECT_NE(orphan.error().context.find("parent folder does not exist"), std::string::npos);
}

TEST(MountPoint, AnEmptyFolderIsTakenAndNeverRemoved) {
  TempDir dir;
  ASSERT_EQ(::mkdir((dir / "m").c_str(), 0700), 0);
  auto point = prepare_mount_point(dir / "m/");
  ASSERT_TRUE(point) << point.error().context;
  discard_mount_point(*point);
  EXPECT_EQ(::access((dir / "m").c_str(), F_OK), 0);
}

TEST(MountPoint, WhatIsNotEmptyOrNoFolderIsRefused) {
  TempDir dir;
  write_file(dir / "full/file", "x");
  auto full = prepare_mount_point(dir / "full");
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().context.find("not empty"), std::string::npos);
  auto file = prepare_mount_point(dir / "full/file");
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().context.find("not a folder"), std::string::npos);
  EXPECT_FALSE(prepare_mount_point("/"));
}

TEST(Child, AnswersComeWhole) {
  const std::string large(3u << 20, 'x');
  auto answer = ask_child([&]() -> std::string { return std::string(large); }, seconds(20));
  ASSERT_TRUE(answer) << answer.error().context;
  EXPECT_TRUE(*answer == large);
}

TEST(Child, AHangingOneIsGivenUpAndKilled) {
  TempDir dir;
  auto answer = ask_child(
      [&]() -> std::string {
        write_file(dir / "pid", std::to_string(::getpid()));
        ::pause();
        return "";
      },
      milliseconds(300));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kTimedOut);
  const auto pid = parse_decimal(read_file(dir / "pid"));
  ASSERT_TRUE(pid);
  EXPECT_NE(::kill(static_cast<pid_t>(*pid), 0), 0);
}

TEST(Child, ACrashIsNoAnswer) {
  EXPECT_FALSE(ask_child(
      []() -> std::string {
        ::raise(SIGKILL);
        return "";
      },
      seconds(20)));
}

TEST(Child, ProgramsReportStatusAndErrors) {
  auto end = run_program({"sh", "-c", "echo $LC_ALL; echo wrong >&2; exit 7"}, seconds(20));
  ASSERT_TRUE(end) << end.error().context;
  EXPECT_EQ(end->status, 7);
  EXPECT_EQ(end->errors, "wrong");
  auto none = run_program({"hubvfs-no-such-program"}, seconds(20));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  auto slow = run_program({"sleep", "60"}, milliseconds(200));
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, ErrorCode::kTimedOut);
}

TEST(Privileges, TheEnvironmentIsAListOfWhatIsNeeded) {
  const char* environment[] = {"HOME=/h",
                               "HF_TOKEN=hf_x",
                               "LD_PRELOAD=/evil.so",
                               "SSLKEYLOGFILE=/keys",
                               "https_proxy=http://p:1",
                               "HF_HOME=/hf",
                               "LD_LIBRARY_PATH=/evil",
                               "HUGGING_FACE_HUB_TOKEN=hf_y",
                               "GLIBC_TUNABLES=x",
                               "OPENSSL_CONF=/evil",
                               "HOMEX=/x",
                               nullptr};
  const std::vector<std::string> expected = {"HOME=/h", "https_proxy=http://p:1", "HF_HOME=/hf"};
  EXPECT_EQ(worker_environment(environment), expected);
}

TEST(Privileges, NoneIsLeftAndNoneComesBack) {
  auto status = ask_child(
      []() -> std::string {
        if (!drop_privileges()) return "not dropped";
        if (auto safe = check_unprivileged(); !safe) return safe.error().context;
        // Not even through an exec as root.
        auto end = run_program({"sh", "-c", "grep ^CapEff /proc/self/status >&2"}, seconds(10));
        return end ? end->errors : end.error().context;
      },
      seconds(20));
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, "CapEff:\t0000000000000000");
}

TEST(Privileges, AProcessThatStillHasSomeIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_FALSE(check_unprivileged());
}

// Whether another process of the same user may read the environment of one that does `prepare`.
bool environment_is_open(const std::function<void()>& prepare) {
  auto answer = ask_child(
      [&prepare]() -> std::string {
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return "no";
        ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);  // as after an exec; a change of user has cleared it
        prepare();
        const std::string path = "/proc/" + std::to_string(::getpid()) + "/environ";
        const pid_t reader = ::fork();
        if (reader == 0) {
          ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
          ::_exit(::open(path.c_str(), O_RDONLY) >= 0 ? 0 : 1);
        }
        int status = 0;
        ::waitpid(reader, &status, 0);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "open" : "closed";
      },
      seconds(20));
  return answer && *answer == "open";
}

TEST(Privileges, SealedProcessesShowTheirUserNothing) {
  EXPECT_TRUE(environment_is_open([] {}));
  EXPECT_FALSE(environment_is_open([] { seal_process(); }));
}

struct Link {
  Link() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0); }
  ~Link() {
    ::close(ends[0]);
    if (ends[1] >= 0) ::close(ends[1]);
  }
  void hang_up() {
    ::close(ends[1]);
    ends[1] = -1;
  }
  int ends[2] = {-1, -1};
};

TEST(WorkerLink, MessagesArriveAsTheyWereSent) {
  Link link;
  ASSERT_TRUE(send_message(link.ends[1], MessageKind::kFailed, as_bytes("why")));
  ASSERT_TRUE(send_message(link.ends[1], MessageKind::kReady, {}));
  auto first = receive_message(link.ends[0]);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->kind, MessageKind::kFailed);
  EXPECT_EQ(as_text(first->body), "why");
  auto second = receive_message(link.ends[0]);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->kind, MessageKind::kReady);
  EXPECT_TRUE(second->body.empty());
}

TEST(WorkerLink, AHangUpIsToldFromNonsense) {
  Link link;
  const char nonsense = 99;
  ASSERT_EQ(::send(link.ends[1], &nonsense, 1, 0), 1);
  auto bad = receive_message(link.ends[0]);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kBadAnswer);
  link.hang_up();
  auto gone = receive_message(link.ends[0]);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(send_message(link.ends[0], MessageKind::kStop, {})) << "and no SIGPIPE";
}

}  // namespace
}  // namespace hubvfs::daemon
