// SPDX-License-Identifier: Apache-2.0
#include "daemon/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "base/text.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kMostErrors = 4096;
constexpr std::size_t kMostAnswer = 4u << 20;
constexpr int kNoProgram = 127;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return system_error(errno, "making a pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

int left_ms(Steady::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Steady::now()).count();
  return static_cast<int>(std::max<decltype(left)>(left, 0));
}

// Until the writer has closed its end; false when time ran out.
bool read_all(int fd, Steady::time_point end, std::size_t most, std::string& text) {
  for (;;) {
    pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, left_ms(end));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    char buffer[4096];
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0;
    if (text.size() < most) {
      text.append(buffer, std::min(static_cast<std::size_t>(n), most - text.size()));
    }
  }
}

// Waits until `end` for the death of `pid`, at most; then kills it and waits a moment more.
bool reap(pid_t pid, Steady::time_point end, int& status) {
  bool killed = false;
  for (;;) {
    const pid_t dead = ::waitpid(pid, &status, WNOHANG);
    if (dead == pid) return !killed;
    if (dead < 0 && errno != EINTR) return false;
    if (Steady::now() >= end) {
      if (killed) return false;  // in an uninterruptible call
      ::kill(pid, SIGKILL);
      killed = true;
      end = Steady::now() + std::chrono::milliseconds(500);
    }
    ::poll(nullptr, 0, 1);
  }
}

// In the child, between fork and exec.
[[noreturn]] void exec_program(const std::vector<std::string>& argv, int errors_fd,
                               const std::string& fd_name, int fd) {
  // Blocked signals stay blocked: a Ctrl-C must not end fusermount3 halfway.
  ::signal(SIGPIPE, SIG_DFL);
  const int null_fd = ::open("/dev/null", O_RDWR);
  ::dup2(null_fd, 0);
  ::dup2(null_fd, 1);
  ::dup2(errors_fd, 2);
  ::setenv("LC_ALL", "C", 1);
  if (fd >= 0) {
    const int passed = ::fcntl(fd, F_DUPFD, 10);  // without close-on-exec
    ::setenv(fd_name.c_str(), std::to_string(passed).c_str(), 1);
  }
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  ::_exit(kNoProgram);
}

Error too_slow(const std::string& what) {
  return {ErrorCode::kTimedOut, what + " did not end in time"};
}

}  // namespace

Result<std::string> ask_child(const std::function<std::string()>& answer, Duration timeout) {
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  const auto end = Steady::now() + timeout;
  const pid_t pid = ::fork();
  if (pid < 0) return system_error(errno, "fork");
  if (pid == 0) {
    const std::string text = answer();
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t n = ::write(pipe->write.get(), text.data() + done, text.size() - done);
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    ::_exit(0);
  }
  pipe->write.reset();
  std::string text;
  const bool whole = read_all(pipe->read.get(), end, kMostAnswer, text);
  int status = 0;
  const bool ended = reap(pid, whole ? end : Steady::now(), status);
  if (!whole || !ended) return too_slow("a check of a mount");
  if (!WIFEXITED(status)) return {ErrorCode::kInternal, "a check of a mount crashed"};
  return text;
}

Result<ProgramEnd> run_program(const std::vector<std::string>& argv, Duration timeout) {
  return run_program_with_fd(argv, timeout, "", -1);
}

Result<ProgramEnd> run_program_with_fd(const std::vector<std::string>& argv, Duration timeout,
                                       const std::string& name, int fd) {
  auto pipe = make_pipe();
  if (!pipe) return pipe.error();
  const auto end = Steady::now() + timeout;
  const pid_t pid = ::fork();
  if (pid < 0) return system_error(errno, "fork");
  if (pid == 0) exec_program(argv, pipe->write.get(), name, fd);
  pipe->write.reset();
  ProgramEnd result;
  const bool whole = read_all(pipe->read.get(), end, kMostErrors, result.errors);
  int status = 0;
  if (!reap(pid, whole ? end : Steady::now(), status)) return too_slow(argv[0]);
  result.errors = trim(result.errors);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (result.status == kNoProgram && result.errors.empty()) {
    return {ErrorCode::kNotFound, argv[0] + " is not installed"};
  }
  return result;
}

}  // namespace hubvfs::daemon
