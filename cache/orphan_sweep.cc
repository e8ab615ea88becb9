// SPDX-License-Identifier: Apache-2.0
#include "cache/orphan_sweep.h"

#include <fcntl.h>

#include <memory>
#include <utility>

#include "cache/index_records.h"
#include "cache/names.h"

namespace hubvfs::cache {

void OrphanSweep::list() {
  auto listed = context_.blobs.for_each([&](const std::string& space) {
    if (!is_namespace(space)) return;
    auto directory = context_.blobs.open_directory(space);
    if (!directory) return;
    (void)directory->for_each([&](const std::string& name) { left_.emplace_back(space, name); })
        .has_value();
  });
  if (!listed) context_.log.warning("cache: " + listed.error().context);
}

bool OrphanSweep::step() {
  if (!std::exchange(listed_, true)) list();
  if (left_.empty()) return false;
  const auto [space, name] = std::move(left_.back());
  left_.pop_back();
  sweep(space, name);
  return true;
}

void OrphanSweep::sweep(const std::string& space, const std::string& directory_name) {
  const std::string path = space + "/" + directory_name;
  auto directory = context_.blobs.open_directory(path);
  if (!directory) return;
  std::vector<std::string> names;
  if (auto listed = directory->for_each([&](const std::string& name) { names.push_back(name); });
      !listed) {
    return;
  }
  for (const std::string& name : names) {
    std::string_view blob = name;
    const bool is_map = blob.ends_with(kSidecarSuffix);
    if (is_map) blob.remove_suffix(kSidecarSuffix.size());
    const auto content = parse_blob_name(blob);
    if (!content) continue;  // not ours: left alone
    const auto entry = context_.table.find({space, *content});
    if (entry == nullptr || !entry->on_disk()) {
      (void)directory->remove_file(name).has_value();
    } else if (!is_map) {
      punch_unknown(*entry, path + "/" + name);
    }
  }
}

void OrphanSweep::punch_unknown(const BlobEntry& known, const std::string& name) {
  auto file = context_.files.open(known.number(), name);
  if (!file) return;
  std::uint64_t from = 0;
  const auto punch_to = [&](std::uint64_t block) {
    if (block > from) {
      (void)::fallocate((*file)->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(from * context_.block_size),
                        static_cast<off_t>((block - from) * context_.block_size));
    }
    from = block + 1;
  };
  for (const std::uint64_t block : known.blocks_on_disk()) punch_to(block);
  punch_to(known.block_count());
}

}  // namespace hubvfs::cache
