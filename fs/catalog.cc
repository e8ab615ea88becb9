// SPDX-License-Identifier: Apache-2.0
#include "fs/catalog.h"

#include <algorithm>

#include "base/text.h"
#include "fs/failure_lines.h"
#include "fs/metadata_keys.h"
#include "fs/node_id.h"
#include "hub/names.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kLatestSwitch = std::chrono::minutes(15);
constexpr Duration kDeniedFor = std::chrono::seconds(10);  // as a masked listing

std::string serial_name(const Place& place, const std::string& commit, bool partial) {
  return place.text() + '\0' + commit + (partial ? " partial" : "");
}

}  // namespace

Catalog::Catalog(const CatalogOptions& options, hub::HubClient& hub, cache::MetaStore& meta,
                 Logger& log, std::shared_ptr<FailureLog> failures, const Clock& clock)
    : options_(options),
      hub_(hub),
      meta_(meta),
      log_(log),
      failures_(std::move(failures)),
      clock_(clock) {}

Result<std::shared_ptr<Catalog>> Catalog::create(const CatalogOptions& options, hub::HubClient& hub,
                                                 cache::MetaStore& meta, Logger& log,
                                                 std::shared_ptr<FailureLog> failures,
                                                 const Clock& clock) {
  std::shared_ptr<Catalog> catalog(
      new Catalog(options, hub, meta, log, std::move(failures), clock));
  auto loaded = catalog->load(catalog);
  if (!loaded) return loaded.error();
  return catalog;
}

Result<void> Catalog::load(const std::shared_ptr<Catalog>& self) {
  self_ = self;
  auto names = NameTable::load(meta_, options_.own, key("name", ""));
  if (!names) return names.error();
  names_ = std::move(*names);
  const std::string prefix = key("serial", "");
  std::vector<std::shared_ptr<Placed>> placed;
  auto read = meta_.for_each(options_.own, prefix, [&](std::string_view k, ByteView value) {
    const auto serial = parse_serial(as_bytes(k.substr(prefix.size())));
    const auto record = PlacedRecord::decode(value, options_.type);
    if (!serial || !record || *serial == 0 || *serial > NodeId::kMaxSerial) return;
    placed.push_back(std::make_shared<Placed>(
        Placed{*serial, record->place, record->info, record->space, record->partial, {}, 0, {}}));
  });
  if (!read) return read;
  const std::string ref_prefix = key("ref", "");
  std::map<std::string, std::pair<std::uint32_t, UnixSeconds>> refs;  // serial, when checked
  read = meta_.for_each(options_.own, ref_prefix, [&](std::string_view k, ByteView value) {
    ByteReader in(value);
    const auto serial = in.integer<std::uint32_t>();
    const auto checked = static_cast<UnixSeconds>(in.integer<std::uint64_t>());
    if (in.ok()) refs[std::string(k.substr(ref_prefix.size()))] = {serial, checked};
  });
  if (!read) return read;
  {
    MutexLock lock(mutex_);
    for (const auto& one : placed) {
      serials_[serial_name(one->place, one->info.commit, one->partial)] = one->serial;
      next_serial_ = std::max(next_serial_, one->serial + 1);
      placed_[one->serial] = one;
    }
    for (const auto& [text, ref] : refs) {
      const auto it = placed_.find(ref.first);
      if (it == placed_.end()) continue;
      branches_[text].placed = it->second;
      branches_[text].checked = ref.second;
    }
  }
  return load_folders();
}

std::string Catalog::key(std::string_view kind, std::string_view rest) const {
  return MetadataKey{options_.endpoint, options_.type, kind, rest}.text();
}

cache::Namespace Catalog::space_of(const hub::RepoInfo& info) const {
  return info.is_private || info.gate != hub::Gate::kNone ? options_.own : "public";
}

