// SPDX-License-Identifier: Apache-2.0
#include "cache/lmdb_probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/blocking.h"
#include "cache/lmdb_handles.h"

namespace hubvfs::cache {
namespace {

enum class Verdict : char { kSound = 's', kNoDatabase = 'n', kUnreadable = 'u', kChecksum = 'c' };

Verdict walk(const char* path) {
  MDB_env* raw_env = nullptr;
  if (mdb_env_create(&raw_env) != 0) return Verdict::kUnreadable;
  const lmdb::Env env(raw_env);
  // NOLOCK: nobody else has it open, and the reader table may be what is damaged.
  const int opened = mdb_env_open(raw_env, path, MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600);
  if (opened == ENOENT) return Verdict::kNoDatabase;
  if (opened != 0) return Verdict::kUnreadable;
  MDB_txn* raw_txn = nullptr;
  if (mdb_txn_begin(raw_env, nullptr, MDB_RDONLY, &raw_txn) != 0) return Verdict::kUnreadable;
  const lmdb::Txn txn(raw_txn);
  MDB_dbi records = 0;
  if (mdb_dbi_open(raw_txn, nullptr, 0, &records) != 0) return Verdict::kUnreadable;
  MDB_stat stat{};
  if (mdb_stat(raw_txn, records, &stat) != 0) return Verdict::kUnreadable;
  MDB_cursor* raw_cursor = nullptr;
  if (mdb_cursor_open(raw_txn, records, &raw_cursor) != 0) return Verdict::kUnreadable;
  const lmdb::Cursor cursor(raw_cursor);
  std::size_t seen = 0;
  std::string last;
  MDB_val key{};
  MDB_val value{};
  int rc = mdb_cursor_get(raw_cursor, &key, &value, MDB_FIRST);
  for (; rc == 0; rc = mdb_cursor_get(raw_cursor, &key, &value, MDB_NEXT)) {
    const std::string_view name = lmdb::to_text(key);
    if (!lmdb::unseal(name, lmdb::to_text(value))) return Verdict::kChecksum;
    if (seen > 0 && name <= last) return Verdict::kUnreadable;  // a misplaced page
    last = name;
    if (++seen > stat.ms_entries) return Verdict::kUnreadable;
  }
  return rc == MDB_NOTFOUND && seen == stat.ms_entries ? Verdict::kSound : Verdict::kUnreadable;
}

// Closes all but the standard ones and these two: the cache's lock, sockets and /dev/fuse are not the child's to hold.
void close_others(int one, int other) {
  if (std::min(one, other) < 3) return;  // standard descriptors were closed: nothing is safe to close
  const auto low = static_cast<unsigned>(std::min(one, other));
  const auto high = static_cast<unsigned>(std::max(one, other));
  const auto close_from_to = [](unsigned first, unsigned last) {
    if (first <= last) ::syscall(SYS_close_range, first, last, 0u);
  };
  close_from_to(3, low - 1);
  close_from_to(low + 1, high - 1);
  close_from_to(high + 1, ~0u);
}

// The child: whatever handlers the parent installed, a fault here must end it, quietly.
[[noreturn]] void run_child(int index, int report, unsigned limit, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  close_others(index, report);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM, SIGTERM}) {
    ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) ::dup2(null, STDERR_FILENO);
  ::alarm(limit);
  const std::string path = "/proc/self/fd/" + std::to_string(index);
  const char verdict = static_cast<char>(walk(path.c_str()));
  const bool told = ::write(report, &verdict, 1) == 1;
  ::_exit(told ? 0 : 1);
}

std::string why_not(char verdict, int status) {
  if (verdict == static_cast<char>(Verdict::kChecksum)) return "a record with a wrong checksum";
  if (verdict == static_cast<char>(Verdict::kUnreadable)) return "it cannot be read";
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return "reading it took too long";
  if (WIFSIGNALED(status)) return "reading it ends in signal " + std::to_string(WTERMSIG(status));
  return "reading it failed";
}

}  // namespace

bool probe_index(const Directory& index, std::chrono::seconds limit, std::string& why) {
  assert_may_block("the index probe");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    why = system_error(errno, "pipe").context;
    return false;
  }
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    why = system_error(errno, "fork").context;
    return false;
  }
  if (child == 0) {
    run_child(index.fd(), theirs.get(), static_cast<unsigned>(limit.count()), self);
  }
  theirs.reset();

  // The report comes by the pipe: the exit status may have been taken by whoever handles SIGCHLD.
  char verdict = 0;
  ssize_t got = 0;
  do {
    got = ::read(ours.get(), &verdict, 1);
  } while (got < 0 && errno == EINTR);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (got == 1 && (verdict == static_cast<char>(Verdict::kSound) ||
                   verdict == static_cast<char>(Verdict::kNoDatabase))) {
    return true;
  }
  why = why_not(got == 1 ? verdict : 0, status);
  return false;
}

}  // namespace hubvfs::cache
