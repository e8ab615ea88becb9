// SPDX-License-Identifier: Apache-2.0
// The part of Catalog for commits that are listed a directory at a time.
//
// The Hub promises no order (hub-protocol C.2), so of a recursive listing that is not read to its
// end no directory is known to be complete: what came of it is not kept.
#include <algorithm>

#include "fs/catalog.h"
#include "fs/listing_parts.h"
#include "fs/metadata_keys.h"
#include "fs/node_id.h"

namespace hubvfs::fs {
namespace {

std::shared_ptr<Placed> folder_of(const PlacedPtr& parent, std::uint32_t entry,
                                  std::string directory) {
  auto made = std::make_shared<Placed>(*parent);
  made->parent = parent;
  made->entry = entry;
  made->directory = std::move(directory);
  return made;
}

}  // namespace

// A folder has a higher serial than its parent.
Result<void> Catalog::load_folders() {
  const std::string prefix = key("folder", "");
  std::map<std::uint32_t, std::optional<FolderRecord>> folders;
  auto read = meta_.for_each(options_.own, prefix, [&](std::string_view k, ByteView value) {
    const auto serial = parse_serial(as_bytes(k.substr(prefix.size())));
    if (serial && *serial <= NodeId::kMaxSerial) folders[*serial] = FolderRecord::decode(value);
  });
  if (!read) return read;
  MutexLock lock(mutex_);
  for (const auto& [serial, record] : folders) {
    next_serial_ = std::max(next_serial_, serial + 1);
    const auto parent = record ? placed_.find(record->parent) : placed_.end();
    if (parent == placed_.end() || placed_.contains(serial)) continue;
    const auto made = folder_of(parent->second, record->entry, record->directory);
    made->serial = serial;
    placed_[serial] = made;
    folders_[{record->parent, record->entry}] = serial;
  }
  return {};
}

PlacedPtr Catalog::known_folder(const Placed& placed, std::uint32_t entry) const {
  MutexLock lock(mutex_);
  const auto it = folders_.find({placed.serial, entry});
  return it == folders_.end() ? nullptr : placed_.at(it->second);
}

Result<PlacedPtr> Catalog::folder(const PlacedPtr& placed, const Snapshot& listing,
                                  std::uint32_t entry) {
  if (auto known = known_folder(*placed, entry)) return known;
  const auto made = folder_of(placed, entry, listing.path(entry));
  {
    MutexLock lock(mutex_);
    const auto it = folders_.find({placed->serial, entry});
    if (it != folders_.end()) return placed_.at(it->second);
    if (auto given = give_serial(made); !given) return given.error();
    folders_[{placed->serial, entry}] = made->serial;
  }
  note_unkept(meta_.put(options_.own, key("folder", serial_rest(made->serial)),
                        FolderRecord{placed->serial, entry, made->directory}.encode()),
              "a listing will be asked again after a restart");
  return PlacedPtr(made);
}

void Catalog::ask_directory(const PlacedPtr& placed, const std::string& question,
                            const hub::Terms& terms) {
  list_tree(*placed, false, kNoLimit, terms, [this, placed, question](Result<Entries> entries) {
    if (!entries) return listing_.finish(question, entries.error());
    Snapshot made = Snapshot::build_directory(placed->directory, *entries);
    *entries = {};  // more memory than the snapshot
    take_listing(placed, question, std::move(made));
  });
}

void Catalog::whole_listing(const PlacedPtr& placed, Done<SnapshotPtr> done) {
  snapshot(placed, true,
           [self = self_.lock(), placed, done = std::move(done)](const Result<SnapshotPtr>& got) {
             if (!got || !(*got)->is_one_directory()) return done(got);
             const SnapshotPtr known = self->stored_whole(placed);
             if (known && !known->masked()) return done(known);
             self->ask_whole(placed, done);
           });
}

void Catalog::ask_whole(const PlacedPtr& placed, Done<SnapshotPtr> done) {
  const std::string question = "whole " + std::to_string(placed->serial);
  const auto asked = join(listing_, question, Purpose::kDemand, std::move(done));
  if (!asked) return;
  list_tree(*placed, true, kNoLimit, *asked, [this, placed, question](Result<Entries> entries) {
    if (!entries) return listing_.finish(question, entries.error());
    auto whole = std::make_shared<const Snapshot>(Snapshot::build(*entries));
    *entries = {};
    note_unkept(keep_parts(*placed, *whole), "a listing will be asked again after a restart");
    listing_.finish(question, SnapshotPtr(std::move(whole)));
  });
}

SnapshotPtr Catalog::stored_whole(const PlacedPtr& placed) {
  SnapshotPtr root = stored_snapshot(placed);
  if (!root || !root->is_one_directory()) return root;
  ListingParts parts;
  const auto read = meta_.for_each(placed->space, listing_key(*placed),
                                   [&parts](std::string_view, ByteView value) {
                                     if (auto part = Snapshot::decode(value))
                                       parts.push_back(std::move(*part));
                                   });
  if (!read || !is_whole(parts)) return nullptr;
  return std::make_shared<const Snapshot>(put_together(parts));
}

// What is known of a directory stays: kernels may have its numbers.
Result<void> Catalog::keep_parts(const Placed& placed, const Snapshot& whole) {
  Result<void> kept;
  for (std::uint32_t i = 0; i < whole.size(); ++i) {
    if (!whole.entry(i).is_directory) continue;
    const auto known = meta_.get(placed.space, listing_key(placed, whole.path(i)));
    if (known && *known && Snapshot::decode(**known)) continue;
    if (auto stored = keep_listing(placed, whole.alone(i)); !stored) kept = stored;
  }
  return kept;
}

// By directory where the Hub would be asked so, so that its numbers are those of such a listing.
Result<void> Catalog::keep_learnt(const PlacedPtr& placed, const Snapshot& listing) {
  const SnapshotPtr known = stored_snapshot(placed);
  if (known && !known->is_one_directory()) return {};
  const bool at_once = placed->partial || listing.size() <= options_.most_at_once + 1;
  return !known && at_once ? keep_listing(*placed, listing) : keep_parts(*placed, listing);
}

void Catalog::note_content_changed(const PlacedPtr& placed, const std::string& path) {
  for (PlacedPtr at = placed; at != nullptr;) {
    const SnapshotPtr listing = stored_snapshot(at);
    if (!listing) return;
    if (const auto file = listing->find(path)) return note_content_changed(at->serial, *file);
    if (!listing->is_one_directory()) return;
    const std::size_t begin = at->directory.empty() ? 0 : at->directory.size() + 1;
    const std::size_t end = path.find('/', begin);
    if (end == std::string::npos) return;
    const auto next = listing->find(std::string_view(path).substr(0, end));
    at = next ? known_folder(*at, *next) : nullptr;
  }
}

}  // namespace hubvfs::fs
