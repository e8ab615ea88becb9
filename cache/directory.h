// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::cache {

struct DiskSpace {
  std::uint64_t total = 0;      // bytes of the filesystem
  std::uint64_t available = 0;  // bytes an ordinary user may still take
};

// A directory of the cache, reached through a descriptor only.
//
// Names are relative to it and never leave it: no symbolic link is followed (openat2 with BENEATH
// and NO_SYMLINKS, or O_NOFOLLOW step by step on kernels without it), so what somebody else puts in
// its place is refused. Thread-safe.
class Directory {
 public:
  explicit Directory(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  // Opens a regular file with one name. kNotFound, or kPermissionDenied for anything else than such
  // a file. O_CLOEXEC is added; a created file gets 0600.
  Result<UniqueFd> open_file(const std::string& name, int flags) const;
  Result<Directory> open_directory(const std::string& name) const;
  // Opens it, made when absent: 0700, and no access times of its files are kept. One level only.
  Result<Directory> make_directory(const std::string& name) const;
  Result<void> rename(const std::string& from, const std::string& to) const;
  // Absent is no error.
  Result<void> remove_file(const std::string& name) const;
  // A directory and the files in it, one level deep. Absent is no error.
  Result<void> remove_directory(const std::string& name) const;
  // Names in it but "." and "..", in no order.
  Result<void> for_each(const std::function<void(const std::string& name)>& visit) const;
  // fsync of the directory itself: a new name outlives a power cut.
  Result<void> sync() const;
  // Writes a whole small file so that it is there in full or not at all, synced.
  Result<void> replace_file(const std::string& name, std::string_view text) const;
  Result<std::string> read_small_file(const std::string& name) const;
  Result<DiskSpace> space() const;
  // Somebody removed the directory: nothing can be made in it any more.
  bool removed() const;

 private:
  Result<UniqueFd> open_beneath(const std::string& name, int flags) const;
  UniqueFd fd_;
};

// Reads exactly `out`. kCorrupt: the file ends before it; kIo: the disk failed.
Result<void> read_fully(int fd, std::span<std::byte> out, std::uint64_t offset);
Result<void> write_fully(int fd, std::span<const std::byte> bytes, std::uint64_t offset);

}  // namespace hubvfs::cache
