// SPDX-License-Identifier: Apache-2.0
#include "cache/file_cache.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <vector>

namespace hubvfs::cache {
namespace {

std::size_t default_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 64;
  return std::clamp<std::size_t>(limit.rlim_cur / 4, 16, 1024);
}

}  // namespace

FileCache::FileCache(const Directory& blobs, std::size_t limit)
    : blobs_(blobs), limit_(limit != 0 ? limit : default_limit()) {}

Result<FileCache::File> FileCache::open(std::uint64_t number, const std::string& name) {
  if (File known = find(number, false)) return known;
  auto file = open_to_write(number, name, O_RDWR);
  if (file || file.error().code != ErrorCode::kReadOnly) return file;
  auto fd = open_file(name, O_RDONLY);
  if (!fd) return fd.error();
  return keep({number, std::make_shared<const UniqueFd>(std::move(*fd)), false});
}

Result<FileCache::File> FileCache::open_to_write(std::uint64_t number, const std::string& name) {
  return open_to_write(number, name, O_RDWR);
}

Result<FileCache::File> FileCache::create(std::uint64_t number, const std::string& name) {
  return open_to_write(number, name, O_RDWR | O_CREAT);
}

Result<FileCache::File> FileCache::open_to_write(std::uint64_t number, const std::string& name,
                                                 int flags) {
  if (File known = find(number, true)) return known;
  auto fd = open_file(name, flags);
  if (!fd) return fd.error();
  return keep({number, std::make_shared<const UniqueFd>(std::move(*fd)), true});
}

FileCache::File FileCache::find(std::uint64_t number, bool to_write) {
  MutexLock lock(mutex_);
  const auto at = files_.find(number);
  if (at == files_.end() || (to_write && !at->second->writable)) return nullptr;
  order_.splice(order_.begin(), order_, at->second);
  return at->second->file;
}

Result<UniqueFd> FileCache::open_file(const std::string& name, int flags) {
  auto fd = blobs_.open_file(name, flags);
  if (!fd && fd.error().code == ErrorCode::kIo) {  // perhaps too many are open
    close_half();
    fd = blobs_.open_file(name, flags);
  }
  return fd;
}

FileCache::File FileCache::keep(Entry entry) {
  File closed;  // outlives the lock: closing is the disk's affair
  MutexLock lock(mutex_);
  if (const auto at = files_.find(entry.number); at != files_.end()) {
    if (at->second->writable || !entry.writable) return at->second->file;
    closed = std::exchange(at->second->file, entry.file);
    at->second->writable = true;
    return entry.file;
  }
  File file = entry.file;
  order_.push_front(std::move(entry));
  files_.emplace(order_.front().number, order_.begin());
  if (order_.size() > limit_) {
    closed = std::move(order_.back().file);
    files_.erase(order_.back().number);
    order_.pop_back();
  }
  return file;
}

void FileCache::close_half() {
  std::vector<File> closed;
  MutexLock lock(mutex_);
  for (std::size_t keep = order_.size() / 2; order_.size() > keep;) {
    closed.push_back(std::move(order_.back().file));
    files_.erase(order_.back().number);
    order_.pop_back();
  }
}

void FileCache::forget(std::uint64_t number) {
  File closed;
  MutexLock lock(mutex_);
  const auto at = files_.find(number);
  if (at == files_.end()) return;
  closed = std::move(at->second->file);
  order_.erase(at->second);
  files_.erase(at);
}

}  // namespace hubvfs::cache
