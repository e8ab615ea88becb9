// SPDX-License-Identifier: Apache-2.0
#include "fs/hf_view.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::fs {
namespace {

constexpr std::string_view kMain = "main";  // what the Hub calls the default branch of every repo
constexpr std::size_t kBatch = 256;
constexpr std::size_t kCommitLength = 40;

constexpr std::array<std::pair<View, std::string_view>, 3> kPrefixes = {
    {{View::kHfModels, "models--"},
     {View::kHfDatasets, "datasets--"},
     {View::kHfSpaces, "spaces--"}}};

}  // namespace

std::optional<HfFolder> HfFolder::parse(std::string_view name) {
  for (const auto& [view, prefix] : kPrefixes) {
    if (!name.starts_with(prefix)) continue;
    std::string repo(name.substr(prefix.size()));
    const std::size_t dashes = repo.find("--");
    if (name.find('/') != std::string_view::npos) return {};
    if (dashes != std::string::npos) repo.replace(dashes, 2, "/");
    if (!hub::is_repo_name(repo)) return {};
    return HfFolder{view, repo};
  }
  return {};
}

std::string HfFolder::name() const {
  std::string name(kPrefixes[static_cast<std::size_t>(view) - 1].second);
  const std::size_t slash = repo.find('/');
  if (slash == std::string::npos) return name + repo;
  return name + repo.substr(0, slash) + "--" + repo.substr(slash + 1);
}

HfView::HfView(const Options& options, const CatalogsByType& catalogs, hub::HubClient& hub,
               const Clock& clock)
    : options_(options), catalogs_(catalogs), hub_(hub), clock_(clock) {}

Error HfView::stale() { return {ErrorCode::kStale, "the node id means nothing any more"}; }

// ---- nodes

std::optional<NodeId> HfView::node_of(View view, Role role, std::uint32_t number) {
  if (number >> (32 - kRoleBits) != 0) return {};  // 500 million names of one type
  return NodeId{false, 0, number << kRoleBits | static_cast<std::uint32_t>(role), view};
}

std::optional<HfView::At> HfView::locate(NodeId node) const {
  if (node.serial != 0 || node.view == View::kTree) return {};
  const auto role = static_cast<Role>(node.entry & ((1u << kRoleBits) - 1));
  const auto name = catalog(node.view).names().at(node.entry >> kRoleBits);
  if (!name || role > Role::kRenamed) return {};
  NameTable::Kind kind = NameTable::Kind::kRepo;
  if (role == Role::kRef) kind = NameTable::Kind::kRef;
  if (role == Role::kRefFolder) kind = NameTable::Kind::kRefFolder;
  if (role == Role::kRenamed) kind = NameTable::Kind::kSymlink;
  if (name->kind != kind) return {};
  return At{node.view, role, *name};
}

std::optional<NameTable::Name> HfView::repo_name(const At& at) const {
  std::optional<NameTable::Name> name = at.name;
  while (name &&
         (name->kind == NameTable::Kind::kRef || name->kind == NameTable::Kind::kRefFolder)) {
    name = catalog(at.view).names().at(name->parent);
  }
  return name;
}

std::optional<Place> HfView::repo_of(const At& at) const {
  const auto name = repo_name(at);
  if (!name) return {};
  const auto owner = catalog(at.view).names().at(name->parent);
  return Place::parse(owner ? owner->name : "", name->name);
}

// "" of refs/ itself.
std::string HfView::ref_of(const At& at) const {
  std::string ref;
  std::optional<NameTable::Name> name = at.name;
  while (name &&
         (name->kind == NameTable::Kind::kRef || name->kind == NameTable::Kind::kRefFolder)) {
    ref = ref.empty() ? name->name : name->name + "/" + ref;
    name = catalog(at.view).names().at(name->parent);
  }
  return ref;
}

Place HfView::place_of_ref(const std::string& repo, const std::string& ref) {
  return {repo, ref == kMain ? "" : ref};
}

std::string HfView::subject(NodeId node) const {
  const auto at = locate(node);
  const auto place = at ? repo_of(*at) : std::nullopt;
  return place ? place->text() : "";
}

// ---- entries

