// SPDX-License-Identifier: Apache-2.0
#include "fs/hub_filesystem.h"

#include <sys/stat.h>

#include <algorithm>

#include "fs/failure_lines.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kWhileChanging = std::chrono::seconds(1);

}  // namespace

std::shared_ptr<HubFilesystem> HubFilesystem::create(const BackendOptions& options,
                                                     const MountOptions& mount,
                                                     const MountParts& parts,
                                                     KernelNotifier& notifier) {
  std::shared_ptr<HubFilesystem> made(new HubFilesystem(options, mount, parts, notifier));
  for (const auto& catalog : parts.catalogs) {
    if (catalog) catalog->add_listener(made);
  }
  return made;
}

HubFilesystem::HubFilesystem(const BackendOptions& options, const MountOptions& mount,
                             const MountParts& parts, KernelNotifier& notifier)
    : options_(options),
      mount_(mount),
      place_(mount.repo ? mount.repo->place() : Place{}),
      parts_(parts),
      owner_{options.uid, options.gid, mount.shared},
      started_(parts.clock.unix_now()),
      hf_(mount.repo
              ? nullptr
              : std::make_shared<const HfView>(HfView::Options{owner_, options.metadata_ttl,
                                                               options.metadata_deadline, started_},
                                               parts.catalogs, parts.hub, parts.clock)),
      notifier_(&notifier) {}

HubFilesystem::~HubFilesystem() { close(); }

void HubFilesystem::close() {
  {
    MutexLock lock(notifier_mutex_);
    notifier_ = nullptr;
  }
  pending_.close({ErrorCode::kCancelled, "the mount is ending"});
}

void HubFilesystem::place_changed(hub::RepoType type, const Place& place, const PlacedPtr& before) {
  if (type != parts_.catalog->type()) return;  // what .hf-cache shows is asked for each time
  if (mount_.repo) {
    if (place.text() == place_.text()) forget_names_below_root(before);
    return;
  }
  std::uint64_t parent = kRootEntry;
  if (!place.owner().empty()) {
    const auto owner = parts_.catalog->names().find(kRootEntry, place.owner());
    if (!owner) return;
    parent = owner->number;
  }
  MutexLock lock(notifier_mutex_);
  if (notifier_ != nullptr) notifier_->invalidate_entry(parent, place.name());
}

void HubFilesystem::content_changed(hub::RepoType type, std::uint32_t serial, std::uint32_t entry) {
  std::vector<NodeId> nodes;
  if (type == parts_.catalog->type()) nodes.push_back({false, serial, entry});
  if (hf_ != nullptr) {  // .hf-cache shows commits by their id alone
    const View view = HfView::of(type);
    const PlacedPtr placed = catalog(view).placed(serial);
    if (placed && placed->place.pinned()) nodes.push_back({false, serial, entry, view});
  }
  for (const NodeId node : nodes) {
    forget_name_of(node);
    MutexLock lock(notifier_mutex_);
    if (notifier_ != nullptr) notifier_->invalidate_attributes(node.raw());
  }
}

// ---- what failed

// The repo, or what might be one.
std::string HubFilesystem::subject_of(NodeId node, const std::string& name) const {
  if (mount_.repo) return place_.text();
  if (in_hf_cache(node)) return hf_->subject(node);
  if (node.serial != 0) {
    const PlacedPtr placed = placed_of(node);
    return placed ? placed->place.text() : "";
  }
  const auto known = parts_.catalog->names().at(node.entry);
  if (!known) return name;  // the root's
  if (known->kind == NameTable::Kind::kRepo) return place_of(*known).text();
  return name.empty() ? known->name : known->name + "/" + name;
}

void HubFilesystem::tell(const char* operation, const std::string& subject,
                         const Error& error) const {
  note_failure(*parts_.failures, operation, subject, error);
}

// ---- nodes

Error HubFilesystem::stale() { return {ErrorCode::kStale, "the node id means nothing any more"}; }

PlacedPtr HubFilesystem::placed_of(NodeId node) const {
  if (node.view != View::kTree && hf_ == nullptr) return nullptr;
  return catalog(node.view).placed(node.serial);
}

