// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "hub/address_class.h"
#include "hub/curl_engine.h"
#include "hub/curl_url.h"
#include "hub/hub_client.h"
#include "hub/outage.h"
#include "hub/retry_policy.h"

namespace hubvfs::hub {

// What HubStats is made of. Thread-safe.
class HubCounters {
 public:
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> metadata_requests{0};
  std::atomic<std::uint64_t> resolve_requests{0};
  std::atomic<std::uint64_t> retries{0};
  std::atomic<std::uint64_t> bytes_received{0};

  // Counts a call's end, unless it is no failure of the Hub's.
  void note_end(const Error& error) EXCLUDES(mutex_);
  HubStats snapshot() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;  // lock rank: leaf
  std::uint64_t failures_ GUARDED_BY(mutex_) = 0;
  std::string last_failure_ GUARDED_BY(mutex_);
};

// The quotas that the Hub counts apart (hub-protocol E.4).
enum class Quota { kApi, kResolvers };

// The token of this client, and whether the Hub has refused it lately. Engine's thread only.
class TokenState {
 public:
  TokenState(std::function<std::string()> source, const Clock& clock)
      : source_(std::move(source)), clock_(clock) {}

  // Asks the source. "" where there is none, or it is not printable.
  std::string ask();
  // Whether `token` was refused, while the same request without it was not, in the last minute.
  bool is_useless(const std::string& token) const;
  void note_useless(const std::string& token);
  // Counts up each time the source gives another token than before.
  std::uint64_t changes() const { return changes_; }

 private:
  std::function<std::string()> source_;
  const Clock& clock_;
  std::string last_;
  std::uint64_t changes_ = 0;
  std::string useless_;
  TimePoint useless_until_;
};

// What all calls of one client share. Engine's thread only, but for the counters and the log.
struct CallContext {
  CurlEngine& engine;
  const Clock& clock;
  Logger& log;
  HubCounters& counters;
  RedirectPolicy policy;
  ProxySettings proxies;
  TokenState token;
  Backoff backoff;
  AddressClass endpoint_class = AddressClass::kNone;  // of the address it was last reached at
  std::array<TimePoint, 2> hold_until{};              // by Quota: a 429 said to wait until then
  Outage outage{};                                    // of the endpoint
};

}  // namespace hubvfs::hub
