// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cerrno>

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

}  // namespace hubvfs::cache
