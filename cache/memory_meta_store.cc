// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "cache/memory_cache.h"
#include "cache/names.h"

namespace hubvfs::cache {

Result<void> MemoryMetaStore::put(const Namespace& space, std::string_view key, ByteView value) {
  if (auto named = check_meta_key(space, key); !named) return named.error();
  auto bytes = std::make_shared<const Bytes>(value.begin(), value.end());
  MutexLock lock(mutex_);
  spaces_[space][std::string(key)] = std::move(bytes);
  return {};
}

Result<void> MemoryMetaStore::erase(const Namespace& space, std::string_view key) {
  if (auto named = check_meta_key(space, key); !named) return named.error();
  MutexLock lock(mutex_);
  Values& values = spaces_[space];
  const auto at = values.find(key);
  if (at != values.end()) values.erase(at);
  return {};
}

Result<std::optional<Bytes>> MemoryMetaStore::get(const Namespace& space,
                                                  std::string_view key) const {
  if (auto named = check_meta_key(space, key); !named) return named.error();
  MutexLock lock(mutex_);
  const auto values = spaces_.find(space);
  if (values == spaces_.end()) return std::optional<Bytes>();
  const auto at = values->second.find(key);
  if (at == values->second.end()) return std::optional<Bytes>();
  return std::optional<Bytes>(*at->second);
}

Result<void> MemoryMetaStore::for_each(
    const Namespace& space, std::string_view prefix,
    const std::function<void(std::string_view key, ByteView value)>& visit) const {
  std::vector<std::pair<std::string, std::shared_ptr<const Bytes>>> found;
  {
    MutexLock lock(mutex_);
    const auto values = spaces_.find(space);
    if (values == spaces_.end()) return {};
    for (auto at = values->second.lower_bound(prefix);
         at != values->second.end() && at->first.starts_with(prefix); ++at) {
      found.emplace_back(*at);
    }
  }
  for (const auto& [key, value] : found) visit(key, *value);
  return {};
}

}  // namespace hubvfs::cache
