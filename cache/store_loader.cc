// SPDX-License-Identifier: Apache-2.0
#include "cache/store_loader.h"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "cache/index_records.h"
#include "cache/names.h"
#include "cache/sidecar.h"

namespace hubvfs::cache {
namespace {

using EntryPtr = std::shared_ptr<BlobEntry>;
constexpr std::size_t kMaxOperations = 4096;
constexpr std::uint64_t kNoNumber = 0;  // a blob without a file

void raise(std::atomic<std::uint64_t>& counter, std::uint64_t above) {
  if (above != UINT64_MAX && counter.load() <= above) counter = above + 1;
}

// One walk over the index: a namespace's blobs come before its blocks.
class IndexLoad {
 public:
  IndexLoad(StoreContext& context, bool believe_stamps)
      : context_(context), believe_stamps_(believe_stamps) {}

  void take(std::string_view key, std::string_view value) {
    const auto parsed = parse_index_key(key);
    bool known = false;
    if (parsed && parsed->blob) known = take_blob({parsed->space, *parsed->blob}, value);
    if (parsed && parsed->use) known = take_use({parsed->space, *parsed->use}, value);
    if (parsed && parsed->block) known = take_block(parsed->space, *parsed->block, value);
    if (!known && key != state_index_key()) stray_.push_back({std::string(key), std::nullopt});
  }

  // Records that belong to nothing.
  std::vector<IndexChange>& stray() { return stray_; }

 private:
  bool take_blob(const BlobKey& key, std::string_view value) {
    auto record = decode_blob_record(value);
    if (!record || record->number == 0) return false;
    if (!believe_stamps_) record->verified.reset();
    const EntryPtr entry = context_.table.add(key, record->number);
    entry->load(*record);
    entry->set_on_disk(true);
    raise(context_.counters.fill, record->trusted_fill);
    return files_.emplace(std::pair(key.space, record->number), entry).second;
  }

  bool take_block(const Namespace& space, const IndexKey::Block& place, std::string_view value) {
    const auto record = decode_block_record(value);
    const auto at = files_.find({space, place.number});
    if (!record || at == files_.end()) return false;
    BlobEntry& entry = *at->second;
    if (entry.small() || record->length == 0 || record->length != entry.length(place.block)) {
      return false;
    }
    BlockRecord known = *record;
    known.epoch = context_.counters.uses.remember(record->epoch);
    entry.load_block(place.block, known);
    context_.quota.count(record->length);
    raise(context_.counters.fill, record->fill);
    return true;
  }

  bool take_use(const BlobKey& key, std::string_view value) {
    auto record = decode_use_record(value);
    const EntryPtr entry = context_.table.find(key);
    if (!record || entry == nullptr || !entry->small()) return false;
    record->epoch = context_.counters.uses.remember(record->epoch);
    entry->load_use(0, *record);
    return true;
  }

  StoreContext& context_;
  const bool believe_stamps_;
  std::map<std::pair<Namespace, std::uint64_t>, EntryPtr> files_;
  std::vector<IndexChange> stray_;
};

Result<void> apply_in_parts(MetaIndex& index, std::vector<IndexChange>& changes, bool all) {
  if (changes.empty() || (!all && changes.size() < kMaxOperations)) return {};
  auto applied = index.apply(changes);
  changes.clear();
  return applied;
}

// What one sidecar says, put into the table and into `changes`.
void take_sidecar(StoreContext& context, const BlobKey& key, const Sidecar& sidecar,
                  std::vector<IndexChange>& changes) {
  constexpr std::uint64_t kTrustedFill = 1;
  constexpr std::uint64_t kOwnedFill = 2;
  const EntryPtr entry = context.table.add(key, std::nullopt);
  const BlobRecord record{entry->number(), sidecar.header.owner, kTrustedFill, std::nullopt};
  entry->load(record);
  entry->set_on_disk(true);
  changes.push_back({blob_index_key(key), encode(record)});
  for (const SidecarBlock& block : sidecar.blocks) {
    if (block.length == 0 || block.length != entry->length(block.block)) continue;
    const BlockRecord known{block.length, block.checksum, block.trusted ? kTrustedFill : kOwnedFill,
                            context.counters.uses.tick()};
    entry->load_block(block.block, known);
    context.quota.count(block.length);
    changes.push_back({block_index_key(key.space, entry->number(), block.block), encode(known)});
  }
  raise(context.counters.fill, kOwnedFill);
}

Result<void> rebuild_directory(MetaIndex& index, StoreContext& context, const Namespace& space,
                               const Directory& directory, std::vector<IndexChange>& changes) {
  std::vector<std::string> names;
  auto listed = directory.for_each([&](const std::string& name) {
    if (name.ends_with(kSidecarSuffix)) names.push_back(name);
  });
  if (!listed) return listed;
  for (const std::string& name : names) {
    const auto content =
        parse_blob_name(std::string_view(name).substr(0, name.size() - kSidecarSuffix.size()));
    if (!content) continue;
    auto fd = directory.open_file(name, O_RDONLY);
    if (!fd) continue;
    auto sidecar = read_sidecar(fd->get(), *content);
    if (!sidecar || sidecar->header.block_size != context.block_size) {
      context.log.warning("cache: a sidecar that cannot be used: " + escape_for_log(name));
      continue;
    }
    take_sidecar(context, {space, *content}, *sidecar, changes);
    if (auto applied = apply_in_parts(index, changes, false); !applied) return applied;
  }
  return {};
}

}  // namespace

Result<void> load_index(MetaIndex& index, StoreContext& context, bool believe_stamps) {
  IndexLoad load(context, believe_stamps);
  auto walked = index.for_each("", [&](std::string_view key, std::string_view value) {
    load.take(key, value);
    return true;
  });
  if (!walked) return walked;
  return apply_in_parts(index, load.stray(), true);
}

Result<void> rebuild_index(MetaIndex& index, StoreContext& context) {
  std::vector<IndexChange> changes;
  std::vector<std::string> spaces;
  auto listed = context.blobs.for_each([&](const std::string& name) {
    if (is_namespace(name)) spaces.push_back(name);
  });
  if (!listed) return listed;
  for (const std::string& space : spaces) {
    auto top = context.blobs.open_directory(space);
    if (!top) continue;
    std::vector<std::string> names;
    if (auto inner = top->for_each([&](const std::string& name) { names.push_back(name); });
        !inner) {
      return inner;
    }
    for (const std::string& name : names) {
      auto directory = top->open_directory(name);
      if (!directory) continue;
      auto rebuilt = rebuild_directory(index, context, space, *directory, changes);
      if (!rebuilt) return rebuilt;
    }
  }
  return apply_in_parts(index, changes, true);
}

void load_small(StoreContext& context) {
  context.small.for_each([&](const BlobKey& key) {
    if (key.content.size() == 0 || key.content.size() >= kSmallBlob) return;
    const EntryPtr entry = context.table.add(key, kNoNumber);
    const auto length = static_cast<std::uint32_t>(key.content.size());
    // Fill 0 is everybody's: only content found right is stored as a record.
    entry->load_block(0, {length, 0, 0, context.counters.uses.tick()});
    entry->load_verified();
    context.quota.count(length);
  });
}

}  // namespace hubvfs::cache
