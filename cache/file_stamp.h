// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>

#include "base/result.h"
#include "cache/index_records.h"

namespace hubvfs::cache {

inline std::uint64_t to_nanoseconds(const timespec& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(time.tv_nsec);
}

inline Result<FileStamp> stamp_of(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error(errno, "a data file of the cache");
  return FileStamp{info.st_ino, static_cast<std::uint64_t>(info.st_size),
                   to_nanoseconds(info.st_mtim), to_nanoseconds(info.st_ctim)};
}

// Whether the file is open by another descriptor than this one and its copies, or mapped: in any
// process, also by the kernel for a mount, alive or not. Found by asking for a write lease, which
// is given to the only one who has it open, and given back at once. Of a file that is not this
// user's that cannot be told: true. Where there are no leases: false.
inline bool open_elsewhere(int fd) {
  // Who opens it just now would have us signalled: by one that is ignored.
  ::fcntl(fd, F_SETSIG, SIGURG);
  if (::fcntl(fd, F_SETLEASE, F_WRLCK) != 0) return errno == EAGAIN || errno == EACCES;
  ::fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace hubvfs::cache
