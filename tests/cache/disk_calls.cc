// SPDX-License-Identifier: Apache-2.0
// Both names of each function are defined here: we call pwrite64, LMDB calls pwrite.
#undef _FILE_OFFSET_BITS
#include "tests/cache/disk_calls.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>

namespace hubvfs::cache::disk_calls {
namespace {

enum class Kind { kRead, kOpen, kOpenToWrite, kCreate, kWrite, kName, kFree, kSync };

// The functions below are the C library's to the rest of the program, so what they share is global.
std::atomic<pid_t> armed{0};
std::atomic<std::uint64_t> calls{0};
std::atomic<bool> no_syncs{false};
Plan current;  // written while nothing is armed

long raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  using Syscall = long (*)(long, ...);
  static const auto kReal = reinterpret_cast<Syscall>(::dlsym(RTLD_NEXT, "syscall"));
  return kReal(number, a, b, c, d, e, f);
}

[[noreturn]] void die() {
  raw(SYS_kill, raw(SYS_getpid), SIGKILL);
  for (;;) ::pause();
}

// Whether a call of that kind is one that the plan is about: a full disk still lets go of things,
// one that is read-only is still read, and a process is killed where it changes something.
bool concerns(Kind kind) {
  if (current.act != Act::kFail && current.act != Act::kFailOn) {
    return kind != Kind::kRead && kind != Kind::kOpen && kind != Kind::kOpenToWrite;
  }
  switch (current.error) {
    case ENOSPC:
      return kind == Kind::kCreate || kind == Kind::kWrite || kind == Kind::kName ||
             kind == Kind::kSync;
    case EROFS:
      return kind != Kind::kRead && kind != Kind::kOpen;
    case EMFILE:
      return kind == Kind::kOpen || kind == Kind::kOpenToWrite || kind == Kind::kCreate;
    default:
      return true;
  }
}

bool is_on_disk(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
}

// `run(size)` makes the call, of a write with its first `size` bytes only.
template <typename Run>
long pass(Kind kind, int fd, std::size_t size, Run&& run) {
  if (armed == 0 || armed != raw(SYS_getpid) || !concerns(kind) || !is_on_disk(fd)) {
    return run(size);
  }
  const std::uint64_t number = ++calls;
  const bool due = number == current.at || (current.act == Act::kFailOn && number >= current.at);
  if (!due) return run(size);
  switch (current.act) {
    case Act::kFail:
    case Act::kFailOn:
      errno = current.error;
      return -1;
    case Act::kKillBefore:
      break;
    case Act::kKillTorn:
      run(size * std::min(current.torn, 100u) / 100);
      break;
    case Act::kKillAfter:
      run(size);
      break;
  }
  die();
}

template <typename Run>
int pass_call(Kind kind, int fd, Run&& run) {
  return static_cast<int>(pass(kind, fd, 0, [&](std::size_t) { return run(); }));
}

int pass_sync(int fd, long number) {
  return pass_call(Kind::kSync, fd, [&] { return no_syncs ? 0 : raw(number, fd); });
}

template <typename Pointer>
long word(Pointer* pointer) {
  return reinterpret_cast<long>(pointer);
}

}  // namespace

void arm(const Plan& plan) {
  current = plan;
  calls = 0;
  armed = static_cast<pid_t>(raw(SYS_getpid));
}

std::uint64_t disarm() {
  armed = 0;
  return calls;
}

void skip_syncs(bool skip) { no_syncs = skip; }

}  // namespace hubvfs::cache::disk_calls

using hubvfs::cache::disk_calls::Kind;
using hubvfs::cache::disk_calls::pass;
using hubvfs::cache::disk_calls::pass_call;
using hubvfs::cache::disk_calls::pass_sync;
using hubvfs::cache::disk_calls::raw;
using hubvfs::cache::disk_calls::word;

extern "C" {

ssize_t pwrite(int fd, const void* from, size_t size, off_t offset) {
  return pass(Kind::kWrite, fd, size, [&](std::size_t part) {
    return raw(SYS_pwrite64, fd, word(from), static_cast<long>(part), offset);
  });
}
ssize_t pwrite64(int fd, const void* from, size_t size, off64_t offset) {
  return pwrite(fd, from, size, offset);
}
ssize_t pread(int fd, void* into, size_t size, off_t offset) {
  return pass(Kind::kRead, fd, size, [&](std::size_t part) {
    return raw(SYS_pread64, fd, word(into), static_cast<long>(part), offset);
  });
}
ssize_t pread64(int fd, void* into, size_t size, off64_t offset) {
  return pread(fd, into, size, offset);
}
ssize_t write(int fd, const void* from, size_t size) {
  return pass(Kind::kWrite, fd, size, [&](std::size_t part) {
    return raw(SYS_write, fd, word(from), static_cast<long>(part));
  });
}
ssize_t writev(int fd, const iovec* parts, int count) {  // torn between two parts, not in one
  return pass(Kind::kWrite, fd, static_cast<std::size_t>(count), [&](std::size_t part) {
    return raw(SYS_writev, fd, word(parts), static_cast<long>(part));
  });
}
int fsync(int fd) { return pass_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return pass_sync(fd, SYS_fdatasync); }
int syncfs(int fd) noexcept { return pass_sync(fd, SYS_syncfs); }
int ftruncate(int fd, off_t size) noexcept {
  return pass_call(Kind::kFree, fd, [&] { return raw(SYS_ftruncate, fd, size); });
}
int ftruncate64(int fd, off64_t size) noexcept { return ftruncate(fd, size); }
int fallocate(int fd, int mode, off_t offset, off_t size) {
  return pass_call(Kind::kFree, fd, [&] { return raw(SYS_fallocate, fd, mode, offset, size); });
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
  return fallocate(fd, mode, offset, size);
}
int mkdirat(int fd, const char* name, mode_t mode) noexcept {
  return pass_call(Kind::kName, fd,
                   [&] { return raw(SYS_mkdirat, fd, word(name), static_cast<long>(mode)); });
}
int unlinkat(int fd, const char* name, int flags) noexcept {
  return pass_call(Kind::kFree, fd, [&] { return raw(SYS_unlinkat, fd, word(name), flags); });
}
int renameat(int from, const char* name, int to, const char* new_name) noexcept {
  return pass_call(Kind::kName, from,
                   [&] { return raw(SYS_renameat2, from, word(name), to, word(new_name), 0); });
}
// Only openat2, which the C library has no function for, is a call of the cache's.
long syscall(long number, ...) noexcept {
  va_list list;
  va_start(list, number);
  const long a = va_arg(list, long);
  const long b = va_arg(list, long);
  const long c = va_arg(list, long);
  const long d = va_arg(list, long);
  const long e = va_arg(list, long);
  const long f = va_arg(list, long);
  va_end(list);
  if (number != SYS_openat2) return raw(number, a, b, c, d, e, f);
  const auto flags = reinterpret_cast<const open_how*>(c)->flags;
  const bool is_new = (flags & O_CREAT) != 0 && raw(SYS_faccessat, a, b, F_OK) != 0;
  const Kind kind = is_new                     ? Kind::kCreate
                    : (flags & O_ACCMODE) != 0 ? Kind::kOpenToWrite
                                               : Kind::kOpen;
  return pass(kind, static_cast<int>(a), 0, [&](std::size_t) { return raw(number, a, b, c, d); });
}

}  // extern "C"
