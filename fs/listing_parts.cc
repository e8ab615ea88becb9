// SPDX-License-Identifier: Apache-2.0
#include "fs/listing_parts.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

namespace hubvfs::fs {

bool is_whole(const ListingParts& parts) {
  const auto came_whole = [](const Snapshot& part) { return !part.is_one_directory(); };
  if (std::any_of(parts.begin(), parts.end(), came_whole)) return true;
  std::unordered_set<std::string> listed;
  for (const Snapshot& part : parts) listed.insert(part.directory());
  if (!listed.contains("")) return false;
  for (const Snapshot& part : parts) {
    for (std::uint32_t i = 1; i < part.size(); ++i) {
      if (part.entry(i).is_directory && !listed.contains(part.path(i))) return false;
    }
  }
  return true;
}

Snapshot put_together(const ListingParts& parts) {
  std::vector<hub::TreeEntry> entries;
  for (const Snapshot& part : parts) {
    for (std::uint32_t i = 1; i < part.size(); ++i) {
      const Snapshot::Entry entry = part.entry(i);
      const auto kind =
          entry.is_directory ? hub::TreeEntry::Kind::kDirectory : hub::TreeEntry::Kind::kFile;
      entries.push_back({kind, part.path(i), entry.size, entry.is_lfs, entry.content});
    }
  }
  return Snapshot::build(entries);
}

}  // namespace hubvfs::fs
