// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <vector>

#include "daemon/messages.h"
#include "daemon/privileges.h"
#include "daemon/worker_link.h"

namespace hubvfs::daemon {
namespace {

constexpr int kNotStarted = 126;

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

// Between fork and exec: system calls only.
[[noreturn]] void become_worker(int link_fd, pid_t keeper, char* const* argv,
                                char* const* environment) {
  // Onto itself dup2 would leave it to be closed by exec.
  const int link = link_fd == kWorkerLinkFd ? ::fcntl(link_fd, F_DUPFD, kWorkerLinkFd + 1) : link_fd;
  if (::dup2(link, kWorkerLinkFd) < 0) ::_exit(kNotStarted);
  ::syscall(SYS_close_range, kWorkerLinkFd + 1, ~0u, 0);
  ::setsid();  // a Ctrl-C is the keeper's business
  if (::chdir("/") < 0) ::_exit(kNotStarted);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!drop_privileges()) ::_exit(kNotStarted);
  // After the change of credentials, which clears it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != keeper) ::_exit(kNotStarted);
  ::execve("/proc/self/exe", argv, environment);
  ::_exit(kNotStarted);
}

}  // namespace

Result<WorkerProcess> start_worker(const std::string& label, ByteView settings,
                                   const std::vector<int>& shared_memory) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    return system_error(errno, "making a socket for the worker");
  }
  WorkerProcess worker;
  worker.link.reset(ends[0]);
  UniqueFd theirs(ends[1]);
  // Made before the fork: there is no memory to be had after it.
  std::vector<std::string> words{"hubvfs", kWorkerCommand, label};
  std::vector<std::string> passed = worker_environment(environ);
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> environment = pointers(passed);
  const pid_t keeper = ::getpid();
  worker.pid = ::fork();
  if (worker.pid < 0) return system_error(errno, "starting the worker: fork");
  if (worker.pid == 0) {
    become_worker(theirs.get(), keeper, argv.data(), environment.data());
  }
  theirs.reset();
  worker.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, worker.pid, 0)));
  if (!worker.pidfd) {
    Error error = system_error(errno, "watching the worker");
    ::kill(worker.pid, SIGKILL);
    ::waitpid(worker.pid, nullptr, 0);
    return error;
  }
  // A worker that died so soon is found dead like any other.
  static_cast<void>(
      send_message(worker.link.get(), MessageKind::kSettings, settings, shared_memory).has_value());
  return worker;
}

}  // namespace hubvfs::daemon
