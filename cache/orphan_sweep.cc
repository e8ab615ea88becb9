// SPDX-License-Identifier: Apache-2.0
#include "cache/orphan_sweep.h"

#include <fcntl.h>

#include <optional>
#include <utility>

#include "cache/index_records.h"
#include "cache/names.h"
#include "cache/sidecar.h"

namespace hubvfs::cache {

void take_in_sidecar(StoreContext& context, IndexCommitter& committer,
                     const std::shared_ptr<BlobEntry>& entry) {
  if (entry->small()) return;
  const std::string name = blob_file_name(entry->key()) + std::string(kSidecarSuffix);
  auto file = context.blobs.open_file(name, O_RDONLY);
  if (!file) return;
  const auto sidecar = read_sidecar(file->get(), entry->key().content);
  if (!sidecar || sidecar->header.block_size != context.block_size) return;
  for (const SidecarBlock& block : sidecar->blocks) {
    if (block.length == 0 || block.length != entry->length(block.block)) continue;
    if (!context.quota.reserve(block.length)) return;
    const auto owner = block.trusted ? std::nullopt : std::optional(sidecar->header.owner);
    const auto fill = entry->take_in(block.block, block.checksum, owner);
    if (!fill) {
      context.quota.give_back(block.length);
      continue;
    }
    entry->set_on_disk(true);
    committer.filled(entry, block.block, *fill);
  }
}

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
  if (left_.empty()) {
    context_.swept = true;
    return false;
  }
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
  // What is not named as ours are is left alone.
  for (const std::string& name : names) {
    if (const auto content = parse_blob_name(name)) sweep_blob(*directory, {space, *content}, name);
  }
  for (std::string_view name : names) {  // sidecars without a data file
    if (!name.ends_with(kSidecarSuffix)) continue;
    const std::string map(name);
    name.remove_suffix(kSidecarSuffix.size());
    const auto content = parse_blob_name(name);
    if (!content) continue;
    const auto entry = context_.table.find({space, *content});
    if (entry == nullptr || !entry->on_disk()) (void)directory->remove_file(map).has_value();
  }
}

void OrphanSweep::sweep_blob(const Directory& directory, const BlobKey& key,
                             const std::string& name) {
  const EntryPtr entry = context_.table.add(key, std::nullopt);
  take_in_sidecar(context_, committer_, entry);
  if (!entry->on_disk()) {
    (void)directory.remove_file(name).has_value();
    (void)directory.remove_file(name + std::string(kSidecarSuffix)).has_value();
  } else if (!entry->small()) {
    punch_unknown(*entry);
  }
  if (entry->idle()) on_empty_(entry);
}

void OrphanSweep::punch_unknown(const BlobEntry& known) {
  if (context_.in_use(known)) return;  // passed through when we died: left as it is
  auto file = context_.files.open_to_write(known.number(), blob_file_name(known.key()));
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
