// SPDX-License-Identifier: Apache-2.0
#include "fs/hub_filesystem.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kForever = std::chrono::hours(24 * 365);
constexpr Duration kWhileChanging = std::chrono::seconds(1);
constexpr Duration kTick = std::chrono::seconds(1);
constexpr std::size_t kUncountedOpenFiles = 4096;
constexpr const char* kControlDir = ".hubvfs";

Error stale() { return {ErrorCode::kStale, "the node id means nothing any more"}; }

}  // namespace

Result<std::shared_ptr<Operations>> Operations::create(
    const OperationsOptions& options, hub::HubClient& hub, cache::BlobStore& store,
    cache::MetaStore& meta, KernelNotifier& notifier, Logger& log, const Clock& clock) {
  auto catalog = Catalog::create(options, hub, meta, notifier, log, clock);
  if (!catalog) return catalog.error();
  return std::shared_ptr<Operations>(
      std::make_shared<HubFilesystem>(options, *catalog, hub, store, log, clock));
}

HubFilesystem::HubFilesystem(const OperationsOptions& options, std::shared_ptr<Catalog> catalog,
                             hub::HubClient& hub, cache::BlobStore& store, Logger& log,
                             const Clock& clock)
    : options_(options),
      catalog_(std::move(catalog)),
      hub_(hub),
      store_(store),
      log_(log),
      clock_(clock),
      started_(clock.unix_now()),
      reader_({options.endpoint, options.read_deadline, options.memory_budget}, hub, store, log,
              clock),
      housekeeper_([this] { housekeeping(); }) {}

HubFilesystem::~HubFilesystem() { close(); }

void HubFilesystem::close() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stopping_cv_.notify_all();
  }
  if (housekeeper_.joinable()) housekeeper_.join();
  catalog_->close();
  reader_.close();
}

void HubFilesystem::housekeeping() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (!stopping_) stopping_cv_.wait_for(mutex_, kTick);
      if (stopping_) return;
    }
    reader_.expire();
  }
}

// ---- nodes

void HubFilesystem::locate(NodeId node, Reply<Located> reply) {
  if (node.serial == 0) {
    const auto name = catalog_->names().at(node.entry);
    if (!name || name->kind != NameTable::Kind::kRepo) return reply(stale());
    return locate_repo_name(*name, std::move(reply));
  }
  const PlacedPtr placed = catalog_->placed(node.serial);
  if (!placed) return reply(stale());
  locate_in(placed, node.entry, std::move(reply));
}

void HubFilesystem::locate_repo_name(const NameTable::Name& name, Reply<Located> reply) {
  if (name.serial != 0) {
    const PlacedPtr placed = catalog_->placed(name.serial);
    if (!placed) return reply(stale());
    return locate_in(placed, 0, std::move(reply));
  }
  catalog_->resolve(place_of(name), [self = shared_from_this(), name, reply = std::move(reply)](
                                        const Result<Catalog::Resolved>& answer) {
    if (!answer) return reply(answer.error());
    if (!answer->placed) return reply(stale());  // renamed since it was listed
    if (auto bound = self->catalog_->names().bind(name.number, answer->placed->serial); !bound) {
      self->log_.warning(bound.error().context);
    }
    self->locate_in(answer->placed, 0, reply);
  });
}

void HubFilesystem::locate_in(const PlacedPtr& placed, std::uint32_t number,
                              Reply<Located> reply) {
  catalog_->snapshot(placed, false,
                     [placed, number, reply = std::move(reply)](const Result<SnapshotPtr>& got) {
                       if (!got) return reply(got.error());
                       if (number >= (*got)->size()) return reply(stale());
                       reply(Located{placed, *got, number});
                     });
}

Place HubFilesystem::place_of(const NameTable::Name& name) const {
  const auto owner = catalog_->names().at(name.parent);
  const auto place = Place::parse(owner ? owner->name : "", name.name);
  return place ? *place : Place{name.name, ""};
}

// ---- entries

Entry HubFilesystem::absent(Duration timeout) const {
  Entry entry;
  entry.exists = false;
  entry.entry_timeout = timeout;
  return entry;
}

