// SPDX-License-Identifier: Apache-2.0
#include "cache/entry_table.h"

#include <algorithm>

namespace hubvfs::cache {

std::shared_ptr<BlobEntry> EntryTable::open(const BlobKey& key, const EndpointId& endpoint) {
  MutexLock lock(mutex_);
  auto& entry = entries_[key];
  if (entry == nullptr) entry = make(key, next_number_++);
  entry->add_handle(endpoint);
  return entry;
}

std::shared_ptr<BlobEntry> EntryTable::make(const BlobKey& key, std::uint64_t number) {
  auto entry = std::make_shared<BlobEntry>(key, number, block_size_, counters_);
  if (pinned_.contains(key)) entry->set_pinned(true);
  return entry;
}

void EntryTable::set_pinned(std::set<BlobKey> keys) {
  MutexLock lock(mutex_);
  pinned_ = std::move(keys);
  for (const auto& [key, entry] : entries_) entry->set_pinned(pinned_.contains(key));
}

bool EntryTable::is_pinned(const BlobKey& key) const {
  MutexLock lock(mutex_);
  return pinned_.contains(key);
}

std::shared_ptr<BlobEntry> EntryTable::find(const BlobKey& key) const {
  MutexLock lock(mutex_);
  const auto at = entries_.find(key);
  return at == entries_.end() ? nullptr : at->second;
}

bool EntryTable::retire(const BlobEntry& entry) {
  MutexLock lock(mutex_);
  const auto at = entries_.find(entry.key());
  if (at == entries_.end() || at->second.get() != &entry || !entry.idle()) return false;
  entries_.erase(at);
  return true;
}

std::vector<std::shared_ptr<BlobEntry>> EntryTable::snapshot() const {
  MutexLock lock(mutex_);
  std::vector<std::shared_ptr<BlobEntry>> all;
  all.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) all.push_back(entry);
  return all;
}

std::shared_ptr<BlobEntry> EntryTable::add(const BlobKey& key,
                                           std::optional<std::uint64_t> number) {
  MutexLock lock(mutex_);
  const std::uint64_t used = number.value_or(next_number_);
  next_number_ = std::max(next_number_, used + 1);
  auto& entry = entries_[key];
  if (entry == nullptr) entry = make(key, used);
  return entry;
}

}  // namespace hubvfs::cache
