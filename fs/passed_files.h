// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/mutex.h"
#include "cache/blob_store.h"
#include "fs/handle.h"
#include "fs/node_id.h"
#include "fs/open_table.h"

namespace hubvfs::fs {

// Which contents are open in passthrough by any mount of this process: what the cache must not
// evict. The handles themselves are in the open table; this knows which nodes show a content.
//
// A handle of an earlier worker counts from when its node is opened again; until then the cache
// finds its file in use by itself. Thread-safe. Lock rank 8.
class PassedFiles {
 public:
  // Keeps `table` in use, or borrows it.
  explicit PassedFiles(std::shared_ptr<OpenTable> table) : table_(std::move(table)) {}

  // As OpenTable's.
  void open(const cache::BlobKey& content, std::uint32_t mount, NodeId node, Handle handle)
      EXCLUDES(mutex_);
  std::uint32_t close(std::uint32_t mount, NodeId node, Handle handle) {
    return table_->close(mount, node.raw(), handle);
  }
  bool is_open(const cache::BlobKey& content) EXCLUDES(mutex_);

 private:
  using Nodes = std::set<std::pair<std::uint32_t, std::uint64_t>>;  // mount, raw node id
  struct KeyHash {
    std::size_t operator()(const cache::BlobKey& key) const noexcept {
      return std::hash<std::string>()(key.space) ^ std::hash<ContentId>()(key.content);
    }
  };
  // Leaves those of `nodes` that have a handle.
  void forget_closed(Nodes& nodes) REQUIRES(mutex_);
  void tidy() REQUIRES(mutex_);

  const std::shared_ptr<OpenTable> table_;
  Mutex mutex_;
  std::unordered_map<cache::BlobKey, Nodes, KeyHash> nodes_ GUARDED_BY(mutex_);
  std::size_t tidy_at_ GUARDED_BY(mutex_) = 1024;
};

}  // namespace hubvfs::fs
