// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "cache/blob_entry.h"

namespace hubvfs::cache {

// Every blob that is open or has something on disk. Thread-safe.
class EntryTable {
 public:
  EntryTable(std::uint64_t block_size, StoreCounters& counters)
      : block_size_(block_size), counters_(counters) {}

  // The entry, made when absent, with one handle more.
  std::shared_ptr<BlobEntry> open(const BlobKey& key, const EndpointId& endpoint) EXCLUDES(mutex_);
  // Null when absent.
  std::shared_ptr<BlobEntry> find(const BlobKey& key) const EXCLUDES(mutex_);
  // Takes an idle entry out; false: it is in use again. Its number never comes back.
  bool retire(const BlobEntry& entry) EXCLUDES(mutex_);
  std::vector<std::shared_ptr<BlobEntry>> snapshot() const EXCLUDES(mutex_);
  // The pinned ones, now and when they come; all others are not.
  void set_pinned(std::set<BlobKey> keys) EXCLUDES(mutex_);
  bool is_pinned(const BlobKey& key) const EXCLUDES(mutex_);

  // At load. `number` none: the next one.
  std::shared_ptr<BlobEntry> add(const BlobKey& key, std::optional<std::uint64_t> number)
      EXCLUDES(mutex_);

 private:
  struct Hash {
    std::size_t operator()(const BlobKey& key) const noexcept {
      return std::hash<ContentId>()(key.content) ^ std::hash<std::string>()(key.space);
    }
  };
  const std::uint64_t block_size_;
  StoreCounters& counters_;
  std::shared_ptr<BlobEntry> make(const BlobKey& key, std::uint64_t number) REQUIRES(mutex_);

  mutable Mutex mutex_;  // Lock rank: before BlobEntry's.
  std::unordered_map<BlobKey, std::shared_ptr<BlobEntry>, Hash> entries_ GUARDED_BY(mutex_);
  std::set<BlobKey> pinned_ GUARDED_BY(mutex_);
  std::uint64_t next_number_ GUARDED_BY(mutex_) = 1;
};

}  // namespace hubvfs::cache
