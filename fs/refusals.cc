// SPDX-License-Identifier: Apache-2.0
// The part of Catalog that remembers what the Hub said is not there, or not to be had.
#include <algorithm>

#include "fs/catalog.h"

namespace hubvfs::fs {
namespace {

constexpr std::size_t kRefusedNames = 100'000;

}  // namespace

void Catalog::note_refusal(const Place& place, const Error& error, Duration kept) {
  MutexLock lock(mutex_);
  if (refused_.size() >= kRefusedNames) refused_.clear();
  refused_[place.text()] = {place, error, clock_.now() + kept};
}

std::optional<Error> Catalog::refusal(const std::string& text) const {
  MutexLock lock(mutex_);
  const auto it = refused_.find(text);
  if (it == refused_.end() || it->second.until <= clock_.now()) return {};
  return it->second.error;
}

void Catalog::forget_refusal(const Place& place) {
  MutexLock lock(mutex_);
  refused_.erase(place.text());
}

void Catalog::forget_denials() {
  std::unordered_map<std::string, Refusal> refused;
  {
    MutexLock lock(mutex_);
    ++denials_forgotten_;
    token_changed_ = clock_.unix_now();
    refused.swap(refused_);
    for (auto& [serial, listed] : snapshots_) listed.asked.reset();
  }
  for (const auto& [text, refusal] : refused) tell_listeners(refusal.place, nullptr);
}

Duration Catalog::absent_for(const std::string& text) const {
  MutexLock lock(mutex_);
  const auto it = refused_.find(text);
  if (it == refused_.end() || it->second.error.code != ErrorCode::kNotFound)
    return Duration::zero();
  return std::max(it->second.until - clock_.now(), Duration::zero());
}

}  // namespace hubvfs::fs