void HubFilesystem::locate(NodeId node, Reply<Located> reply, Purpose purpose) {
  if (is_repo_root(node)) return locate_root(std::move(reply));
  if (node.serial == 0) {
    const auto name = in_tree(node) ? parts_.catalog->names().at(node.entry) : std::nullopt;
    if (!name || name->kind != NameTable::Kind::kRepo) return reply(stale());
    return locate_repo_name(*name, std::move(reply), purpose);
  }
  const PlacedPtr placed = placed_of(node);
  if (!placed) return reply(stale());
  locate_in(placed, node.view, node.entry, std::move(reply), purpose);
}

void HubFilesystem::locate_inside(NodeId node, Reply<Located> reply, Purpose purpose) {
  locate(
      node,
      [self = shared_from_this(), reply = std::move(reply), purpose](const Result<Located>& at) {
        if (!at) return reply(at.error());
        self->enter(*at, reply, purpose);
      },
      purpose);
}

void HubFilesystem::locate_repo_name(const NameTable::Name& name, Reply<Located> reply,
                                     Purpose purpose) {
  if (name.serial != 0) {
    const PlacedPtr placed = parts_.catalog->placed(name.serial);
    if (!placed) return reply(stale());
    return locate_in(placed, View::kTree, 0, std::move(reply), purpose);
  }
  parts_.catalog->resolve(
      place_of(name),
      [self = shared_from_this(), name, purpose,
       reply = std::move(reply)](const Result<Catalog::Resolved>& answer) {
        if (!answer) return reply(answer.error());
        if (!answer->placed) return reply(stale());  // renamed since it was listed
        if (auto bound = self->parts_.catalog->names().bind(name.number, answer->placed->serial);
            !bound) {
          self->parts_.log.warning(bound.error().context);
        }
        self->locate_in(answer->placed, View::kTree, 0, reply, purpose);
      },
      purpose);
}

void HubFilesystem::locate_in(const PlacedPtr& placed, View view, std::uint32_t number,
                              Reply<Located> reply, Purpose purpose) {
  catalog(view).snapshot(
      placed, false,
      [placed, view, number, reply = std::move(reply)](const Result<SnapshotPtr>& got) {
        if (!got) return reply(got.error());
        if (number >= (*got)->size()) return reply(stale());
        reply(Located{placed, *got, number, view});
      },
      purpose);
}

void HubFilesystem::enter(const Located& at, Reply<Located> reply, Purpose purpose) {
  if (!at.entry().is_directory) return reply(Error{ErrorCode::kNotDirectory, "a file"});
  if (at.number == 0 || !at.snapshot->is_one_directory()) return reply(at);
  const auto folder = catalog(at.view).folder(at.placed, *at.snapshot, at.number);
  if (!folder) return reply(folder.error());
  locate_in(*folder, at.view, 0, std::move(reply), purpose);
}

void HubFilesystem::follow(const Located& at, const std::string& path, Reply<Located> reply) {
  enter(at,
        [self = shared_from_this(), path, reply = std::move(reply)](const Result<Located>& inside) {
          if (!inside || path.empty()) return reply(inside);
          const std::size_t end = path.find('/');
          const std::string rest = end == std::string::npos ? "" : path.substr(end + 1);
          const auto child = inside->snapshot->child(inside->number, path.substr(0, end));
          if (!child || (!rest.empty() && !inside->snapshot->entry(*child).is_directory)) {
            return reply(Error{ErrorCode::kNotFound, "no such folder"});
          }
          self->follow({inside->placed, inside->snapshot, *child, inside->view}, rest, reply);
        });
}

Place HubFilesystem::place_of(const NameTable::Name& name) const {
  const auto owner = parts_.catalog->names().at(name.parent);
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
  return owner_.folder(node, modified, entry_timeout, kForever);
}

Entry HubFilesystem::placed_entry(const PlacedPtr& placed, View view) const {
  return directory({false, placed->serial, 0, view}, placed->info.last_modified,
                   placed->place.pinned() ? kForever : options_.metadata_ttl);
}

Entry HubFilesystem::name_entry(const NameTable::Name& name) {
  if (name.kind == NameTable::Kind::kRepo) {
    if (const PlacedPtr shown = parts_.catalog->known(place_of(name))) return placed_entry(shown);
  }
  return unplaced_entry(name);
}

// In a listing, which asks nothing about single repos: whoever looks the name up does, when it is
// due.
Entry HubFilesystem::listed_entry(const NameTable::Name& name) const {
  const Place place = place_of(name);
  const bool is_repo = name.kind == NameTable::Kind::kRepo;
  const PlacedPtr shown = is_repo ? parts_.catalog->shown(place) : nullptr;
  if (!shown) return unplaced_entry(name);
  Entry entry = placed_entry(shown);
  entry.entry_timeout = std::min(entry.entry_timeout, parts_.catalog->check_due_in(place));
  return entry;
}