Entry HfView::absent(Duration kept) {
  Entry entry;
  entry.exists = false;
  entry.entry_timeout = kept;
  return entry;
}

Entry HfView::folder_entry(NodeId node, UnixSeconds modified, Duration kept) const {
  return options_.owner.folder(node, modified, kept, options_.metadata_ttl);
}

Entry HfView::root_entry() const {
  return folder_entry({false, 0, kHfCacheEntry}, options_.started, kForever);
}

Entry HfView::commit_entry(View view, const Placed& placed) const {
  return folder_entry({false, placed.serial, 0, view}, placed.info.last_modified, kForever);
}

Result<Entry> HfView::entry_of(View view, Role role, const NameTable::Name& name) const {
  const auto node = node_of(view, role, name.number);
  if (!node) return stale();
  Entry entry = folder_entry(*node, name.modified != 0 ? name.modified : options_.started,
                             options_.metadata_ttl);
  if (role == Role::kRef) {
    entry.attributes.kind = Attributes::Kind::kFile;
    entry.attributes.mode = options_.owner.file_mode();
    entry.attributes.size = kCommitLength;
    entry.attributes.blocks = 1;
  } else if (role == Role::kRenamed) {
    entry.attributes.kind = Attributes::Kind::kSymlink;
    entry.attributes.mode = S_IFLNK | 0777;
    if (const auto target = readlink(*node)) entry.attributes.size = target->size();
  }
  return entry;
}

Result<Entry> HfView::getattr(NodeId node) const {
  if (node.view == View::kTree) return root_entry();
  const auto at = locate(node);
  if (!at) return stale();
  return entry_of(at->view, at->role, at->name);
}

// The tree's symlink is "../ORG/NAME", or "ORG/NAME" at the root.
Result<std::string> HfView::readlink(NodeId node) const {
  const auto at = locate(node);
  if (!at || at->role != Role::kRenamed) {
    return {ErrorCode::kInvalidArgument, "not a symlink"};
  }
  std::string repo = at->name.target;
  if (repo.starts_with("../")) repo.erase(0, 3);
  return HfFolder{at->view, repo}.name();
}

std::optional<std::string> HfView::ref_text(NodeId node) const {
  const auto at = locate(node);
  if (!at || at->role != Role::kRef) return {};
  const auto repo = repo_of(*at);
  const PlacedPtr shown =
      repo ? catalog(at->view).known(place_of_ref(repo->repo, ref_of(*at))) : nullptr;
  if (!shown) return {};
  return shown->info.commit;
}

// ---- lookup

void HfView::lookup(NodeId parent, const std::string& name, Operations::Reply<Entry> reply) const {
  if (parent.view == View::kTree) {
    const auto folder = HfFolder::parse(name);
    return folder ? lookup_repo(*folder, reply) : reply(absent(kForever));
  }
  const auto at = locate(parent);
  if (!at) return reply(stale());
  switch (at->role) {
    case Role::kRepo:
      for (const auto& [part, role] : kParts) {
        if (name == part) return reply(entry_of(at->view, role, at->name));
      }
      return reply(absent(kForever));
    case Role::kSnapshots:
      return lookup_commit(*at, name, std::move(reply));
    case Role::kRefs:
    case Role::kRefFolder:
      return lookup_ref(*at, name, std::move(reply));
    case Role::kBlobs:
      return reply(absent(kForever));
    case Role::kRef:
    case Role::kRenamed:
      break;
  }
  reply(Error{ErrorCode::kNotDirectory, "looked up in a file"});
}

void HfView::lookup_repo(const HfFolder& folder, const Operations::Reply<Entry>& reply) const {
  Catalog& names = catalog(folder.view);
  const Place place{folder.repo, ""};
  names.resolve(place, [self = shared_from_this(), folder, place,
                        reply](const Result<Catalog::Resolved>& answer) {
    Catalog& catalog = self->catalog(folder.view);
    if (!answer && answer.error().code == ErrorCode::kNotFound) {
      return reply(absent(catalog.absent_for(place.text())));
    }
    if (!answer) return reply(answer.error());
    if (!answer->placed) {
      const auto link = catalog.link_renamed(place, answer->renamed);
      if (!link) return reply(link.error());
      return reply(self->entry_of(folder.view, Role::kRenamed, *link));
    }
    // The catalog put its name into the table when it first showed it.
    const auto owner = catalog.names().find(kRootEntry, place.owner());
    const auto name = catalog.names().find(owner ? owner->number : kRootEntry, place.name());
    reply(name ? self->entry_of(folder.view, Role::kRepo, *name) : stale());
  });
}

