// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "cache/directory.h"
#include "cache/record_log.h"

namespace hubvfs::cache {

// Blobs too small for a file, in one record log for each namespace: meta/<namespace>/blobs.log.
//
// Holds only content that was found right, so it knows no endpoints. Thread-safe; put, drop, sync
// and compact are for the store's own threads.
class SmallBlobs {
 public:
  // `meta` must outlive it.
  SmallBlobs(const Directory& meta, Logger& log) : meta_(meta), log_(log) {}

  // Opens the logs. Before anything else.
  Result<void> load() EXCLUDES(mutex_);
  void for_each(const std::function<void(const BlobKey& key)>& visit) const EXCLUDES(mutex_);
  bool contains(const BlobKey& key) const EXCLUDES(mutex_);
  // None when absent or damaged.
  Result<std::optional<Bytes>> get(const BlobKey& key) const EXCLUDES(mutex_);
  Result<void> put(const BlobKey& key, ByteView content) EXCLUDES(mutex_);
  Result<void> drop(const BlobKey& key) EXCLUDES(mutex_);
  Result<void> sync() EXCLUDES(mutex_);
  Result<void> compact() EXCLUDES(mutex_);

 private:
  struct Space {
    std::unique_ptr<Directory> directory;
    std::unique_ptr<RecordLog> log;
  };
  Result<Space> open_space(const Namespace& name) const;
  RecordLog* find(const Namespace& name) const EXCLUDES(mutex_);
  std::vector<std::pair<Namespace, RecordLog*>> logs() const EXCLUDES(mutex_);

  const Directory& meta_;
  Logger& log_;
  mutable Mutex mutex_;  // Lock rank: leaf. Spaces are never removed.
  std::map<Namespace, Space> spaces_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::cache