// An owner, a symlink, or a repo of which no commit is known.
Entry HubFilesystem::unplaced_entry(const NameTable::Name& name) const {
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
  const NodeId node{false, at.placed->serial, at.number, at.view};
  const UnixSeconds modified = at.placed->info.last_modified;
  if (at.number == 0) return placed_entry(at.placed, at.view);
  if (file.is_directory) return directory(node, modified, kForever);
  Entry entry = directory(node, modified, kForever);
  entry.attributes.kind = Attributes::Kind::kFile;
  entry.attributes.mode = owner_.file_mode();
  entry.attributes.size = file.size;
  std::uint64_t cached = 0;
  auto mode = Passthrough::Mode::kRead;
  if (file.content) {
    const auto blob = parts_.store.open({at.placed->space, *file.content}, options_.endpoint);
    if (blob) {
      cached = (*blob)->cached_bytes();
      mode = parts_.passthrough->mode_of(node.ino(), **blob);
    }
  }
  entry.attribute_timeout = content_timeout(at, cached);
  if (mode == Passthrough::Mode::kReadForNow) {
    entry.entry_timeout = cached == file.size ? kWhileChanging : entry.attribute_timeout;
  }
  entry.attributes.node.passthrough = mode == Passthrough::Mode::kPassed;
  // Some archivers take a non-empty file of no blocks for a hole.
  entry.attributes.blocks = (std::max<std::uint64_t>(cached, file.size != 0 ? 1 : 0) + 511) / 512;
  return entry;
}

// How long the kernel may keep what depends on how much of a file is here: st_blocks, and whether
// its name leads to the node of passthrough. Whoever opens a file of which nothing is here has the
// kernel told (read_begins), so that it need not ask again for all of a listing until then; but it
// is not told when the same content comes by another commit's file.
Duration HubFilesystem::content_timeout(const Located& at, std::uint64_t cached) const {
  const Snapshot::Entry& file = at.entry();
  if (!file.content) return kWhileChanging;
  if (cached == file.size) return kForever;
  const bool still = cached == 0 && !parts_.reader->is_open({at.placed->space, *file.content});
  return still ? options_.metadata_ttl : kWhileChanging;
}

// ---- lookup

void HubFilesystem::lookup(NodeId parent, const std::string& name, Reply<Entry> reply) {
  reply = hold<Entry>("lookup", parent, std::move(reply), name);
  if (!reply) return;
  if (name.size() > 255) return reply(Error{ErrorCode::kNameTooLong, "a name over 255 bytes"});
  if (in_hf_cache(parent)) return hf_->lookup(parent, name, std::move(reply));
  if (in_tree(parent)) {
    if (parent.entry == kRootEntry) return lookup_at_root(name, std::move(reply));
    if (parent.entry == kControlDirEntry) return lookup_control(name, reply);
    const auto entry = parts_.catalog->names().at(parent.entry);
    if (entry && entry->kind == NameTable::Kind::kOwner) {
      return lookup_repo(*entry, name, std::move(reply));
    }
  }
  locate_inside(parent, [self = shared_from_this(), parent, name,
                         reply = std::move(reply)](const Result<Located>& at) {
    if (!at) return reply(at.error());
    const auto child = at->snapshot->child(at->number, name);
    // The listing of a commit never changes, and neither does what is not in it.
    const Duration kept = self->name_timeout(parent, at->placed);
    if (!child) return reply(self->absent(kept == kForever ? kForever : Duration::zero()));
    Entry entry = self->snapshot_entry({at->placed, at->snapshot, *child, at->view});
    entry.entry_timeout = std::min(entry.entry_timeout, kept);
    reply(entry);
  });
}

void HubFilesystem::lookup_at_root(const std::string& name, Reply<Entry> reply) {
  if (name == kControlDir) return reply(control_entry(kControlDirEntry));
  if (name == kHfCacheDir) return reply(hf_->root_entry());
  if (!Place::parse("", name)) return reply(absent(kForever));  // the Hub would refuse it
  if (const auto known = parts_.catalog->names().find(kRootEntry, name)) {
    return reply(name_entry(*known));
  }
  parts_.catalog->find_root_name(name, [self = shared_from_this(), name, reply = std::move(reply)](
                                           const Result<NameTable::Name>& found) {
    if (found) return reply(self->name_entry(*found));
    if (found.error().code != ErrorCode::kNotFound) return reply(found.error());
    self->tell("lookup", name, found.error());
    reply(self->absent(self->parts_.catalog->absent_for(name)));
  });
}

