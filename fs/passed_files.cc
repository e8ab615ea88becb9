// SPDX-License-Identifier: Apache-2.0
#include "fs/passed_files.h"

#include <algorithm>

namespace hubvfs::fs {

// In one step with is_open(), which forgets a content whose nodes have no handle.
void PassedFiles::open(const cache::BlobKey& content, std::uint32_t mount, NodeId node,
                       Handle handle) {
  MutexLock lock(mutex_);
  table_->open(mount, node.raw(), handle);
  nodes_[content].emplace(mount, node.raw());
  if (nodes_.size() >= tidy_at_) tidy();
}

bool PassedFiles::is_open(const cache::BlobKey& content) {
  MutexLock lock(mutex_);
  const auto known = nodes_.find(content);
  if (known == nodes_.end()) return false;
  forget_closed(known->second);
  if (!known->second.empty()) return true;
  nodes_.erase(known);
  return false;
}

void PassedFiles::forget_closed(Nodes& nodes) {
  if (table_->overflowed()) return;  // everything has to be taken for open
  std::erase_if(nodes,
                [this](const auto& node) { return table_->count(node.first, node.second) == 0; });
}

void PassedFiles::tidy() {
  for (auto at = nodes_.begin(); at != nodes_.end();) {
    forget_closed(at->second);
    at = at->second.empty() ? nodes_.erase(at) : std::next(at);
  }
  tidy_at_ = std::max<std::size_t>(1024, 2 * nodes_.size());
}

}  // namespace hubvfs::fs