void HfView::lookup_commit(const At& at, const std::string& commit,
                           Operations::Reply<Entry> reply) const {
  const auto repo = repo_of(at);
  if (!repo) return reply(stale());
  const Place place{repo->repo, commit};
  if (!place.pinned()) return reply(absent(kForever));
  catalog(at.view).resolve(place, [self = shared_from_this(), at, place, reply = std::move(reply)](
                                      const Result<Catalog::Resolved>& answer) {
    if (!answer && answer.error().code == ErrorCode::kNotFound) {
      return reply(absent(self->catalog(at.view).absent_for(place.text())));
    }
    if (!answer) return reply(answer.error());
    if (!answer->placed) return reply(stale());  // renamed since its folder was found
    reply(self->commit_entry(at.view, *answer->placed));
  });
}

Result<Entry> HfView::named_ref(const At& at, const std::string& name, NameTable::Kind kind) const {
  NameTable::Name made;
  made.parent = at.name.number;
  made.kind = kind;
  made.name = name;
  const auto put = catalog(at.view).names().put(made);
  if (!put) return put.error();
  return entry_of(at.view, kind == NameTable::Kind::kRef ? Role::kRef : Role::kRefFolder, *put);
}

// A name is a ref, or the first part of one: "refs/pr/1" and branches with a '/' lie in folders.
void HfView::lookup_ref(const At& at, const std::string& name,
                        Operations::Reply<Entry> reply) const {
  const auto repo = repo_of(at);
  if (!repo) return reply(stale());
  const std::string above = ref_of(at);
  const std::string ref = above.empty() ? name : above + "/" + name;
  const Place place = place_of_ref(repo->repo, ref);
  if (!hub::is_revision(ref) || place.pinned()) return reply(absent(kForever));
  const auto known = catalog(at.view).names().find(at.name.number, name);
  if (known && known->kind == NameTable::Kind::kRefFolder) {
    return reply(entry_of(at.view, Role::kRefFolder, *known));
  }
  if (ref == "refs" || ref == "refs/pr" || ref == "refs/convert") {
    return reply(named_ref(at, name, NameTable::Kind::kRefFolder));
  }
  catalog(at.view).resolve(place,
                           [self = shared_from_this(), at, repo = repo->repo, ref, name,
                            reply = std::move(reply)](const Result<Catalog::Resolved>& answer) {
                             if (!answer && answer.error().code == ErrorCode::kNotFound) {
                               return self->find_ref_folder(at, repo, ref, name, reply);
                             }
                             if (!answer) return reply(answer.error());
                             if (!answer->placed) return reply(stale());
                             reply(self->named_ref(at, name, NameTable::Kind::kRef));
                           });
}

void HfView::find_ref_folder(const At& at, const std::string& repo, const std::string& ref,
                             const std::string& name, Operations::Reply<Entry> reply) const {
  const Duration kept = catalog(at.view).absent_for(place_of_ref(repo, ref).text());
  hub_.list_refs({catalog(at.view).type(), repo}, clock_.now() + options_.metadata_deadline,
                 [self = shared_from_this(), at, ref, name, kept,
                  reply = std::move(reply)](const Result<hub::RepoRefs>& refs) {
                   if (!refs && refs.error().code != ErrorCode::kNotFound) {
                     return reply(refs.error());
                   }
                   const auto within = [&](const hub::Ref& known) {
                     return known.name.starts_with(ref + "/");
                   };
                   if (refs && (std::any_of(refs->branches.begin(), refs->branches.end(), within) ||
                                std::any_of(refs->tags.begin(), refs->tags.end(), within))) {
                     return reply(self->named_ref(at, name, NameTable::Kind::kRefFolder));
                   }
                   reply(absent(kept));
                 });
}

