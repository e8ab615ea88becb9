// SPDX-License-Identifier: Apache-2.0
#include "hub/locations.h"

#include <algorithm>

#include "hub/http_head.h"

namespace hubvfs::hub {
namespace {

using std::chrono::seconds;

constexpr std::size_t kMaxKnown = 4096;
constexpr seconds kUnknownLifetime = std::chrono::hours(1);
constexpr seconds kLongestLife = std::chrono::days(7);
constexpr seconds kLongestMargin = seconds(30);

}  // namespace

// Left a little before its end, so that a request under way does not cross it.
TimePoint Locations::expiry(const Url& url, TimePoint now, UnixSeconds unix_now) {
  const auto said = url_expiry(url.query);
  if (!said) return now + kUnknownLifetime;
  const Duration left = seconds(std::clamp<UnixSeconds>(*said - unix_now, 0, kLongestLife.count()));
  return now + left - std::min<Duration>(kLongestMargin, left / 10);
}

std::optional<Location> Locations::find(const std::string& file) {
  const auto found = known_.find(file);
  if (found == known_.end()) return {};
  if (found->second.expires > clock_.now()) return found->second;
  known_.erase(found);
  return {};
}

std::uint64_t Locations::put(const std::string& file, Location location) {
  const std::uint64_t serial = location.serial = next_serial_++;
  known_[file] = std::move(location);
  order_.emplace_back(file, serial);
  while (order_.size() > kMaxKnown) {
    const auto [oldest, its_serial] = std::move(order_.front());
    order_.pop_front();
    drop(oldest, its_serial);
  }
  tell(file, nullptr);
  return serial;
}

void Locations::note_etag(const std::string& file, std::uint64_t serial, const std::string& etag) {
  const auto found = known_.find(file);
  if (found != known_.end() && found->second.serial == serial) found->second.etag = etag;
}

void Locations::drop(const std::string& file, std::uint64_t serial) {
  const auto found = known_.find(file);
  if (found != known_.end() && found->second.serial == serial) known_.erase(found);
}

void Locations::belong_to(std::uint64_t token_changes) {
  if (token_changes == token_changes_) return;
  token_changes_ = token_changes;
  known_.clear();
  order_.clear();
}

bool Locations::lead(const std::string& file, LocationWaiter& waiter, Priority priority) {
  const auto [at, is_new] = resolves_.try_emplace(file);
  if (is_new) {
    at->second.leader = &waiter;
    return true;
  }
  at->second.waiters.push_back(&waiter);
  at->second.leader->raise_resolver(priority);
  return false;
}

void Locations::raise(const std::string& file, Priority priority) {
  const auto found = resolves_.find(file);
  if (found != resolves_.end()) found->second.leader->raise_resolver(priority);
}

void Locations::tell(const std::string& file, const Error* error) {
  const auto found = resolves_.find(file);
  if (found == resolves_.end()) return;
  // Taken out first: a waiter that looks again may become the next leader.
  const std::deque<LocationWaiter*> waiters = std::move(found->second.waiters);
  resolves_.erase(found);
  for (LocationWaiter* waiter : waiters) {
    if (error == nullptr) {
      waiter->location_ready();
    } else {
      waiter->location_failed(*error);
    }
  }
}

void Locations::fail(const std::string& file, const Error& error) { tell(file, &error); }

void Locations::leave(const std::string& file) { tell(file, nullptr); }

void Locations::stop_waiting(const std::string& file, LocationWaiter& waiter) {
  const auto found = resolves_.find(file);
  if (found != resolves_.end()) std::erase(found->second.waiters, &waiter);
}

}  // namespace hubvfs::hub
