// SPDX-License-Identifier: Apache-2.0
#include "fs/catalog.h"

#include <algorithm>

#include "base/text.h"
#include "fs/node_id.h"
#include "hub/names.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kSettle = std::chrono::seconds(60);         // metadata.settle
constexpr Duration kLatestSwitch = std::chrono::minutes(15);
constexpr Duration kMaskedTtl = std::chrono::seconds(10);
constexpr std::size_t kAbsentNames = 100'000;
constexpr std::uint64_t kSnapshotEntriesInMemory = 2'000'000;

// Placed record: place, info and namespace. The serial is in the key.
Bytes encode(const Placed& placed) {
  ByteWriter out;
  out.string(placed.place.repo);
  out.string(placed.place.revision);
  out.string(placed.info.id.name);
  out.string(placed.info.commit);
  out.integer(static_cast<std::uint64_t>(placed.info.last_modified));
  out.integer(static_cast<std::uint8_t>(placed.info.is_private));
  out.integer(static_cast<std::uint8_t>(placed.info.gate));
  out.string(placed.space);
  return out.take();
}

std::optional<Placed> decode_placed(ByteView bytes, hub::RepoType type) {
  ByteReader in(bytes);
  Placed placed;
  placed.place.repo = in.string();
  placed.place.revision = in.string();
  placed.info.id = {type, std::string(in.string())};
  placed.info.commit = in.string();
  placed.info.last_modified = static_cast<UnixSeconds>(in.integer<std::uint64_t>());
  placed.info.is_private = in.integer<std::uint8_t>() != 0;
  placed.info.gate = static_cast<hub::Gate>(in.integer<std::uint8_t>());
  placed.space = in.string();
  if (!in.ok() || !in.at_end() || !is_commit_id(placed.info.commit)) return {};
  return placed;
}

std::string number_key(std::uint32_t number) {
  ByteWriter out;
  out.integer(number);
  return std::string(as_text(out.bytes()));
}

}  // namespace

std::optional<Place> Place::parse(std::string_view owner, std::string_view name) {
  const std::size_t at = name.find('@');
  const std::string_view repo = name.substr(0, at);
  Place place;
  if (at != std::string_view::npos) {
    const std::string_view written = name.substr(at + 1);
    for (std::size_t i = 0; i < written.size(); ++i) {
      if (written[i] == '%' && to_lower(written.substr(i, 3)) == "%2f") {
        place.revision += '/';
        i += 2;
      } else {
        place.revision += written[i];
      }
    }
    if (!hub::is_revision(place.revision)) return {};
  }
  place.repo = owner.empty() ? std::string(repo) : std::string(owner) + "/" + std::string(repo);
  if (!hub::is_repo_name(place.repo)) return {};
  return place;
}

std::string Place::name() const {
  std::string written = repo.substr(repo.find('/') + 1);
  if (revision.empty()) return written;
  written += '@';
  for (const char c : revision) written += c == '/' ? std::string("%2F") : std::string(1, c);
  return written;
}

std::string Place::owner() const {
  const std::size_t slash = repo.find('/');
  return slash == std::string::npos ? "" : repo.substr(0, slash);
}

bool Place::pinned() const { return is_commit_id(revision); }

Catalog::Catalog(const OperationsOptions& options, hub::HubClient& hub, cache::MetaStore& meta,
                 KernelNotifier& notifier, Logger& log, const Clock& clock)
    : options_(options),
      hub_(hub),
      meta_(meta),
      notifier_(notifier),
      log_(log),
      clock_(clock),
      own_(options.shared ? "public" : "u" + std::to_string(options.uid)) {}

Result<std::shared_ptr<Catalog>> Catalog::create(const OperationsOptions& options,
                                                 hub::HubClient& hub, cache::MetaStore& meta,
                                                 KernelNotifier& notifier, Logger& log,
                                                 const Clock& clock) {
  std::shared_ptr<Catalog> catalog(new Catalog(options, hub, meta, notifier, log, clock));
  auto loaded = catalog->load(catalog);
  if (!loaded) return loaded.error();
  return catalog;
}