Entry HubFilesystem::directory(NodeId node, UnixSeconds modified, Duration entry_timeout) const {
  Entry entry;
  entry.attributes.node = node;
  entry.attributes.kind = Attributes::Kind::kDirectory;
  entry.attributes.mode = S_IFDIR | (options_.shared ? 0555 : 0500);
  entry.attributes.uid = options_.uid;
  entry.attributes.gid = options_.gid;
  entry.attributes.modified = modified;
  entry.entry_timeout = entry_timeout;
  entry.attribute_timeout = kForever;
  return entry;
}

Entry HubFilesystem::placed_entry(const PlacedPtr& placed) const {
  return directory({false, placed->serial, 0}, placed->info.last_modified,
                   placed->place.pinned() ? kForever : options_.metadata_ttl);
}

Entry HubFilesystem::name_entry(const NameTable::Name& name) {
  if (name.kind == NameTable::Kind::kRepo) {
    if (const PlacedPtr shown = catalog_->known(place_of(name))) return placed_entry(shown);
  }
  Entry entry = directory({false, 0, name.number}, name.modified,
                          name.kind == NameTable::Kind::kRepo ? options_.metadata_ttl : kForever);
  if (name.kind == NameTable::Kind::kSymlink) {
    entry.attributes.kind = Attributes::Kind::kSymlink;
    entry.attributes.mode = S_IFLNK | 0777;
    entry.attributes.size = name.target.size();
  }
  return entry;
}

Entry HubFilesystem::snapshot_entry(const Located& at) const {
  const Snapshot::Entry& file = at.entry();
  const NodeId node{false, at.placed->serial, at.number};
  const UnixSeconds modified = at.placed->info.last_modified;
  if (at.number == 0) return placed_entry(at.placed);
  if (file.is_directory) return directory(node, modified, kForever);
  Entry entry = directory(node, modified, kForever);
  entry.attributes.kind = Attributes::Kind::kFile;
  entry.attributes.mode = S_IFREG | (options_.shared ? 0444 : 0400);
  entry.attributes.size = file.size;
  entry.attribute_timeout = kWhileChanging;
  std::uint64_t cached = 0;
  if (file.content) {
    const auto blob = store_.open({at.placed->space, *file.content}, options_.endpoint);
    if (blob) cached = (*blob)->cached_bytes();
  }
  if (cached == file.size && file.content) entry.attribute_timeout = kForever;
  // Some archivers take a non-empty file of no blocks for a hole.
  entry.attributes.blocks = (std::max<std::uint64_t>(cached, file.size != 0 ? 1 : 0) + 511) / 512;
  return entry;
}

std::optional<std::string> HubFilesystem::control_text(std::uint32_t number) const {
  if (number == kStatusEntry) return status_json() + "\n";
  if (number == kVersionEntry) return std::string(HUBVFS_VERSION) + "\n";
  return {};
}

Entry HubFilesystem::control_entry(std::uint32_t number) const {
  Entry entry = directory({false, 0, number}, started_, kForever);
  const auto text = control_text(number);
  if (!text) return entry;
  entry.attributes.kind = Attributes::Kind::kFile;
  entry.attributes.mode = S_IFREG | (options_.shared ? 0444 : 0400);
  entry.attributes.size = text->size();
  entry.attributes.blocks = 1;
  entry.attribute_timeout = Duration::zero();
  return entry;
}

// ---- lookup

void HubFilesystem::lookup(NodeId parent, const std::string& name, Reply<Entry> reply) {
  if (name.size() > 255) return reply(Error{ErrorCode::kNameTooLong, "a name over 255 bytes"});
  if (parent.serial == 0) {
    if (parent.entry == kRootEntry) return lookup_at_root(name, std::move(reply));
    if (parent.entry == kControlDirEntry) return lookup_control(name, reply);
    const auto entry = catalog_->names().at(parent.entry);
    if (entry && entry->kind == NameTable::Kind::kOwner) {
      return lookup_repo(*entry, name, std::move(reply));
    }
  }
  locate(parent, [self = shared_from_this(), name,
                  reply = std::move(reply)](const Result<Located>& at) {
    if (!at) return reply(at.error());
    if (!at->entry().is_directory) {
      return reply(Error{ErrorCode::kNotDirectory, "looked up in a file"});
    }
    const auto child = at->snapshot->child(at->number, name);
    // The listing of a commit never changes, and neither does what is not in it.
    if (!child) return reply(self->absent(kForever));
    reply(self->snapshot_entry({at->placed, at->snapshot, *child}));
  });
}

