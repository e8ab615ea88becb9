// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_meta_store.h"

#include <chrono>
#include <utility>

#include "base/blocking.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {

constexpr const char* kLogName = "records.log";
constexpr std::chrono::seconds kSyncAfter{1};
constexpr std::chrono::seconds kRetryAfter{2};

bool is_disk_failure(const Error& error) {  // kNotFound: the folder was removed under us
  return error.code == ErrorCode::kNoSpace || error.code == ErrorCode::kIo ||
         error.code == ErrorCode::kReadOnly || error.code == ErrorCode::kNotFound;
}

}  // namespace

Result<std::unique_ptr<DiskMetaStore>> DiskMetaStore::open(const Directory& meta, Logger& log) {
  std::unique_ptr<DiskMetaStore> store(new DiskMetaStore(meta, log));
  std::vector<std::string> names;
  auto listed = meta.for_each([&](const std::string& name) {
    if (is_namespace(name)) names.push_back(name);
  });
  if (!listed) return listed.error();
  for (const std::string& name : names) {
    auto space = store->open_space(name);
    if (!space) return space.error();
    // A process that is always killed never comes to compact at its end.
    if (auto compacted = (*space)->log->compact_if_wasteful(); !compacted) {
      log.warning("cache: compaction: " + compacted.error().context);
    }
    MutexLock lock(store->mutex_);
    store->spaces_.emplace(name, std::move(*space));
  }
  store->thread_ = std::thread([raw = store.get()] { raw->run(); });
  return store;
}

DiskMetaStore::~DiskMetaStore() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  if (auto synced = sync_logs(); !synced) {
    log_.error("cache: metadata lost at the end: " + synced.error().context);
  }
  for (Space* space : spaces()) {
    if (auto compacted = space->log->compact_if_wasteful(); !compacted) {
      log_.warning("cache: compaction: " + compacted.error().context);
    }
  }
}

Result<std::unique_ptr<DiskMetaStore::Space>> DiskMetaStore::open_space(
    const Namespace& name) const {
  auto directory = meta_.make_directory(name);
  if (!directory) return directory.error();
  auto space = std::make_unique<Space>();
  space->directory = std::make_unique<Directory>(std::move(*directory));
  auto log = RecordLog::open(*space->directory, kLogName, log_);
  if (!log) return log.error();
  space->log = std::move(*log);
  return space;
}

Result<DiskMetaStore::Space*> DiskMetaStore::space_for_writing(const Namespace& name) {
  const auto find = [&]() -> Space* {
    MutexLock lock(mutex_);
    const auto at = spaces_.find(name);
    return at == spaces_.end() ? nullptr : at->second.get();
  };
  if (Space* found = find()) return found;
  MutexLock creating(creation_mutex_);
  if (Space* found = find()) return found;
  auto made = open_space(name);
  if (!made) return made.error();
  MutexLock lock(mutex_);
  if (auto waiting = without_log_.extract(name)) (*made)->unwritten = std::move(waiting.mapped());
  return spaces_.emplace(name, std::move(*made)).first->second.get();
}

// Returns the error that made it necessary.
Result<void> DiskMetaStore::keep_without_log(const Namespace& name, std::string_view key,
                                             Value value, const Error& why) {
  if (!is_disk_failure(why)) return why;
  {
    MutexLock lock(mutex_);
    const auto made = spaces_.find(name);  // by somebody else, just now
    auto& kept = made != spaces_.end() ? made->second->unwritten : without_log_[name];
    kept.insert_or_assign(std::string(key), std::move(value));
  }
  note_dirty();
  return why;
}

const DiskMetaStore::Unwritten* DiskMetaStore::unwritten_of(const Namespace& name) const {
  const auto made = spaces_.find(name);
  if (made != spaces_.end()) return &made->second->unwritten;
  const auto waiting = without_log_.find(name);
  return waiting != without_log_.end() ? &waiting->second : nullptr;
}

void DiskMetaStore::make_missing_logs() {
  std::vector<Namespace> names;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, values] : without_log_) names.push_back(name);
  }
  for (const Namespace& name : names) (void)space_for_writing(name).has_value();
}

void DiskMetaStore::note_dirty() {
  MutexLock lock(mutex_);
  if (dirty_) return;
  dirty_ = true;
  changed_.notify_one();
}

Result<void> DiskMetaStore::put(const Namespace& space, std::string_view key, ByteView value) {
  if (auto named = check_meta_key(space, key); !named) return named;
  if (value.size() > RecordLog::kMaxValue) {
    return {ErrorCode::kInvalidArgument, "a metadata value of " + std::to_string(value.size())};
  }
  const auto copy_of = [&] { return std::make_shared<const Bytes>(value.begin(), value.end()); };
  auto found = space_for_writing(space);
  if (!found) return keep_without_log(space, key, copy_of(), found.error());
  RecordLog::Ticket ticket;
  Value copy;
  {
    MutexLock lock(mutex_);
    auto& unwritten = (*found)->unwritten;
    // Takes the refused value's place first: write_refused() must not write that one behind this.
    if (unwritten.contains(key)) unwritten.insert_or_assign(std::string(key), copy = copy_of());
    ticket = (*found)->log->begin(key, value.size());
  }
  auto written = (*found)->log->finish(ticket, key, value);
  const bool refused = !written && is_disk_failure(written.error());
  if (refused && copy == nullptr) copy = copy_of();
  {
    MutexLock lock(mutex_);
    auto& unwritten = (*found)->unwritten;
    if (refused) {
      unwritten.insert_or_assign(std::string(key), copy);
    } else if (const auto at = unwritten.find(key); at != unwritten.end() && at->second == copy) {
      unwritten.erase(at);
    }
  }
  note_dirty();
  return written;
}

