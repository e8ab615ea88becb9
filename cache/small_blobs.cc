// SPDX-License-Identifier: Apache-2.0
#include "cache/small_blobs.h"

#include <string>

#include "cache/index_records.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {
constexpr const char* kLogName = "blobs.log";
}

Result<SmallBlobs::Space> SmallBlobs::open_space(const Namespace& name) const {
  auto directory = meta_.make_directory(name);
  if (!directory) return directory.error();
  Space space;
  space.directory = std::make_unique<Directory>(std::move(*directory));
  auto log = RecordLog::open(*space.directory, kLogName, log_);
  if (!log) return log.error();
  space.log = std::move(*log);
  return space;
}

RecordLog* SmallBlobs::find(const Namespace& name) const {
  MutexLock lock(mutex_);
  const auto at = spaces_.find(name);
  return at == spaces_.end() ? nullptr : at->second.log.get();
}

std::vector<std::pair<Namespace, RecordLog*>> SmallBlobs::logs() const {
  MutexLock lock(mutex_);
  std::vector<std::pair<Namespace, RecordLog*>> found;
  for (const auto& [name, space] : spaces_) found.emplace_back(name, space.log.get());
  return found;
}

Result<void> SmallBlobs::load() {
  std::vector<std::string> names;
  auto listed = meta_.for_each([&](const std::string& name) {
    if (is_namespace(name)) names.push_back(name);
  });
  if (!listed) return listed;
  for (const std::string& name : names) {
    auto space = open_space(name);
    // On a disk that is read-only none is made for a namespace that has none.
    if (!space && space.error().code == ErrorCode::kNotFound) continue;
    if (!space) return space.error();
    if (auto compacted = space->log->compact_if_wasteful(); !compacted) {
      log_.warning("cache: compaction: " + compacted.error().context);
    }
    MutexLock lock(mutex_);
    spaces_.emplace(name, std::move(*space));
  }
  return {};
}

void SmallBlobs::for_each(const std::function<void(const BlobKey& key)>& visit) const {
  for (const auto& named : logs()) {
    const Namespace& name = named.first;
    named.second->for_each_key("", [&](std::string_view key, std::uint64_t size) {
      const auto parsed = parse_index_key(key);
      if (!parsed || !parsed->blob || parsed->space != name || parsed->blob->size() != size) return;
      visit({name, *parsed->blob});
    });
  }
}

bool SmallBlobs::contains(const BlobKey& key) const {
  const RecordLog* log = find(key.space);
  return log != nullptr && log->contains(blob_index_key(key));
}

Result<std::optional<Bytes>> SmallBlobs::get(const BlobKey& key) const {
  const RecordLog* log = find(key.space);
  if (log == nullptr) return std::optional<Bytes>();
  return log->get(blob_index_key(key));
}

Result<void> SmallBlobs::put(const BlobKey& key, ByteView content) {
  RecordLog* log = find(key.space);
  if (log == nullptr) {  // only the writer comes here: nobody else makes it meanwhile
    auto space = open_space(key.space);
    if (!space) return space.error();
    MutexLock lock(mutex_);
    log = spaces_.emplace(key.space, std::move(*space)).first->second.log.get();
  }
  return log->put(blob_index_key(key), content);
}

Result<void> SmallBlobs::drop(const BlobKey& key) {
  RecordLog* log = find(key.space);
  return log == nullptr ? Result<void>() : log->erase_and_punch(blob_index_key(key));
}

Result<void> SmallBlobs::sync() {
  for (const auto& [name, log] : logs()) {
    if (auto synced = log->sync(); !synced) return synced;
  }
  return {};
}

Result<void> SmallBlobs::compact() {
  for (const auto& [name, log] : logs()) {
    if (auto compacted = log->compact_if_wasteful(); !compacted) return compacted;
  }
  return {};
}

}  // namespace hubvfs::cache
