// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "cache/directory.h"

namespace hubvfs::cache {

// The name of a filesystem that no cache may lie on (its locks, mappings and holes cannot be
// trusted), by the magic number of statfs; null for any other.
const char* remote_filesystem(unsigned long magic);

// The folder itself, made (0700) where its parent is there: ours, writable by nobody else, on a
// local filesystem, empty or a cache. With `mode` that is its mode from now on, and whom it lets
// write may. Locks nothing. Errors as DiskCache::open, but for kBusy.
Result<Directory> open_cache_folder(const std::string& path, mode_t mode = 0);

// 0: it stays as it is.
Result<void> set_mode(const Directory& folder, mode_t mode);

// The cache folder: owned, private, on a local filesystem, of a format we know, and ours alone
// while this object lives (owner.lock).
class CacheFolder {
 public:
  // Errors as DiskCache::open. `block_size` is taken for a new cache only.
  static Result<std::unique_ptr<CacheFolder>> open(const std::string& path,
                                                   std::uint64_t block_size, mode_t mode = 0);

  const Directory& root() const { return root_; }
  std::uint64_t block_size() const { return block_size_; }

 private:
  CacheFolder(Directory root, UniqueFd lock, std::uint64_t block_size)
      : root_(std::move(root)), lock_(std::move(lock)), block_size_(block_size) {}
  const Directory root_;
  const UniqueFd lock_;
  const std::uint64_t block_size_;
};

}  // namespace hubvfs::cache