// ---- listings. Cookies are the tree's: 1 and 2 for the dots, then a number + 3.

Result<void> HfView::check_folder(NodeId node) const {
  if (node.view == View::kTree) return {};
  const auto at = locate(node);
  if (!at) return stale();
  if (at->role == Role::kRef || at->role == Role::kRenamed) {
    return {ErrorCode::kNotDirectory, "a file"};
  }
  return {};
}

void HfView::fill(NodeId folder, std::uint64_t cookie, const Operations::Fill& fill) const {
  const std::uint64_t after = cookie > 3 ? cookie - 3 : 0;
  if (folder.view == View::kTree) return fill_repos(after, fill);
  const auto at = locate(folder);
  if (!at) return;
  if (at->role == Role::kRepo) fill_parts(*at, cookie, fill);
  if (at->role == Role::kRefs || at->role == Role::kRefFolder) fill_refs(*at, after, fill);
  if (at->role == Role::kSnapshots) fill_commits(*at, after, fill);
}

// Those that were entered here, of all types: what was only listed has no commit yet.
void HfView::fill_repos(std::uint64_t after, const Operations::Fill& fill) const {
  for (const auto& [view, prefix] : kPrefixes) {
    const auto base = static_cast<std::uint64_t>(view) << 32;
    if (after >= base + (std::uint64_t{1} << 32)) continue;
    auto number = static_cast<std::uint32_t>(std::max(after, base) - base);
    for (;;) {
      const auto names = catalog(view).names().repos(number, kBatch);
      if (names.empty()) break;
      for (const NameTable::Name& name : names) {
        number = name.number;
        const auto place = repo_of({view, Role::kRepo, name});
        if (!place || !place->revision.empty() || !catalog(view).shown(*place)) continue;
        const auto entry = entry_of(view, Role::kRepo, name);
        if (!entry) continue;
        if (!fill({HfFolder{view, place->repo}.name(), base + number + 3, *entry})) return;
      }
    }
  }
}

void HfView::fill_parts(const At& at, std::uint64_t cookie, const Operations::Fill& fill) const {
  std::uint64_t next = 2;
  for (const auto& [part, role] : kParts) {
    const auto entry = entry_of(at.view, role, at.name);
    if (cookie <= next && entry && !fill({part, next + 1, *entry})) return;
    ++next;
  }
}

void HfView::fill_refs(const At& at, std::uint64_t after, const Operations::Fill& fill) const {
  if (at.role == Role::kRefs)
    (void)named_ref(at, std::string(kMain), NameTable::Kind::kRef).has_value();
  auto number = static_cast<std::uint32_t>(after);
  for (;;) {
    const auto names = catalog(at.view).names().children(at.name.number, number, kBatch);
    if (names.empty()) return;
    for (const NameTable::Name& name : names) {
      number = name.number;
      const bool is_ref = name.kind == NameTable::Kind::kRef;
      const auto entry = entry_of(at.view, is_ref ? Role::kRef : Role::kRefFolder, name);
      if (!entry) continue;
      if (is_ref && !ref_text(entry->attributes.node)) continue;  // no longer shown
      if (!fill({name.name, static_cast<std::uint64_t>(number) + 3, *entry})) return;
    }
  }
}

// In order of their serials, which they keep.
void HfView::fill_commits(const At& at, std::uint64_t after, const Operations::Fill& fill) const {
  const auto repo = repo_of(at);
  if (!repo) return;
  std::vector<PlacedPtr> commits;
  for (const std::string& commit : catalog(at.view).commits_of(repo->repo)) {
    if (auto placed = catalog(at.view).at_hand({repo->repo, commit})) {
      commits.push_back(std::move(placed));
    }
  }
  std::sort(commits.begin(), commits.end(),
            [](const auto& a, const auto& b) { return a->serial < b->serial; });
  for (const PlacedPtr& placed : commits) {
    if (placed->serial <= after) continue;
    const Entry entry = commit_entry(at.view, *placed);
    if (!fill({placed->info.commit, static_cast<std::uint64_t>(placed->serial) + 3, entry})) return;
  }
}

}  // namespace hubvfs::fs
