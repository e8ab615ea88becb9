// SPDX-License-Identifier: Apache-2.0
#include "tests/daemon/tiny_mount.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "base/text.h"
#include "daemon/child.h"
#include "daemon/mountinfo.h"
#include "tests/daemon/tiny_filesystem.h"

namespace hubvfs::tiny {
namespace {

using Steady = std::chrono::steady_clock;

std::string slurp(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return "-";
  std::string text = "+";
  std::vector<char> buffer(128u << 10);
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0) return "-";
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

int read_whole(const std::string& path, int rounds, int tell) {
  std::vector<char> buffer(128u << 10);
  for (int round = 0; round < rounds; ++round) {
    const int fd = ::open(path.c_str(), O_RDONLY);
    if (fd < 0) return 2;
    if (round == 0 && ::write(tell, "x", 1) != 1) return 5;
    std::uint64_t at = 0;
    while (at < tiny::kNumbersSize) {
      const ssize_t n = ::read(fd, buffer.data(), buffer.size());
      if (n <= 0) return 3;
      const auto size = static_cast<std::size_t>(n);
      if (tiny::numbers(at, size) != std::string(buffer.data(), size)) return 4;
      at += size;
    }
    ::close(fd);
  }
  return 0;
}

}  // namespace

TinyMount::TinyMount(const std::string& behaviour) : dir_(temp_ / "m") {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) std::abort();
  out_.reset(ends[0]);
  const UniqueFd write_end(ends[1]);
  const UniqueFd log(
      ::open((temp_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  keeper_ = ::fork();
  if (keeper_ != 0) return;
  ::dup2(write_end.get(), 1);
  ::dup2(log.get(), 2);
  ::execl(TINY_DAEMON, TINY_DAEMON, dir_.c_str(), behaviour.c_str(), control_folder().c_str(),
          nullptr);
  ::_exit(127);
}

TinyMount::~TinyMount() {
  if (!status_) {
    ::kill(keeper_, SIGKILL);
    ::waitpid(keeper_, nullptr, 0);
  }
  auto mounts = daemon::read_mountinfo();
  if (!mounts) return;
  for (const daemon::MountEntry& mount : *mounts) {
    if (daemon::is_within(mount.mount_point, temp_.path())) {
      ::umount2(mount.mount_point.c_str(), MNT_DETACH);
    }
  }
}

bool TinyMount::wait_ready() {
  pollfd wait{out_.get(), POLLIN, 0};
  if (::poll(&wait, 1, 30'000) != 1) return false;
  char byte = 0;
  return ::read(out_.get(), &byte, 1) == 1;
}

pid_t TinyMount::worker() const {
  const auto text = read_through(*this / "pid");
  return text ? static_cast<pid_t>(parse_decimal(trim(*text)).value_or(0)) : 0;
}

void TinyMount::signal(int number) const { ::kill(keeper_, number); }

std::optional<int> TinyMount::wait_end(int seconds) {
  const auto end = Steady::now() + std::chrono::seconds(seconds);
  while (!status_ && Steady::now() < end) {
    int status = 0;
    if (::waitpid(keeper_, &status, WNOHANG) == keeper_) {
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else {
      ::poll(nullptr, 0, 5);
    }
  }
  return status_;
}

std::string TinyMount::log() const { return read_file(temp_ / "log"); }

bool TinyMount::mounted() const {
  auto mounts = daemon::read_mountinfo();
  return mounts && daemon::mounted_at(*mounts, dir_) != nullptr;
}

std::optional<std::string> read_through(const std::string& path, int seconds) {
  auto text = daemon::ask_child([&path] { return slurp(path); }, std::chrono::seconds(seconds));
  if (!text || text->empty() || text->front() != '+') return std::nullopt;
  return text->substr(1);
}

bool is_alive(pid_t pid) { return ::kill(pid, 0) == 0; }

bool can_mount() {
  const UniqueFd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  return ::geteuid() == 0 && fd;
}

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 4000; ++i) {
    if (condition()) return true;
    ::poll(nullptr, 0, 5);
  }
  return false;
}

Reader::Reader(const std::string& path, int rounds) {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  pid_ = ::fork();
  if (pid_ == 0) ::_exit(read_whole(path, rounds, ends[1]));
  ::close(ends[1]);
  char byte = 0;
  [[maybe_unused]] const ssize_t told = ::read(ends[0], &byte, 1);
  ::close(ends[0]);
}

Reader::~Reader() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

int Reader::poll() {
  if (pid_ <= 0) return status_;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) {
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    pid_ = 0;
  }
  return status_;
}

}  // namespace hubvfs::tiny
