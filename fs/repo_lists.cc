// SPDX-License-Identifier: Apache-2.0
// The part of Catalog that lists owners and their repos into the name table.
#include <algorithm>

#include "base/text.h"
#include "fs/catalog.h"
#include "fs/failure_lines.h"
#include "fs/node_id.h"
#include "hub/names.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kRootTtl = std::chrono::hours(24);
constexpr int kRootPages = 10;  // of an endpoint that is not the public Hub
constexpr int kOwnerPages = 1000;
constexpr std::string_view kPublicHub = "https://huggingface.co";

}  // namespace

// One list under way, page after page. Owned by its callbacks.
struct Catalog::RepoListing {
  std::string question;      // "" for the root, else the owner
  std::uint32_t parent = 0;  // number of the owner's name; kRootEntry for the root
  std::string owner;
  int pages_left = 1;
  std::vector<std::string> seen;
  hub::CrawlPtr crawl{};
};

std::optional<UnixSeconds> Catalog::time_of(const std::string& kind,
                                            const std::string& rest) const {
  const auto stored = meta_.get(options_.own, key(kind, rest));
  if (!stored || !*stored) return {};
  ByteReader in(**stored);
  const auto seconds = in.integer<std::uint64_t>();
  if (!in.ok()) return {};
  return static_cast<UnixSeconds>(seconds);
}

void Catalog::list_root(Done<bool> done) { list("", kRootEntry, "", kRootTtl, std::move(done)); }

void Catalog::list_owner(const NameTable::Name& owner, Done<bool> done) {
  list(owner.name, owner.number, owner.name, options_.metadata_ttl, std::move(done));
}

void Catalog::list(const std::string& question, std::uint32_t parent, const std::string& owner,
                   Duration ttl, Done<bool> done) {
  const auto listed = time_of("listed", question);
  const auto limit = std::chrono::duration_cast<std::chrono::seconds>(ttl).count();
  const UnixSeconds age = listed ? clock_.unix_now() - *listed : 0;
  bool seen = listed.has_value();  // by whoever looks now
  {
    MutexLock lock(mutex_);
    if (seen && token_changed_) seen = *listed > *token_changed_;
  }
  if (listed && options_.offline) return done(true);
  if (seen && age >= 0 && age < limit) return done(true);
  // What was ever listed is shown at once and looked at again beside; else the caller waits, and
  // gets what is known if the Hub cannot be reached.
  const std::string subject = owner.empty() ? "the owners" : owner;
  Done<bool> waiting = [self = self_.lock(), parent, subject, done](const Result<bool>& answer) {
    if (answer || self->names_->children(parent, 0, 1).empty()) return done(answer);
    note_stale(*self->failures_, subject, answer.error());
    done(true);
  };
  if (seen) {
    waiting = [self = self_.lock(), subject](const Result<bool>& answer) {
      if (!answer) note_stale(*self->failures_, subject, answer.error());
    };
    done(true);
  }
  const Purpose purpose = owner.empty() ? Purpose::kDemand : Purpose::kCrawl;
  const auto asked = join(repo_lists_, question, purpose, std::move(waiting));
  if (!asked) return;
  auto listing = std::make_shared<RepoListing>();
  listing->question = question;
  listing->parent = parent;
  listing->owner = owner;
  listing->crawl = asked->crawl;
  listing->pages_left = !owner.empty()                    ? kOwnerPages
                        : options_.endpoint == kPublicHub ? 1
                                                          : kRootPages;
  hub_.list_repos(options_.type, owner, "", *asked,
                  [weak = self_, listing](const Result<hub::RepoPage>& answer) {
                    if (const auto self = weak.lock()) self->take_repo_page(listing, answer);
                  });
}

// What of a page the tree can show goes into the name table.
void Catalog::add_names(RepoListing& listing, const hub::RepoPage& page) {
  for (const hub::RepoSummary& repo : page.repos) {
    const Place place{repo.id.name, ""};
    if (!hub::is_repo_name(repo.id.name) || (shared() && repo.is_private)) continue;
    if (listing.owner.empty()) {
      if (!place.owner().empty()) {
        const auto made = ensure_owner(place.owner());
        note_unkept(made ? Result<void>() : made.error(), "a name is not listed");
      }
      continue;
    }
    if (place.owner() != listing.owner) continue;  // not what was asked
    NameTable::Name name;
    name.kind = NameTable::Kind::kRepo;
    name.parent = listing.parent;
    name.name = place.name();
    name.modified = repo.last_modified;
    const auto put = names_->put(name);
    note_unkept(put ? Result<void>() : put.error(), "a name is not listed");
    listing.seen.push_back(name.name);
  }
}