// What everybody on this host may see must not be what somebody's grant or token opens.
std::optional<Error> Catalog::refused_by_kind(const hub::RepoInfo& info) const {
  if (!shared()) return {};
  if (info.is_private) {
    return Error{
        ErrorCode::kPermissionDenied,
        info.id.name + " is private, and a mount that all users share shows public repos only"};
  }
  if (info.gate != hub::Gate::kNone) {
    return Error{ErrorCode::kGated,
                 info.id.name +
                     " is gated, and a mount that all users share shows public repos only: "
                     "ask for access at " +
                     options_.endpoint + "/" + hub::route_prefix(info.id.type) + info.id.name +
                     " and mount it for yourself"};
  }
  return {};
}

PlacedPtr Catalog::placed(std::uint32_t serial) const {
  MutexLock lock(mutex_);
  const auto it = placed_.find(serial);
  return it == placed_.end() ? nullptr : it->second;
}

void Catalog::note_open(const Placed& placed) {
  hub::CrawlPtr check;
  {
    MutexLock lock(mutex_);
    const auto it = branches_.find(placed.place.text());
    if (it == branches_.end()) return;
    it->second.last_open = clock_.now();
    check.swap(it->second.crawl);
  }
  if (check) hub_.raise(check);
}

bool Catalog::was_opened(const Place& place) const {
  MutexLock lock(mutex_);
  const auto it = branches_.find(place.text());
  return it != branches_.end() && it->second.last_open != TimePoint();
}

hub::Terms Catalog::terms(const hub::CrawlPtr& crawl) const {
  return {clock_.now() + options_.metadata_deadline, crawl};
}

PlacedPtr Catalog::known(const Place& place) {
  switch_if_settled(place);
  PlacedPtr shown;
  hub::CrawlPtr crawl;
  bool due = false;
  {
    MutexLock lock(mutex_);
    const auto it = branches_.find(place.text());
    if (it == branches_.end()) return nullptr;
    Branch& branch = it->second;
    shown = branch.placed;
    const auto ttl = std::chrono::duration_cast<std::chrono::seconds>(options_.metadata_ttl);
    const UnixSeconds age = clock_.unix_now() - branch.checked;
    due = (!place.pinned() || shown->partial) && !branch.checking && !options_.offline &&
          !closed_ && (age >= ttl.count() || age < 0);
    branch.checking |= due;
    // A second `find` comes by all that the first has resolved.
    if (due && branch.last_open == TimePoint()) branch.crawl = std::make_shared<hub::Crawl>();
    if (due) crawl = branch.crawl;
  }
  if (due) check(place, shown, crawl);
  return shown;
}

Duration Catalog::check_due_in(const Place& place) const {
  MutexLock lock(mutex_);
  const auto it = branches_.find(place.text());
  if (it == branches_.end()) return Duration::zero();
  if (options_.offline || it->second.checking) return options_.metadata_ttl;
  const Duration age = std::chrono::seconds(clock_.unix_now() - it->second.checked);
  if (age < Duration::zero()) return Duration::zero();
  return std::max(options_.metadata_ttl - age, Duration::zero());
}

void Catalog::resolve(const Place& place, Done<Resolved> done, Purpose purpose) {
  if (auto placed = at_hand(place)) return done(Resolved{placed, ""});
  const std::string text = place.text();
  if (auto refused = refusal(text)) return done(*refused);
  if (const auto terms = join(resolving_, text, purpose, std::move(done))) ask(place, *terms);
}

void Catalog::ask(const Place& place, const hub::Terms& terms) {
  std::uint64_t forgotten = 0;
  {
    MutexLock lock(mutex_);
    forgotten = denials_forgotten_;
  }
  hub_.repo_info({options_.type, place.repo}, place.revision, terms,
                 [weak = self_, place, forgotten](const Result<hub::RepoInfo>& answer) {
                   const auto self = weak.lock();
                   if (!self) return;
                   self->resolving_.finish(place.text(),
                                           self->take_answer(place, forgotten, answer));
                 });
}

