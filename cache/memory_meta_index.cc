// SPDX-License-Identifier: Apache-2.0
#include "cache/memory_meta_index.h"

namespace hubvfs::cache {

Result<void> MemoryMetaIndex::apply(std::span<const IndexChange> changes) {
  for (const IndexChange& change : changes) {
    if (change.key.empty() || change.key.size() > 500) {
      return {ErrorCode::kInvalidArgument, "an index key has 1 to 500 bytes"};
    }
  }
  for (const IndexChange& change : changes) {
    if (change.value) {
      records_.insert_or_assign(change.key, *change.value);
    } else {
      records_.erase(change.key);
    }
  }
  return {};
}

Result<std::optional<std::string>> MemoryMetaIndex::get(std::string_view key) {
  const auto at = records_.find(key);
  if (at == records_.end()) return std::optional<std::string>();
  return std::optional(at->second);
}

Result<void> MemoryMetaIndex::for_each(
    std::string_view prefix,
    const std::function<bool(std::string_view key, std::string_view value)>& visit) {
  for (auto at = records_.lower_bound(prefix);
       at != records_.end() && at->first.starts_with(prefix); ++at) {
    if (!visit(at->first, at->second)) break;
  }
  return {};
}

}  // namespace hubvfs::cache