void HubFilesystem::lookup_control(const std::string& name, const Reply<Entry>& reply) {
  if (name == "status.json") return reply(control_entry(kStatusEntry));
  if (name == "version") return reply(control_entry(kVersionEntry));
  reply(absent(kForever));
}

void HubFilesystem::lookup_at_root(const std::string& name, Reply<Entry> reply) {
  if (name == kControlDir) return reply(control_entry(kControlDirEntry));
  if (!Place::parse("", name)) return reply(absent(kForever));  // the Hub would refuse it
  if (const auto known = catalog_->names().find(kRootEntry, name)) {
    return reply(name_entry(*known));
  }
  catalog_->find_root_name(name, [self = shared_from_this(), name, reply = std::move(reply)](
                                     const Result<NameTable::Name>& found) {
    if (found) return reply(self->name_entry(*found));
    if (found.error().code != ErrorCode::kNotFound) return reply(found.error());
    reply(self->absent(self->catalog_->absent_for(name)));
  });
}

void HubFilesystem::lookup_repo(const NameTable::Name& owner, const std::string& name,
                                Reply<Entry> reply) {
  const auto place = Place::parse(owner.name, name);
  if (!place) return reply(absent(kForever));
  if (const PlacedPtr shown = catalog_->known(*place)) return reply(placed_entry(shown));
  const auto known = catalog_->names().find(owner.number, name);
  if (known && (known->listed || known->kind == NameTable::Kind::kSymlink)) {
    return reply(name_entry(*known));
  }
  if (options_.offline && catalog_->was_listed(owner.name)) {
    return reply(absent(options_.metadata_ttl));
  }
  catalog_->resolve(*place, [self = shared_from_this(), owner, name, place = *place,
                             reply = std::move(reply)](const Result<Catalog::Resolved>& answer) {
    self->take_repo(owner, name, place, answer, reply);
  });
}

void HubFilesystem::take_repo(const NameTable::Name& owner, const std::string& name,
                              const Place& place, const Result<Catalog::Resolved>& answer,
                              const Reply<Entry>& reply) {
  if (!answer) {
    if (answer.error().code != ErrorCode::kNotFound) return reply(answer.error());
    return reply(absent(catalog_->absent_for(place.text())));
  }
  if (answer->placed) return reply(placed_entry(answer->placed));
  Place target = place;
  target.repo = answer->renamed;
  NameTable::Name link;
  link.parent = owner.number;
  link.kind = NameTable::Kind::kSymlink;
  link.name = name;
  link.target = "../" + (target.owner().empty() ? "" : target.owner() + "/") + target.name();
  const auto put = catalog_->names().put(link);
  if (!put) return reply(put.error());
  reply(name_entry(*put));
}

void HubFilesystem::getattr(NodeId node, Reply<Entry> reply) {
  if (node.serial == 0) {
    if (node.entry == kRootEntry) return reply(directory(node, started_, kForever));
    if (node.entry < kFirstName) return reply(control_entry(node.entry));
    const auto name = catalog_->names().at(node.entry);
    if (!name) return reply(stale());
    // A repo known by name stays the node it is, though a new walk may find its commit's.
    Entry entry = name->kind == NameTable::Kind::kRepo
                      ? directory(node, name->modified, options_.metadata_ttl)
                      : name_entry(*name);
    return reply(entry);
  }
  if (node.entry == 0) {
    const PlacedPtr placed = catalog_->placed(node.serial);
    if (!placed) return reply(stale());
    return reply(placed_entry(placed));
  }
  locate(node, [self = shared_from_this(), reply = std::move(reply)](const Result<Located>& at) {
    if (!at) return reply(at.error());
    reply(self->snapshot_entry(*at));
  });
}

void HubFilesystem::readlink(NodeId node, Reply<std::string> reply) {
  const auto name = node.serial == 0 ? catalog_->names().at(node.entry) : std::nullopt;
  if (!name || name->kind != NameTable::Kind::kSymlink) {
    return reply(Error{ErrorCode::kInvalidArgument, "not a symlink"});
  }
  reply(name->target);
}

