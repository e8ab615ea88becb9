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
  return open(number, name, O_RDWR);
}

Result<FileCache::File> FileCache::create(std::uint64_t number, const std::string& name) {
  return open(number, name, O_RDWR | O_CREAT);
}

Result<FileCache::File> FileCache::open(std::uint64_t number, const std::string& name, int flags) {
  {
    MutexLock lock(mutex_);
    if (const auto at = files_.find(number); at != files_.end()) {
      order_.splice(order_.begin(), order_, at->second);
      return at->second->second;
    }
  }
  auto fd = blobs_.open_file(name, flags);
  if (!fd && fd.error().code == ErrorCode::kReadOnly) fd = blobs_.open_file(name, O_RDONLY);
  if (!fd && fd.error().code == ErrorCode::kIo) {  // perhaps too many are open
    close_half();
    fd = blobs_.open_file(name, flags);
  }
  if (!fd) return fd.error();
  File file = std::make_shared<const UniqueFd>(std::move(*fd));
  File closed;  // outlives the lock: closing is the disk's affair
  MutexLock lock(mutex_);
  if (const auto at = files_.find(number); at != files_.end()) return at->second->second;
  order_.emplace_front(number, file);
  files_.emplace(number, order_.begin());
  if (order_.size() > limit_) {
    closed = std::move(order_.back().second);
    files_.erase(order_.back().first);
    order_.pop_back();
  }
  return file;
}

void FileCache::close_half() {
  std::vector<File> closed;
  MutexLock lock(mutex_);
  for (std::size_t keep = order_.size() / 2; order_.size() > keep;) {
    closed.push_back(std::move(order_.back().second));
    files_.erase(order_.back().first);
    order_.pop_back();
  }
}

void FileCache::forget(std::uint64_t number) {
  File closed;
  MutexLock lock(mutex_);
  const auto at = files_.find(number);
  if (at == files_.end()) return;
  closed = std::move(at->second->second);
  order_.erase(at->second);
  files_.erase(at);
}

}  // namespace hubvfs::cache