Result<void> Catalog::load(const std::shared_ptr<Catalog>& self) {
  self_ = self;
  auto names = NameTable::load(meta_, own_, key("name", ""));
  if (!names) return names.error();
  names_ = std::move(*names);
  const std::string prefix = key("serial", "");
  std::vector<std::shared_ptr<Placed>> placed;
  auto read = meta_.for_each(own_, prefix, [&](std::string_view k, ByteView value) {
    ByteReader in(as_bytes(k.substr(prefix.size())));
    const auto serial = in.integer<std::uint32_t>();
    auto decoded = decode_placed(value, options_.type);
    if (!in.ok() || !decoded || serial == 0 || serial > NodeId::kMaxSerial) return;
    decoded->serial = serial;
    placed.push_back(std::make_shared<Placed>(std::move(*decoded)));
  });
  if (!read) return read;
  const std::string ref_prefix = key("ref", "");
  std::map<std::string, std::pair<std::uint32_t, UnixSeconds>> refs;  // serial, when checked
  read = meta_.for_each(own_, ref_prefix, [&](std::string_view k, ByteView value) {
    ByteReader in(value);
    const auto serial = in.integer<std::uint32_t>();
    const auto checked = static_cast<UnixSeconds>(in.integer<std::uint64_t>());
    if (in.ok()) refs[std::string(k.substr(ref_prefix.size()))] = {serial, checked};
  });
  if (!read) return read;

  MutexLock lock(mutex_);
  for (const auto& one : placed) {
    serials_[one->place.text() + '\0' + one->info.commit] = one->serial;
    next_serial_ = std::max(next_serial_, one->serial + 1);
    placed_[one->serial] = one;
  }
  for (const auto& [text, ref] : refs) {
    const auto it = placed_.find(ref.first);
    if (it == placed_.end()) continue;
    branches_[text].placed = it->second;
    branches_[text].checked = ref.second;
  }
  return {};
}

// Keys: endpoint NUL type NUL kind NUL rest. The namespace stands before them in the store.
std::string Catalog::key(std::string_view kind, std::string_view rest) const {
  std::string k = options_.endpoint;
  k += '\0';
  k += hub::api_segment(options_.type);
  k += '\0';
  k += kind;
  k += '\0';
  k += rest;
  return k;
}

cache::Namespace Catalog::space_of(const hub::RepoInfo& info) const {
  return info.is_private || info.gate != hub::Gate::kNone ? own_ : "public";
}

PlacedPtr Catalog::placed(std::uint32_t serial) const {
  MutexLock lock(mutex_);
  const auto it = placed_.find(serial);
  return it == placed_.end() ? nullptr : it->second;
}

void Catalog::note_open(const Placed& placed) {
  MutexLock lock(mutex_);
  const auto it = branches_.find(placed.place.text());
  if (it != branches_.end()) it->second.last_open = clock_.now();
}

PlacedPtr Catalog::known(const Place& place) {
  switch_if_settled(place);
  PlacedPtr shown;
  bool due = false;
  {
    MutexLock lock(mutex_);
    const auto it = branches_.find(place.text());
    if (it == branches_.end()) return nullptr;
    Branch& branch = it->second;
    shown = branch.placed;
    const auto ttl = std::chrono::duration_cast<std::chrono::seconds>(options_.metadata_ttl);
    const UnixSeconds age = clock_.unix_now() - branch.checked;
    due = !place.pinned() && !branch.checking && !options_.offline && !closed_ &&
          (age >= ttl.count() || age < 0);
    branch.checking |= due;
  }
  if (due) check(place, shown);
  return shown;
}

void Catalog::resolve(const Place& place, Done<Resolved> done) {
  if (auto shown = known(place)) return done(Resolved{shown, ""});
  const std::string text = place.text();
  if (is_absent(text)) return done(Error{ErrorCode::kNotFound, text + " is not on the Hub"});
  if (resolving_.join(text, std::move(done))) ask(place);
}

void Catalog::ask(const Place& place) {
  const auto deadline = clock_.now() + options_.metadata_deadline;
  hub_.repo_info({options_.type, place.repo}, place.revision, deadline,
                 [weak = self_, place](const Result<hub::RepoInfo>& answer) {
                   const auto self = weak.lock();
                   if (!self) return;
                   self->resolving_.finish(place.text(), self->take_answer(place, answer));
                 });
}

Result<Catalog::Resolved> Catalog::take_answer(const Place& place,
                                               const Result<hub::RepoInfo>& answer) {
  if (!answer) {
    if (answer.error().code == ErrorCode::kNotFound) note_absent(place.text());
    return answer.error().within(place.text());
  }
  const hub::RepoInfo& info = *answer;
  if (options_.shared && info.is_private) {
    note_absent(place.text());
    return Error{ErrorCode::kNotFound, place.text() + " is private"};
  }
  if (options_.shared && info.gate != hub::Gate::kNone) {
    return Error{ErrorCode::kGated, place.text() + " is gated: ask for access at " +
                                        options_.endpoint + "/" + info.id.name};
  }
  // Another case of the same id is served under the name asked for only if the Hub did not rename.
  if (info.id.name != place.repo) return Resolved{nullptr, info.id.name};
  auto placed = place_commit(place, info);
  if (!placed) return placed.error();
  show(place, *placed);
  return Resolved{*placed, ""};
}