// ---- directories

void HubFilesystem::opendir(NodeId node, Reply<OpenFlags> reply) {
  const auto listed = [reply](const Result<bool>& done) {
    if (!done) return reply(done.error());
    reply(OpenFlags{});
  };
  if (node.serial == 0) {
    if (node.entry == kRootEntry) return catalog_->list_root(listed);
    if (node.entry == kControlDirEntry) return reply(OpenFlags{});
    const auto name = catalog_->names().at(node.entry);
    if (!name) return reply(stale());
    if (name->kind == NameTable::Kind::kOwner) return catalog_->list_owner(*name, listed);
  }
  locate(node, [reply](const Result<Located>& at) {
    if (!at) return reply(at.error());
    if (!at->entry().is_directory) return reply(Error{ErrorCode::kNotDirectory, "a file"});
    OpenFlags flags;
    flags.keep_cache = true;
    flags.cache_listing = true;
    reply(flags);
  });
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
    const auto names = catalog_->names().children(parent, after, kBatch);
    if (names.empty()) return;
    for (const NameTable::Name& name : names) {
      after = name.number;
      if (!fill({name.name, static_cast<std::uint64_t>(name.number) + 3, name_entry(name)})) return;
    }
  }
}

void HubFilesystem::fill_snapshot(const Located& at, std::uint64_t cookie,
                                  const Fill& fill) const {
  const Snapshot::Entry& directory = at.entry();
  const std::uint64_t from = std::max<std::uint64_t>(cookie > 3 ? cookie - 3 + 1 : 0,
                                                     directory.first_child);
  const std::uint64_t end = directory.first_child + directory.child_count;
  for (std::uint64_t number = from; number < end; ++number) {
    const Located child{at.placed, at.snapshot, static_cast<std::uint32_t>(number)};
    if (!fill({child.entry().name, number + 3, snapshot_entry(child)})) return;
  }
}

void HubFilesystem::readdir(NodeId node, std::uint64_t cookie, Fill fill, Done reply) {
  if (!fill_dots(node, cookie, fill)) return reply({});
  if (node.serial == 0 && node.entry == kControlDirEntry) {
    std::uint64_t at = 2;
    for (const auto& [name, entry] :
         {std::pair("status.json", kStatusEntry), std::pair("version", kVersionEntry)}) {
      if (cookie <= at && !fill({name, at + 1, control_entry(entry)})) break;
      ++at;
    }
    return reply({});
  }
  if (node.serial == 0) {
    const auto name = catalog_->names().at(node.entry);
    if (node.entry == kRootEntry) {
      if (cookie <= 2 && !fill({kControlDir, 3, control_entry(kControlDirEntry)})) return reply({});
      fill_names(kRootEntry, cookie, fill);
      return reply({});
    }
    if (!name) return reply(stale());
    if (name->kind == NameTable::Kind::kOwner) {
      fill_names(node.entry, cookie, fill);
      return reply({});
    }
  }
  locate(node, [self = shared_from_this(), cookie, fill = std::move(fill),
                reply = std::move(reply)](const Result<Located>& at) {
    if (!at) return reply(at.error());
    self->fill_snapshot(*at, cookie, fill);
    reply({});
  });
}

// ---- files

Error HubFilesystem::gated(const Located& at) {
  return {ErrorCode::kGated, at.placed->info.id.name + " is gated and not granted"};
}

void HubFilesystem::open(NodeId node, Reply<OpenFlags> reply) {
  if (node.passthrough) return reply(stale());  // looked up again, as the node that is read
  if (node.serial == 0 && control_text(node.entry)) {
    OpenFlags flags;
    flags.direct_io = true;
    return reply(flags);
  }
  locate(node, [self = shared_from_this(), node,
                reply = std::move(reply)](const Result<Located>& at) {
    if (!at) return reply(at.error());
    if (at->entry().is_directory) return reply(Error{ErrorCode::kIsDirectory, "a directory"});
    self->open_located(node, *at, false, reply);
  });
}

