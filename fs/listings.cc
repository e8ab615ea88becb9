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
  return key(placed.partial ? "partial" : "tree",
             commit_rest(placed.info.id.name, placed.info.commit));
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

void Catalog::ask_listing(const PlacedPtr& placed, const std::string& question,
                          const hub::Terms& terms) {
  auto entries = std::make_shared<std::vector<hub::TreeEntry>>();
  hub_.list_tree(
      placed->info.id, placed->info.commit, "", true, terms,
      [entries](std::vector<hub::TreeEntry> page) {
        std::move(page.begin(), page.end(), std::back_inserter(*entries));
        return true;
      },
      [weak = self_, placed, question, entries](const Result<bool>& answer) {
        const auto self = weak.lock();
        if (!self) return;
        if (!answer) return self->listing_.finish(question, answer.error());
        Snapshot made = Snapshot::build(*entries);
        entries->clear();
        if (made.hidden_total() > 0) {
          self->log_.warning(placed->place.text() + ": " + std::to_string(made.hidden_total()) +
                             " names that no directory may hold were left out");
        }
        self->note_unkept(self->meta_.put(placed->space, self->listing_key(*placed), made.encode()),
                          "a listing will be asked again after a restart");
        self->listing_.finish(question,
                              self->remember(placed, std::move(made), self->clock_.now()));
      });
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