// Gives the commit its serial at this place; the record is written before anybody hears of it.
Result<PlacedPtr> Catalog::place_commit(const Place& place, const hub::RepoInfo& info) {
  auto made = std::make_shared<Placed>(Placed{0, place, info, space_of(info)});
  {
    MutexLock lock(mutex_);
    const auto [it, fresh] =
        serials_.try_emplace(place.text() + '\0' + info.commit, next_serial_);
    if (!fresh) return placed_.at(it->second);
    if (next_serial_ > NodeId::kMaxSerial) {
      serials_.erase(it);
      return Error{ErrorCode::kInternal, "out of serials: make a new cache"};
    }
    made->serial = next_serial_++;
    placed_[made->serial] = made;
  }
  auto stored = meta_.put(own_, key("serial", number_key(made->serial)), encode(*made));
  if (!stored) log_.warning("a listing will be asked again after a restart: " +
                            stored.error().context);
  return PlacedPtr(made);
}

void Catalog::show(const Place& place, const PlacedPtr& placed) {
  const UnixSeconds now = clock_.unix_now();
  {
    MutexLock lock(mutex_);
    Branch& branch = branches_[place.text()];
    branch.placed = placed;
    branch.checked = now;
    branch.moved.reset();
    absent_.erase(place.text());
  }
  ByteWriter value;
  value.integer(placed->serial);
  value.integer(static_cast<std::uint64_t>(now));
  auto stored = meta_.put(own_, key("ref", place.text()), value.bytes());
  if (!stored) log_.warning("what " + place.text() + " shows will be asked again after a restart: " +
                            stored.error().context);
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
  if (const auto put = names_->put(name); !put) log_.warning(put.error().context);
}

void Catalog::check(const Place& place, const PlacedPtr& shown) {
  const auto deadline = clock_.now() + options_.metadata_deadline;
  hub_.repo_info(shown->info.id, place.revision, deadline,
                 [weak = self_, place](const Result<hub::RepoInfo>& answer) {
                   if (const auto self = weak.lock()) self->take_check(place, answer);
                 });
}

void Catalog::take_check(const Place& place, const Result<hub::RepoInfo>& answer) {
  PlacedPtr unchanged;
  bool gone = false;
  {
    MutexLock lock(mutex_);
    const auto it = branches_.find(place.text());
    if (it == branches_.end()) return;
    Branch& branch = it->second;
    branch.checking = false;
    if (!answer) {
      gone = answer.error().code == ErrorCode::kNotFound;
      if (gone) {
        branches_.erase(it);
      } else {
        branch.checked = clock_.unix_now();  // stale before error: asked again after another ttl
      }
    } else if (answer->commit == branch.placed->info.commit) {
      unchanged = branch.placed;
    } else {
      if (!branch.moved) branch.moved_at = clock_.now();
      branch.moved = *answer;
      branch.checked = clock_.unix_now();
    }
  }
  if (gone) {
    log_.info(place.text() + " is no longer on the Hub");
    note_absent(place.text());
    if (auto erased = meta_.erase(own_, key("ref", place.text())); !erased) {
      log_.warning(erased.error().context);
    }
  }
  if (unchanged) show(place, unchanged);
  if (answer) switch_if_settled(place);
}

// The name changes to the new commit when none of its files was opened for a while.
bool Catalog::switch_if_settled(const Place& place) {
  hub::RepoInfo moved;
  {
    MutexLock lock(mutex_);
    const auto it = branches_.find(place.text());
    if (it == branches_.end() || !it->second.moved) return false;
    const Branch& branch = it->second;
    const TimePoint now = clock_.now();
    const bool settled = branch.last_open == TimePoint() || now - branch.last_open >= kSettle;
    if (!settled && now - branch.moved_at < kLatestSwitch) return false;
    moved = *branch.moved;
  }
  auto placed = place_commit(place, moved);
  if (!placed) return false;
  show(place, *placed);
  log_.info(place.text() + " is now at " + moved.commit);
  std::uint64_t parent = kRootEntry;
  if (!place.owner().empty()) {
    const auto owner = names_->find(kRootEntry, place.owner());
    if (!owner) return true;
    parent = owner->number;
  }
  notifier_.invalidate_entry(parent, place.name());
  return true;
}