void HubFilesystem::open_located(NodeId node, const Located& at, bool asked_again,
                                 Reply<OpenFlags> reply) {
  OpenFlags flags;
  flags.keep_cache = true;
  if (!at.entry().content) {
    if (asked_again) return reply(gated(at));
    return catalog_->snapshot(
        at.placed, true,
        [self = shared_from_this(), node, at, reply](const Result<SnapshotPtr>& again) {
          if (!again) return reply(again.error());
          if (at.number >= (*again)->size()) return reply(stale());
          self->open_located(node, {at.placed, *again, at.number}, true, reply);
        });
  }
  auto blob = open_blob(at);
  if (!blob) return reply(blob.error());
  catalog_->note_open(*at.placed);
  const auto opened = [self = shared_from_this(), node, blob = *blob, flags,
                       reply](const Result<ByteView>& first) {
    if (!first) return reply(first.error());
    self->keep_open(node, blob, 1);
    reply(flags);
  };
  // Whoever may list a gated repo may not always read it: its first byte tells.
  const bool must_ask = at.placed->info.gate != hub::Gate::kNone && at.entry().size != 0 &&
                        !Reader::stored(**blob).complete();
  if (!must_ask) return opened(ByteView());
  reader_.read(*blob, {0, 1}, opened);
}

Result<std::shared_ptr<OpenBlob>> HubFilesystem::open_blob(const Located& at) {
  const Snapshot::Entry& entry = at.entry();
  if (!entry.content) return gated(at);
  return reader_.open(at.placed->space, {at.placed->info.id, at.placed->info.commit,
                                         at.snapshot->path(at.number), entry.is_lfs,
                                         *entry.content});
}

void HubFilesystem::keep_open(NodeId node, const std::shared_ptr<OpenBlob>& blob, int opens) {
  MutexLock lock(mutex_);
  if (opens == 0 && open_files_.size() > kUncountedOpenFiles) {
    std::erase_if(open_files_, [](const auto& item) { return item.second.opens == 0; });
  }
  OpenFile& file = open_files_[node.raw()];
  file.blob = blob;
  file.opens += opens;
}

void HubFilesystem::release(NodeId node) {
  OpenFile last;  // let go after the lock
  MutexLock lock(mutex_);
  const auto it = open_files_.find(node.raw());
  if (it == open_files_.end() || --it->second.opens > 0) return;
  last = std::move(it->second);
  open_files_.erase(it);
}

void HubFilesystem::read(NodeId node, std::uint64_t offset, std::size_t size,
                         std::function<void(const Result<ByteView>&)> reply) {
  if (node.serial == 0) {
    const auto text = control_text(node.entry);
    if (!text) return reply(Error{ErrorCode::kIsDirectory, "not a file"});
    const std::string_view rest = std::string_view(*text).substr(std::min(offset, text->size()));
    return reply(as_bytes(rest.substr(0, size)));
  }
  std::shared_ptr<OpenBlob> blob;
  {
    MutexLock lock(mutex_);
    const auto it = open_files_.find(node.raw());
    if (it != open_files_.end()) blob = it->second.blob;
  }
  const auto read_blob = [self = shared_from_this(), offset, size,
                          reply](const std::shared_ptr<OpenBlob>& opened) {
    const std::uint64_t length = Reader::stored(*opened).key().content.size();
    if (offset >= length || size == 0) return reply(ByteView());
    self->reader_.read(opened, {offset, offset + std::min<std::uint64_t>(size, length - offset)},
                       reply);
  };
  if (blob) return read_blob(blob);
  // Opened in an earlier worker's life: found again from the node alone.
  locate(node, [self = shared_from_this(), node, read_blob, reply](const Result<Located>& at) {
    if (!at) return reply(at.error());
    const auto opened = self->open_blob(*at);
    if (!opened) return reply(opened.error());
    self->keep_open(node, *opened, 0);
    read_blob(*opened);
  });
}

FilesystemSpace HubFilesystem::space() const {
  const cache::StoreStats stats = store_.stats();
  FilesystemSpace space;
  space.block_size = store_.block_size();
  space.blocks = stats.size_limit / space.block_size;
  const std::uint64_t used = (stats.bytes_used + space.block_size - 1) / space.block_size;
  space.free_blocks = space.blocks - std::min(space.blocks, used);
  return space;
}

}  // namespace hubvfs::fs