void Catalog::note_listed(const std::string& question) {
  ByteWriter now;
  now.integer(static_cast<std::uint64_t>(clock_.unix_now()));
  note_unkept(meta_.put(options_.own, key("listed", question), now.bytes()),
              "a list will be asked again after a restart");
}

bool Catalog::was_listed(const std::string& owner) const {
  return time_of("listed", owner).has_value();
}

void Catalog::take_repo_page(const std::shared_ptr<RepoListing>& listing,
                             const Result<hub::RepoPage>& answer) {
  if (!answer) return repo_lists_.finish(listing->question, answer.error());
  add_names(*listing, *answer);
  if (answer->next.empty() || --listing->pages_left == 0) {
    if (answer->next.empty() && !listing->owner.empty()) {
      names_->retain_listed(listing->parent, listing->seen);
    }
    note_listed(listing->question);
    return repo_lists_.finish(listing->question, true);
  }
  hub_.list_repos(options_.type, listing->owner, answer->next, terms(listing->crawl),
                  [weak = self_, listing](const Result<hub::RepoPage>& next) {
                    if (const auto self = weak.lock()) self->take_repo_page(listing, next);
                  });
}

Result<NameTable::Name> Catalog::ensure_owner(const std::string& owner) {
  if (auto known = names_->find(kRootEntry, owner);
      known && known->kind == NameTable::Kind::kOwner && known->listed) {
    return *known;
  }
  NameTable::Name name;
  name.kind = NameTable::Kind::kOwner;
  name.parent = kRootEntry;
  name.name = owner;
  name.modified = clock_.unix_now();
  return names_->put(name);
}

Result<NameTable::Name> Catalog::link_renamed(const Place& place, const std::string& canonical) {
  Place target = place;
  target.repo = canonical;
  NameTable::Name link;
  link.parent = kRootEntry;
  link.kind = NameTable::Kind::kSymlink;
  link.name = place.name();
  link.target = (target.owner().empty() ? "" : target.owner() + "/") + target.name();
  if (!place.owner().empty()) {
    const auto owner = ensure_owner(place.owner());
    if (!owner) return owner.error();
    link.parent = owner->number;
    link.target.insert(0, "../");
  }
  return names_->put(link);
}

void Catalog::find_root_name(const std::string& name, Done<NameTable::Name> done) {
  const auto place = Place::parse("", name);
  if (!place) {
    return done(Error{ErrorCode::kNotFound, "not a name of the Hub: " + escape_for_log(name)});
  }
  if (auto refused = refusal(place->text())) return done(*refused);
  const auto asked = join(root_names_, name, Purpose::kDemand, std::move(done));
  if (!asked) return;
  if (!hub::is_repo_name_part(name)) return take_root_name(name, hub::RepoPage{});  // NAME@REV
  hub_.list_repos(options_.type, name, "", *asked,
                  [weak = self_, name](const Result<hub::RepoPage>& answer) {
                    if (const auto self = weak.lock()) self->take_root_name(name, answer);
                  });
}

// An owner if the Hub lists repos of that name; else perhaps a legacy or renamed id.
void Catalog::take_root_name(const std::string& name, const Result<hub::RepoPage>& answer) {
  if (!answer) return root_names_.finish(name, answer.error());
  if (!answer->repos.empty()) {
    const auto owner = ensure_owner(name);
    if (!owner) return root_names_.finish(name, owner.error());
    RepoListing first_page{name, owner->number, name, 1, {}};
    add_names(first_page, *answer);
    if (answer->next.empty()) note_listed(name);
    return root_names_.finish(name, *owner);
  }
  const auto place = *Place::parse("", name);
  resolve(place, [self = self_.lock(), name, place](const Result<Resolved>& resolved) {
    if (!resolved) return self->root_names_.finish(name, resolved.error());
    if (!resolved->renamed.empty()) {
      return self->root_names_.finish(name, self->link_renamed(place, resolved->renamed));
    }
    NameTable::Name entry;
    entry.parent = kRootEntry;
    entry.name = name;
    entry.kind = NameTable::Kind::kRepo;
    self->root_names_.finish(name, self->names_->put(entry));
  });
}

}  // namespace hubvfs::fs