SnapshotPtr Catalog::snapshot_in_memory(std::uint32_t serial) const {
  MutexLock lock(mutex_);
  const auto it = snapshots_.find(serial);
  return it == snapshots_.end() ? nullptr : it->second.snapshot;
}

std::string Catalog::listing_key(const Placed& placed) const {
  return key("tree", placed.info.id.name + '\0' + placed.info.commit);
}

void Catalog::snapshot(const PlacedPtr& placed, bool want_unmasked, Done<SnapshotPtr> done) {
  bool again = false;
  SnapshotPtr found;
  {
    MutexLock lock(mutex_);
    const auto it = snapshots_.find(placed->serial);
    if (it != snapshots_.end()) {
      snapshot_order_.splice(snapshot_order_.begin(), snapshot_order_, it->second.used);
      found = it->second.snapshot;
      again = want_unmasked && found->masked() && clock_.now() - it->second.asked >= kMaskedTtl;
    }
  }
  if (found && !again) return done(found);
  if (!again) {
    auto stored = meta_.get(placed->space, listing_key(*placed));
    if (stored && *stored) {
      auto decoded = Snapshot::decode(**stored);
      if (decoded) return done(remember(placed, std::move(*decoded)));
      log_.warning(placed->place.text() + ": " + decoded.error().context + ", asked again");
    }
  }
  const std::string question = std::to_string(placed->serial);
  if (listing_.join(question, std::move(done))) ask_listing(placed, question);
}

void Catalog::ask_listing(const PlacedPtr& placed, const std::string& question) {
  const auto deadline = clock_.now() + options_.metadata_deadline;
  auto entries = std::make_shared<std::vector<hub::TreeEntry>>();
  hub_.list_tree(
      placed->info.id, placed->info.commit, "", true, deadline,
      [entries](std::vector<hub::TreeEntry> page) {
        std::move(page.begin(), page.end(), std::back_inserter(*entries));
        return true;
      },
      [weak = self_, placed, question, entries](const Result<bool>& answer) {
        const auto self = weak.lock();
        if (!self) return;
        if (!answer) {
          return self->listing_.finish(question, answer.error().within(placed->place.text()));
        }
        Snapshot made = Snapshot::build(*entries);
        entries->clear();
        if (made.hidden_total() > 0) {
          self->log_.warning(placed->place.text() + ": " + std::to_string(made.hidden_total()) +
                             " names that no directory may hold were left out");
        }
        auto stored = self->meta_.put(placed->space, self->listing_key(*placed), made.encode());
        if (!stored) self->log_.warning(stored.error().context);
        self->listing_.finish(question, self->remember(placed, std::move(made)));
      });
}

SnapshotPtr Catalog::remember(const PlacedPtr& placed, Snapshot snapshot) {
  auto made = std::make_shared<const Snapshot>(std::move(snapshot));
  MutexLock lock(mutex_);
  const auto it = snapshots_.find(placed->serial);
  if (it != snapshots_.end()) {
    snapshot_entries_ -= it->second.snapshot->size();
    snapshot_order_.erase(it->second.used);
    snapshots_.erase(it);
  }
  snapshot_order_.push_front(placed->serial);
  snapshots_[placed->serial] = {made, clock_.now(), snapshot_order_.begin()};
  snapshot_entries_ += made->size();
  while (snapshot_entries_ > kSnapshotEntriesInMemory && snapshot_order_.size() > 1) {
    const auto oldest = snapshots_.find(snapshot_order_.back());
    snapshot_entries_ -= oldest->second.snapshot->size();
    snapshots_.erase(oldest);
    snapshot_order_.pop_back();
  }
  return made;
}

void Catalog::note_absent(const std::string& text) {
  MutexLock lock(mutex_);
  if (absent_.size() >= kAbsentNames) absent_.clear();
  absent_[text] = clock_.now() + options_.metadata_ttl;
}

bool Catalog::is_absent(const std::string& text) const {
  return absent_for(text) > Duration::zero();
}

Duration Catalog::absent_for(const std::string& text) const {
  MutexLock lock(mutex_);
  const auto it = absent_.find(text);
  if (it == absent_.end()) return Duration::zero();
  return std::max(it->second - clock_.now(), Duration::zero());
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