void HubFilesystem::lookup_repo(const NameTable::Name& owner, const std::string& name,
                                Reply<Entry> reply) {
  const auto place = Place::parse(owner.name, name);
  if (!place) return reply(absent(kForever));
  if (const PlacedPtr shown = parts_.catalog->known(*place)) return reply(placed_entry(shown));
  const auto known = parts_.catalog->names().find(owner.number, name);
  // What everybody sees is asked for even where it was listed: the list does not tell the gated. It
  // may be a crawl that comes by, the kernel having let go of the names it listed.
  const bool ask = parts_.catalog->shared() && !options_.offline;
  if (known && (known->kind == NameTable::Kind::kSymlink || (known->listed && !ask))) {
    return reply(name_entry(*known));
  }
  if (options_.offline && parts_.catalog->was_listed(owner.name)) {
    return reply(absent(options_.metadata_ttl));
  }
  parts_.catalog->resolve(
      *place,
      [self = shared_from_this(), owner, name, place = *place,
       reply = std::move(reply)](const Result<Catalog::Resolved>& answer) {
        self->take_repo(owner, name, place, answer, reply);
      },
      known && known->listed ? Purpose::kPerhapsACrawl : Purpose::kDemand);
}

void HubFilesystem::take_repo(const NameTable::Name& owner, const std::string& name,
                              const Place& place, const Result<Catalog::Resolved>& answer,
                              const Reply<Entry>& reply) {
  if (!answer) {
    const ErrorCode code = answer.error().code;
    if (code == ErrorCode::kNotFound) {
      tell("lookup", place.text(), answer.error());
      return reply(absent(parts_.catalog->absent_for(place.text())));
    }
    const bool refused = code == ErrorCode::kGated || code == ErrorCode::kPermissionDenied;
    const auto known = parts_.catalog->names().find(owner.number, name);
    if (refused || !known || !known->listed) return reply(answer.error());
    note_stale(*parts_.failures, place.text(), answer.error());
    return reply(name_entry(*known));
  }
  if (answer->placed) return reply(placed_entry(answer->placed));
  const auto link = parts_.catalog->link_renamed(place, answer->renamed);
  if (!link) return reply(link.error());
  reply(name_entry(*link));
}

void HubFilesystem::getattr(NodeId node, Reply<Entry> reply) {
  reply = hold<Entry>("stat", node, std::move(reply));
  if (!reply) return;
  if (is_repo_root(node)) return reply(repo_root_entry());
  if (in_hf_cache(node)) return reply(hf_->getattr(node));
  if (in_tree(node)) {
    if (node.entry == kRootEntry) return reply(directory(node, started_, kForever));
    if (node.entry < kFirstName) return reply(control_entry(node.entry));
    const auto name = parts_.catalog->names().at(node.entry);
    if (!name) return reply(stale());
    // A repo known by name stays the node it is, though a new walk may find its commit's.
    Entry entry = name->kind == NameTable::Kind::kRepo
                      ? directory(node, name->modified, options_.metadata_ttl)
                      : name_entry(*name);
    return reply(entry);
  }
  if (node.entry == 0) {
    const PlacedPtr placed = placed_of(node);
    if (!placed) return reply(stale());
    return reply(placed_entry(placed, node.view));
  }
  locate(node, [self = shared_from_this(), reply = std::move(reply)](const Result<Located>& at) {
    if (!at) return reply(at.error());
    reply(self->snapshot_entry(*at));
  });
}

void HubFilesystem::readlink(NodeId node, Reply<std::string> reply) {
  reply = hold<std::string>("readlink", node, std::move(reply));
  if (!reply) return;
  if (in_hf_cache(node)) return reply(hf_->readlink(node));
  const auto name = in_tree(node) ? parts_.catalog->names().at(node.entry) : std::nullopt;
  if (!name || name->kind != NameTable::Kind::kSymlink) {
    return reply(Error{ErrorCode::kInvalidArgument, "not a symlink"});
  }
  reply(name->target);
}

}  // namespace hubvfs::fs
