// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "cache/directory.h"

namespace hubvfs::cache {

// Open data files, least recently used closed first: blobs may be many, descriptors are not.
// A file stays open as long as somebody holds what open() gave. Thread-safe.
class FileCache {
 public:
  using File = std::shared_ptr<const UniqueFd>;

  // `blobs` must outlive it. `limit` 0: a quarter of the process's descriptors, 1024 at most.
  explicit FileCache(const Directory& blobs, std::size_t limit = 0);

  // The data file `name` of blob `number`, to be read: where the disk is read-only too. kNotFound:
  // there is none.
  Result<File> open(std::uint64_t number, const std::string& name) EXCLUDES(mutex_);
  // The same, to be written. kReadOnly, as well.
  Result<File> open_to_write(std::uint64_t number, const std::string& name) EXCLUDES(mutex_);
  // The same, made when absent.
  Result<File> create(std::uint64_t number, const std::string& name) EXCLUDES(mutex_);
  // Before the file is unlinked: the next open() must not find the old one.
  void forget(std::uint64_t number) EXCLUDES(mutex_);

 private:
  struct Entry {
    std::uint64_t number = 0;
    File file;
    bool writable = false;
  };
  using Order = std::list<Entry>;

  File find(std::uint64_t number, bool to_write) EXCLUDES(mutex_);
  Result<File> open_to_write(std::uint64_t number, const std::string& name, int flags)
      EXCLUDES(mutex_);
  Result<UniqueFd> open_file(const std::string& name, int flags) EXCLUDES(mutex_);
  File keep(Entry entry) EXCLUDES(mutex_);
  void close_half() EXCLUDES(mutex_);

  const Directory& blobs_;
  const std::size_t limit_;
  Mutex mutex_;                     // Lock rank: leaf.
  Order order_ GUARDED_BY(mutex_);  // most recently used first
  std::unordered_map<std::uint64_t, Order::iterator> files_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::cache
