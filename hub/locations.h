// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "hub/curl_url.h"
#include "hub/hub_client.h"

namespace hubvfs::hub {

// Where the content of one file of one commit was last found. A signed URL is a secret.
struct Location {
  Url url;
  TimePoint expires;
  std::string etag;        // the content host's own, once seen: it must not change
  std::uint64_t serial = 0;  // given by put()
};

// Someone who waits for another's resolve of the same file.
class LocationWaiter {
 public:
  virtual ~LocationWaiter() = default;
  virtual void location_ready() = 0;  // look again: it is there, or it is this one's turn to ask
  virtual void location_failed(const Error& error) = 0;
  virtual void raise_resolver(Priority priority) = 0;
};

// The locations known, and the resolves under way: one a file, however many fetches want it.
// Engine's thread only.
class Locations {
 public:
  explicit Locations(const Clock& clock) : clock_(clock) {}

  static TimePoint expiry(const Url& url, TimePoint now, UnixSeconds unix_now);

  // None when unknown or expired.
  std::optional<Location> find(const std::string& file);
  // Its waiters hear of it. Gives its serial.
  std::uint64_t put(const std::string& file, Location location);
  void note_etag(const std::string& file, std::uint64_t serial, const std::string& etag);
  // Forgets it unless another has taken its place.
  void drop(const std::string& file, std::uint64_t serial);
  // Forgets all (the resolves under way go on) when they were found with another token: a signed
  // URL must not outlive a logout.
  void belong_to(std::uint64_t token_changes);

  // True: resolve it, and end that by put(), fail() or leave(). False: `waiter` will be told.
  bool lead(const std::string& file, LocationWaiter& waiter, Priority priority);
  void fail(const std::string& file, const Error& error);  // no better luck for others
  void leave(const std::string& file);  // another may try
  void stop_waiting(const std::string& file, LocationWaiter& waiter);
  // Someone who waits for the resolve of `file` has become more urgent.
  void raise(const std::string& file, Priority priority);

 private:
  struct Resolve {
    LocationWaiter* leader = nullptr;
    std::deque<LocationWaiter*> waiters;
  };
  void tell(const std::string& file, const Error* error);

  const Clock& clock_;
  std::unordered_map<std::string, Location> known_;
  std::deque<std::pair<std::string, std::uint64_t>> order_;  // oldest first
  std::unordered_map<std::string, Resolve> resolves_;
  std::uint64_t next_serial_ = 1;
  std::uint64_t token_changes_ = 0;
};

}  // namespace hubvfs::hub