// A denial of a token that was changed meanwhile is not remembered: `denials_forgotten` is what it
// was when the question was put.
Result<Catalog::Resolved> Catalog::take_answer(const Place& place, std::uint64_t denials_forgotten,
                                               const Result<hub::RepoInfo>& answer) {
  const auto remember_refusal = [&](const Error& error, Duration kept) {
    {
      MutexLock lock(mutex_);
      if (denials_forgotten != denials_forgotten_) return;
    }
    note_refusal(place, error, kept);
  };
  if (!answer) {
    const ErrorCode code = answer.error().code;
    if (code == ErrorCode::kNotFound) {
      remember_refusal(answer.error(), options_.metadata_ttl);
    } else if (code == ErrorCode::kGated || code == ErrorCode::kPermissionDenied) {
      remember_refusal(answer.error(), std::min(kDeniedFor, options_.metadata_ttl));
    }
    return answer.error();
  }
  const hub::RepoInfo& info = *answer;
  if (auto refused = refused_by_kind(info)) {
    remember_refusal(*refused, options_.metadata_ttl);
    return *refused;
  }
  // Another case of the same id is served under the name asked for only if the Hub did not rename.
  if (info.id.name != place.repo) return Resolved{nullptr, info.id.name};
  auto placed = place_commit(place, info);
  if (!placed) return placed.error();
  show(place, *placed);
  return Resolved{*placed, ""};
}

// Gives the commit its serial at this place; the record is written before anybody hears of it.
Result<PlacedPtr> Catalog::place_commit(const Place& place, const hub::RepoInfo& info,
                                        bool partial) {
  auto made = std::make_shared<Placed>(Placed{0, place, info, space_of(info), partial, {}, 0, {}});
  {
    MutexLock lock(mutex_);
    const std::string name = serial_name(place, info.commit, partial);
    if (const auto it = serials_.find(name); it != serials_.end()) return placed_.at(it->second);
    if (auto given = give_serial(made); !given) return given.error();
    serials_[name] = made->serial;
  }
  note_unkept(meta_.put(options_.own, key("serial", serial_rest(made->serial)),
                        PlacedRecord{place, info, made->space, partial}.encode()),
              "a listing will be asked again after a restart");
  return PlacedPtr(made);
}

Result<void> Catalog::give_serial(const std::shared_ptr<Placed>& made) {
  if (next_serial_ > NodeId::kMaxSerial) {
    return {ErrorCode::kInternal, "out of serials: make a new cache"};
  }
  made->serial = next_serial_++;
  placed_[made->serial] = made;
  return {};
}

void Catalog::show(const Place& place, const PlacedPtr& placed) {
  // What is not whole is asked for at the next look.
  const UnixSeconds now = placed->partial ? 0 : clock_.unix_now();
  {
    MutexLock lock(mutex_);
    Branch& branch = branches_[place.text()];
    branch.placed = placed;
    branch.checked = now;
    branch.moved.reset();
    refused_.erase(place.text());
  }
  ByteWriter value;
  value.integer(placed->serial);
  value.integer(static_cast<std::uint64_t>(now));
  note_unkept(meta_.put(options_.own, key("ref", place.text()), value.bytes()),
              "what a branch shows will be asked again after a restart");
  if (!place.revision.empty()) return;
  // A repo that was entered is listed from now on, the Hub reachable or not.
  NameTable::Name name;
  name.kind = NameTable::Kind::kRepo;
  name.parent = kRootEntry;
  if (!place.owner().empty()) {
    const auto owner = ensure_owner(place.owner());
    if (!owner) return;
    name.parent = owner->number;
  }
  name.name = place.name();
  name.modified = placed->info.last_modified;
  const auto put = names_->put(name);
  note_unkept(put ? Result<void>() : put.error(), "a name is not listed");
}

void Catalog::note_unkept(const Result<void>& stored, const std::string& consequence) {
  if (stored) return;
  failures_->note(LogLevel::kWarning, consequence, consequence + ": " + stored.error().context);
}

