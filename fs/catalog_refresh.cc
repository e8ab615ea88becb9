// SPDX-License-Identifier: Apache-2.0
// The part of Catalog for places other than what a branch shows: its newest commit, and a commit by
// its name.
#include <set>

#include "fs/catalog.h"

namespace hubvfs::fs {
namespace {

// As when a branch is checked beside a reader: these say nothing about the repo.
bool is_no_answer(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kOffline ||
         code == ErrorCode::kTimedOut || code == ErrorCode::kRateLimited;
}

}  // namespace

// What is at a branch can be had by its commit too, the Hub reachable or not: whole where it is.
PlacedPtr Catalog::known_commit(const Place& place) const {
  if (!place.pinned()) return nullptr;
  PlacedPtr part;
  MutexLock lock(mutex_);
  for (const auto& [serial, placed] : placed_) {
    if (placed->info.commit != place.revision || placed->info.id.name != place.repo) continue;
    if (!placed->partial) return placed;
    part = placed;
  }
  return part;
}

PlacedPtr Catalog::at_hand(const Place& place) {
  if (auto shown = known(place)) return shown;
  const auto elsewhere = known_commit(place);
  if (!elsewhere) return nullptr;
  const auto placed = place_commit(place, elsewhere->info, elsewhere->partial);
  if (!placed) return nullptr;  // out of serials
  show(place, *placed);
  return *placed;
}

PlacedPtr Catalog::shown(const Place& place) const {
  MutexLock lock(mutex_);
  const auto it = branches_.find(place.text());
  return it == branches_.end() ? nullptr : it->second.placed;
}

std::vector<std::string> Catalog::commits_of(const std::string& repo) const {
  std::set<std::string> commits;
  MutexLock lock(mutex_);
  for (const auto& [serial, placed] : placed_) {
    if (placed->info.id.name == repo) commits.insert(placed->info.commit);
  }
  return {commits.begin(), commits.end()};
}

Result<PlacedPtr> Catalog::learn(const Place& place, const hub::RepoInfo& info,
                                 const Snapshot& listing, Listing kind) {
  auto placed = place_commit(place, info, kind == Listing::kPartial);
  if (!placed) return placed;
  if (auto stored = keep_learnt(*placed, listing); !stored) return stored.error();
  bool shows_none = false;
  {
    MutexLock lock(mutex_);
    const auto it = branches_.find(place.text());
    shows_none = it == branches_.end();
    if (!shows_none && kind == Listing::kWhole) {
      const hub::RepoInfo& shown = it->second.placed->info;
      const bool completes = it->second.placed->partial && shown.commit == info.commit;
      if (completes || (shown.commit != info.commit && shown.last_modified < info.last_modified)) {
        it->second.moved = info;
        it->second.moved_at = clock_.now();
      }
    }
  }
  if (shows_none) {
    show(place, *placed);
  } else {
    switch_if_settled(place);
  }
  return placed;
}

void Catalog::refresh(const Place& place, Done<Resolved> done) {
  forget_refusal(place);
  const PlacedPtr shown = known(place);
  if (shown == nullptr || (place.pinned() && !shown->partial))
    return resolve(place, std::move(done));
  hub_.repo_info(
      {options_.type, place.repo}, place.revision, terms(),
      [weak = self_, place, shown, done = std::move(done)](const Result<hub::RepoInfo>& answer) {
        const auto self = weak.lock();
        if (!self) return done(Error{ErrorCode::kCancelled, "the filesystem is stopping"});
        if (!answer && is_no_answer(answer.error().code)) return done(Resolved{shown, ""});
        if (answer && answer->id.name != place.repo)
          return done(Resolved{nullptr, answer->id.name});
        self->take_check(place, answer);
        if (!answer) return done(answer.error().within(place.text()));
        if (const auto refused = self->refused_by_kind(*answer)) return done(*refused);
        auto placed = self->place_commit(place, *answer);
        if (!placed) return done(placed.error());
        done(Resolved{*placed, ""});
      });
}

}  // namespace hubvfs::fs
