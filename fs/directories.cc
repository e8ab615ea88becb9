// SPDX-License-Identifier: Apache-2.0
// The part of HubFilesystem that lists directories.
#include <algorithm>

#include "fs/hub_filesystem.h"

namespace hubvfs::fs {

void HubFilesystem::opendir(NodeId node, Reply<OpenFlags> reply) {
  reply = hold<OpenFlags>("list", node, std::move(reply));
  if (!reply) return;
  const auto listed = [reply](const Result<bool>& done) {
    if (!done) return reply(done.error());
    reply(OpenFlags{});
  };
  if (in_hf_cache(node)) {
    const auto checked = hf_->check_folder(node);
    return reply(checked ? Result<OpenFlags>(OpenFlags{}) : checked.error());
  }
  if (in_tree(node)) {
    if (node.entry == kRootEntry) return parts_.catalog->list_root(listed);
    if (node.entry == kControlDirEntry) return reply(OpenFlags{});
    const auto name = parts_.catalog->names().at(node.entry);
    if (!name) return reply(stale());
    if (name->kind == NameTable::Kind::kOwner) return parts_.catalog->list_owner(*name, listed);
  }
  // The folder of node 1 changes with the commit that its place shows.
  const bool constant = !is_repo_root(node) || pinned();
  const auto opened = [constant, reply](const Result<Located>& at) {
    if (!at) return reply(at.error());
    OpenFlags flags;
    flags.keep_cache = constant;
    flags.cache_listing = constant;
    reply(flags);
  };
  locate_inside(node, opened, Purpose::kCrawl);
}

// Cookies: 1 and 2 for the dots, then an entry's number + 3, so that a name which is added while
// somebody lists neither repeats nor hides another.
bool HubFilesystem::fill_dots(NodeId node, std::uint64_t& cookie, const Fill& fill) const {
  for (const std::string_view dots : {".", ".."}) {
    if (cookie >= dots.size()) continue;
    if (!fill({dots, dots.size(), directory(node, 0, Duration::zero())})) return false;
    cookie = dots.size();
  }
  return true;
}

void HubFilesystem::fill_names(std::uint32_t parent, std::uint64_t cookie, const Fill& fill) {
  constexpr std::size_t kBatch = 256;
  auto after = static_cast<std::uint32_t>(cookie > 3 ? cookie - 3 : 0);
  for (;;) {
    const auto names = parts_.catalog->names().children(parent, after, kBatch);
    if (names.empty()) return;
    for (const NameTable::Name& name : names) {
      after = name.number;
      if (!fill({name.name, static_cast<std::uint64_t>(name.number) + 3, listed_entry(name)}))
        return;
    }
  }
}

// Right below node 1 of one repo's mount a cookie tells the serial too: a listing goes on in the
// commit in which it was begun.
void HubFilesystem::fill_snapshot(NodeId node, const Located& at, std::uint64_t cookie,
                                  const Fill& fill) {
  const std::uint64_t base =
      is_repo_root(node) ? static_cast<std::uint64_t>(at.placed->root().serial) << 32 : 0;
  const Duration kept = name_timeout(node, at.placed);
  const Snapshot::Entry& directory = at.entry();
  const auto after = static_cast<std::uint32_t>(cookie);
  const std::uint64_t from =
      std::max<std::uint64_t>(after > 3 ? after - 3 + 1 : 0, directory.first_child);
  const std::uint64_t end = directory.first_child + directory.child_count;
  for (std::uint64_t number = from; number < end; ++number) {
    const Located child{at.placed, at.snapshot, static_cast<std::uint32_t>(number), at.view};
    Entry entry = snapshot_entry(child);
    entry.entry_timeout = std::min(entry.entry_timeout, kept);
    if (!fill({child.entry().name, base + number + 3, entry})) return;
  }
}

void HubFilesystem::fill_root(std::uint64_t cookie, const Fill& fill) {
  if (cookie <= 2 && !fill({kControlDir, 3, control_entry(kControlDirEntry)})) return;
  if (cookie <= 3 && !fill({kHfCacheDir, 4, hf_->root_entry()})) return;
  fill_names(kRootEntry, cookie, fill);
}

void HubFilesystem::fill_control(std::uint64_t cookie, const Fill& fill) const {
  std::uint64_t at = 2;
  for (const auto& [name, entry] :
       {std::pair("status.json", kStatusEntry), std::pair("version", kVersionEntry)}) {
    if (cookie <= at && !fill({name, at + 1, control_entry(entry)})) return;
    ++at;
  }
}

// Nothing is filled in once the mount is closed: what `fill` writes to is gone with the reply.
void HubFilesystem::readdir(NodeId node, std::uint64_t cookie, Fill fill, Done reply) {
  const auto owed = pending_.owe<void>(telling<void>("list", node, std::move(reply)));
  if (!owed) return;
  const auto give = [owed, self = shared_from_this(), node, cookie,
                     fill = std::move(fill)](const auto& fill_items) {
    owed->run([&](const Done& done) {
      std::uint64_t at = cookie;
      if (self->fill_dots(node, at, fill)) fill_items(at, fill);
      done({});
    });
  };
  if (in_hf_cache(node)) {
    return give([this, node](std::uint64_t at, const Fill& to) { hf_->fill(node, at, to); });
  }
  if (in_tree(node)) {
    const auto name = parts_.catalog->names().at(node.entry);
    if (node.entry == kRootEntry) {
      return give([this](std::uint64_t at, const Fill& to) { fill_root(at, to); });
    }
    if (node.entry == kControlDirEntry) {
      return give([this](std::uint64_t at, const Fill& to) { fill_control(at, to); });
    }
    if (!name) return owed->give(stale());
    if (name->kind == NameTable::Kind::kOwner) {
      return give([&](std::uint64_t at, const Fill& to) { fill_names(node.entry, at, to); });
    }
  }
  const auto give_located = [owed, give, node,
                             self = shared_from_this()](const Result<Located>& located) {
    if (!located) return owed->give(located.error());
    give([&](std::uint64_t at, const Fill& to) { self->fill_snapshot(node, *located, at, to); });
  };
  const auto begun_in = static_cast<std::uint32_t>(cookie >> 32);
  if (!is_repo_root(node) || begun_in == 0) {
    return locate_inside(node, give_located, Purpose::kCrawl);
  }
  const PlacedPtr placed = parts_.catalog->placed(begun_in);
  if (!placed) return owed->give(stale());
  locate_folder(placed, give_located);
}

}  // namespace hubvfs::fs
