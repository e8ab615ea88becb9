// SPDX-License-Identifier: Apache-2.0
// The part of Catalog for places other than what a branch shows: its newest commit, and a commit by
// its name.
#include "fs/catalog.h"

namespace hubvfs::fs {
namespace {

// As when a branch is checked beside a reader: these say nothing about the repo.
bool is_no_answer(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kOffline ||
         code == ErrorCode::kTimedOut || code == ErrorCode::kRateLimited;
}

}  // namespace

// What is at a branch can be had by its commit too, the Hub reachable or not.
PlacedPtr Catalog::known_commit(const Place& place) const {
  if (!place.pinned()) return nullptr;
  MutexLock lock(mutex_);
  for (const auto& [serial, placed] : placed_) {
    if (placed->info.commit == place.revision && placed->info.id.name == place.repo) return placed;
  }
  return nullptr;
}

void Catalog::refresh(const Place& place, Done<Resolved> done) {
  forget_refusal(place);
  const PlacedPtr shown = known(place);
  if (shown == nullptr || place.pinned()) return resolve(place, std::move(done));
  const auto deadline = clock_.now() + options_.metadata_deadline;
  hub_.repo_info(
      {options_.type, place.repo}, place.revision, deadline,
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