Result<void> DiskMetaStore::erase(const Namespace& space, std::string_view key) {
  if (auto named = check_meta_key(space, key); !named) return named;
  auto found = space_for_writing(space);
  if (!found) return keep_without_log(space, key, nullptr, found.error());
  RecordLog::Ticket ticket;
  {
    MutexLock lock(mutex_);
    auto& unwritten = (*found)->unwritten;
    if (const auto at = unwritten.find(key); at != unwritten.end()) {
      at->second = nullptr;
    } else if (!(*found)->log->contains(key)) {
      return {};
    }
    ticket = (*found)->log->begin(key, 0);
  }
  auto erased = (*found)->log->finish(ticket, key, std::nullopt);
  {
    MutexLock lock(mutex_);
    auto& unwritten = (*found)->unwritten;
    if (!erased) {
      unwritten.insert_or_assign(std::string(key), nullptr);
    } else if (const auto at = unwritten.find(key); at != unwritten.end() && !at->second) {
      unwritten.erase(at);
    }
  }
  note_dirty();
  return erased;
}

Result<std::optional<Bytes>> DiskMetaStore::get(const Namespace& space,
                                                std::string_view key) const {
  if (auto named = check_meta_key(space, key); !named) return named.error();
  const RecordLog* log = nullptr;
  {
    MutexLock lock(mutex_);
    const Unwritten* unwritten = unwritten_of(space);
    if (unwritten == nullptr) return std::optional<Bytes>();
    if (const auto newer = unwritten->find(key); newer != unwritten->end()) {
      if (newer->second == nullptr) return std::optional<Bytes>();
      return std::optional<Bytes>(*newer->second);
    }
    const auto at = spaces_.find(space);
    if (at == spaces_.end()) return std::optional<Bytes>();
    log = at->second->log.get();
  }
  return log->get(key);
}

Result<void> DiskMetaStore::for_each(
    const Namespace& space, std::string_view prefix,
    const std::function<void(std::string_view key, ByteView value)>& visit) const {
  const RecordLog* log = nullptr;
  Unwritten merged;  // null: read it from the log
  Unwritten newer;
  {
    MutexLock lock(mutex_);
    const Unwritten* unwritten = unwritten_of(space);
    if (unwritten == nullptr) return {};
    newer = *unwritten;
    if (const auto at = spaces_.find(space); at != spaces_.end()) log = at->second->log.get();
  }
  if (log != nullptr) {
    log->for_each_key(prefix, [&](std::string_view key, std::uint64_t) {
      merged.emplace(std::string(key), nullptr);
    });
  }
  for (const auto& [key, value] : newer) {
    if (!key.starts_with(prefix)) continue;
    if (value == nullptr) {
      merged.erase(key);
    } else {
      merged.insert_or_assign(key, value);
    }
  }
  for (const auto& [key, value] : merged) {
    if (value != nullptr) {
      visit(key, *value);
      continue;
    }
    auto read = log->get(key);
    if (!read) return read.error();
    if (read->has_value()) visit(key, **read);
  }
  return {};
}

std::vector<DiskMetaStore::Space*> DiskMetaStore::spaces() const {
  MutexLock lock(mutex_);
  std::vector<Space*> found;
  for (const auto& [name, space] : spaces_) found.push_back(space.get());
  return found;
}

// Writes again what the disk refused, unless a newer value has come meanwhile.
Result<void> DiskMetaStore::write_refused(Space& space) {
  std::vector<std::pair<std::string, Value>> refused;
  {
    MutexLock lock(mutex_);
    refused.assign(space.unwritten.begin(), space.unwritten.end());
  }
  for (const auto& [key, value] : refused) {
    RecordLog::Ticket ticket;
    {
      MutexLock lock(mutex_);
      const auto at = space.unwritten.find(key);
      if (at == space.unwritten.end() || at->second != value) continue;
      ticket = space.log->begin(key, value != nullptr ? value->size() : 0);
    }
    const auto bytes = value != nullptr ? std::optional(ByteView(*value)) : std::nullopt;
    if (auto written = space.log->finish(ticket, key, bytes); !written) return written;
    MutexLock lock(mutex_);
    const auto at = space.unwritten.find(key);
    if (at != space.unwritten.end() && at->second == value) space.unwritten.erase(at);
  }
  return {};
}

Result<void> DiskMetaStore::sync_logs() {
  Result<void> done;
  make_missing_logs();
  for (Space* space : spaces()) {
    if (auto written = write_refused(*space); !written) done = written;
    if (auto synced = space->log->sync(); !synced) done = synced;
  }
  return done;
}

Result<void> DiskMetaStore::sync() {
  assert_may_block("the sync of metadata");
  return sync_logs();
}

void DiskMetaStore::run() {
  std::chrono::nanoseconds pause = kSyncAfter;
  std::string last_failure;
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && !dirty_) changed_.wait(mutex_);
      // What comes within the pause shares one sync.
      if (!stopping_) changed_.wait_for(mutex_, pause);
      if (stopping_) return;
      dirty_ = false;
    }
    auto synced = sync_logs();
    pause = synced ? kSyncAfter : kRetryAfter;
    const std::string failure = synced ? "" : synced.error().context;
    if (!failure.empty() && failure != last_failure) {
      log_.warning("cache: metadata is kept in memory only: " + failure);
    }
    last_failure = failure;
    if (!synced) note_dirty();
  }
}

std::uint64_t DiskMetaStore::damaged() const {
  std::uint64_t places = 0;
  for (const Space* space : spaces()) places += space->log->damaged();
  return places;
}

}  // namespace hubvfs::cache