void Catalog::check(const Place& place, const PlacedPtr& shown, const hub::CrawlPtr& crawl) {
  hub_.repo_info(shown->info.id, place.revision, terms(crawl),
                 [weak = self_, place](const Result<hub::RepoInfo>& answer) {
                   if (const auto self = weak.lock()) self->take_check(place, answer);
                 });
}

void Catalog::take_check(const Place& place, const Result<hub::RepoInfo>& answer) {
  std::optional<Error> refused;
  if (!answer && answer.error().code == ErrorCode::kNotFound) {
    refused = answer.error();
  } else if (answer) {
    refused = refused_by_kind(*answer);
  }
  PlacedPtr shown;
  bool unchanged = false;
  {
    MutexLock lock(mutex_);
    const auto it = branches_.find(place.text());
    if (it == branches_.end()) return;
    Branch& branch = it->second;
    branch.checking = false;
    branch.crawl.reset();
    shown = branch.placed;
    if (refused) {
      branches_.erase(it);
    } else if (!answer) {
      branch.checked = clock_.unix_now();  // stale before error: asked again after another ttl
    } else if (answer->commit == shown->info.commit && !shown->partial) {
      unchanged = true;
    } else {
      if (!branch.moved) branch.moved_at = clock_.now();
      branch.moved = *answer;
      branch.checked = clock_.unix_now();
    }
  }
  if (refused) return drop(place, shown, *refused);
  if (unchanged) show(place, shown);
  if (answer) return switch_if_settled(place);
  note_stale(*failures_, place.text(), answer.error());
}

// The Hub no longer shows it, or no longer to everybody.
void Catalog::drop(const Place& place, const PlacedPtr& shown, const Error& why) {
  log_.info("no longer shown: " + why.context);
  note_refusal(place, why, options_.metadata_ttl);
  note_unkept(meta_.erase(options_.own, key("ref", place.text())),
              "what is gone will be shown again after a restart");
  tell_listeners(place, shown);
}

// The name changes to the new commit when none of its files was opened for a while.
void Catalog::switch_if_settled(const Place& place) {
  hub::RepoInfo moved;
  PlacedPtr before;
  {
    MutexLock lock(mutex_);
    const auto it = branches_.find(place.text());
    if (it == branches_.end() || !it->second.moved) return;
    const Branch& branch = it->second;
    const TimePoint now = clock_.now();
    const bool settled =
        branch.last_open == TimePoint() || now - branch.last_open >= options_.metadata_settle;
    if (!settled && now - branch.moved_at < kLatestSwitch) return;
    moved = *branch.moved;
    before = branch.placed;
  }
  auto placed = place_commit(place, moved);
  if (!placed) return;
  show(place, *placed);
  log_.info(place.text() + " is now at " + moved.commit);
  tell_listeners(place, before);
}

void Catalog::add_listener(std::weak_ptr<PlaceListener> listener) {
  MutexLock lock(mutex_);
  std::erase_if(listeners_, [](const auto& known) { return known.expired(); });
  listeners_.push_back(std::move(listener));
}

std::vector<std::shared_ptr<PlaceListener>> Catalog::listeners() const {
  std::vector<std::shared_ptr<PlaceListener>> living;
  MutexLock lock(mutex_);
  for (const auto& weak : listeners_) {
    if (auto listener = weak.lock()) living.push_back(std::move(listener));
  }
  return living;
}

void Catalog::tell_listeners(const Place& place, const PlacedPtr& before) {
  for (const auto& listener : listeners()) {
    listener->place_changed(options_.type, place, before);
  }
}

void Catalog::note_content_changed(std::uint32_t serial, std::uint32_t entry) {
  for (const auto& listener : listeners()) {
    listener->content_changed(options_.type, serial, entry);
  }
}

void Catalog::close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  const Error stopping{ErrorCode::kCancelled, "the filesystem is stopping"};
  resolving_.abandon(stopping);
  listing_.abandon(stopping);
  repo_lists_.abandon(stopping);
  root_names_.abandon(stopping);
}

}  // namespace hubvfs::fs
