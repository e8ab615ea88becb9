// SPDX-License-Identifier: Apache-2.0
// The part of Catalog that keeps the listing of each commit.
#include "fs/catalog.h"
#include "fs/metadata_keys.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kMaskedTtl = std::chrono::seconds(10);
constexpr std::uint64_t kSnapshotEntriesInMemory = 2'000'000;

}  // namespace

std::string Catalog::listing_key(const Placed& placed) const {
  return listing_key(placed, placed.directory);
}

std::string Catalog::listing_key(const Placed& placed, std::string_view directory) const {
  return key(placed.partial ? "partial" : "tree",
             listing_rest(placed.info.id.name, placed.info.commit, directory));
}

void Catalog::snapshot(const PlacedPtr& placed, bool want_unmasked, Done<SnapshotPtr> done,
                       Purpose purpose) {
  bool again = false;
  SnapshotPtr found;
  {
    MutexLock lock(mutex_);
    const auto it = snapshots_.find(placed->serial);
    if (it != snapshots_.end()) {
      snapshot_order_.splice(snapshot_order_.begin(), snapshot_order_, it->second.used);
      found = it->second.snapshot;
      const auto& asked = it->second.asked;
      again = want_unmasked && found->masked() && (!asked || clock_.now() - *asked >= kMaskedTtl);
    }
  }
  if (found && !again) return done(found);
  if (!again) {
    const auto stored = load_snapshot(placed);
    if (stored && !(want_unmasked && stored->masked())) return done(stored);
  }
  if (placed->partial) {  // the Hub's would number the files anew
    return done(Error{ErrorCode::kStale, placed->place.text() + ": its listing is lost"});
  }
  if (was_opened(placed->place)) purpose = Purpose::kDemand;
  const std::string question = std::to_string(placed->serial);
  if (const auto terms = join(listing_, question, purpose, std::move(done))) {
    ask_listing(placed, question, *terms);
  }
}

SnapshotPtr Catalog::load_snapshot(const PlacedPtr& placed) {
  auto stored = meta_.get(placed->space, listing_key(*placed));
  if (!stored || !*stored) return nullptr;
  auto decoded = Snapshot::decode(**stored);
  if (decoded && decoded->directory() != placed->directory) {
    decoded = Error{ErrorCode::kCorrupt, "stored listing is another directory's"};
  }
  if (decoded) return remember(placed, std::move(*decoded), {});
  log_.warning(placed->place.text() + ": " + decoded.error().context + ", asked again");
  return nullptr;
}

SnapshotPtr Catalog::stored_snapshot(const PlacedPtr& placed) {
  {
    MutexLock lock(mutex_);
    const auto it = snapshots_.find(placed->serial);
    if (it != snapshots_.end()) return it->second.snapshot;
  }
  return load_snapshot(placed);
}

// One that came whole comes whole again, so that its numbers stay.
void Catalog::ask_listing(const PlacedPtr& placed, const std::string& question,
                          const hub::Terms& asked) {
  const SnapshotPtr known = stored_snapshot(placed);
  if (placed->parent || (known && known->is_one_directory())) {
    return ask_directory(placed, question, asked);
  }
  const std::size_t most = known ? kNoLimit : options_.most_at_once;
  list_tree(*placed, true, most, asked,
            [this, placed, question, most, crawl = asked.crawl](Result<Entries> entries) {
              if (!entries) return listing_.finish(question, entries.error());
              if (entries->size() > most) return ask_directory(placed, question, terms(crawl));
              Snapshot made = Snapshot::build(*entries);
              *entries = {};  // more memory than the snapshot
              take_listing(placed, question, std::move(made));
            });
}

// `done` gets all entries, or more than `most` of them; this catalog lives while it runs.
void Catalog::list_tree(const Placed& placed, bool recursive, std::size_t most,
                        const hub::Terms& terms, std::function<void(Result<Entries>)> done) {
  auto entries = std::make_shared<Entries>();
  hub_.list_tree(
      placed.info.id, placed.info.commit, placed.directory, recursive, terms,
      [entries, most](Entries page) {
        std::move(page.begin(), page.end(), std::back_inserter(*entries));
        return entries->size() <= most;
      },
      [weak = self_, entries, done = std::move(done)](const Result<bool>& answer) {
        const auto self = weak.lock();
        if (!self) return;
        if (!answer) return done(answer.error());
        done(std::move(*entries));
      });
}

void Catalog::take_listing(const PlacedPtr& placed, const std::string& question, Snapshot listing) {
  if (listing.hidden_total() > 0) {
    log_.warning(placed->place.text() + ": " + std::to_string(listing.hidden_total()) +
                 " names that no directory may hold were left out");
  }
  note_unkept(keep_listing(*placed, listing), "a listing will be asked again after a restart");
  listing_.finish(question, remember(placed, std::move(listing), clock_.now()));
}

Result<void> Catalog::keep_listing(const Placed& placed, const Snapshot& listing) {
  return meta_.put(placed.space, listing_key(placed, listing.directory()), listing.encode());
}

SnapshotPtr Catalog::remember(const PlacedPtr& placed, Snapshot snapshot,
                              std::optional<TimePoint> asked) {
  auto made = std::make_shared<const Snapshot>(std::move(snapshot));
  MutexLock lock(mutex_);
  const auto it = snapshots_.find(placed->serial);
  if (it != snapshots_.end()) {
    snapshot_entries_ -= it->second.snapshot->size();
    snapshot_order_.erase(it->second.used);
    snapshots_.erase(it);
  }
  snapshot_order_.push_front(placed->serial);
  snapshots_[placed->serial] = {made, asked, snapshot_order_.begin()};
  snapshot_entries_ += made->size();
  while (snapshot_entries_ > kSnapshotEntriesInMemory && snapshot_order_.size() > 1) {
    const auto oldest = snapshots_.find(snapshot_order_.back());
    snapshot_entries_ -= oldest->second.snapshot->size();
    snapshots_.erase(oldest);
    snapshot_order_.pop_back();
  }
  return made;
}

}  // namespace hubvfs::fs
