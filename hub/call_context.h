// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/failure_log.h"
#include "base/log.h"
#include "base/mutex.h"
#include "hub/crawl_share.h"
#include "hub/curl_engine.h"
#include "hub/curl_url.h"
#include "hub/hub_client.h"
#include "hub/outage.h"
#include "hub/retry_policy.h"
#include "hub/token_state.h"

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
  void note_end(const Error& error, UnixSeconds now) EXCLUDES(mutex_);
  void note_outage(const Error& error, UnixSeconds now, UnixSeconds next_probe) EXCLUDES(mutex_);
  void note_reachable() EXCLUDES(mutex_);
  void note_limit(UnixSeconds until) EXCLUDES(mutex_);
  // So many more requests of crawls wait, or fewer; the former until then.
  void note_crawl_waits(int change, UnixSeconds until) EXCLUDES(mutex_);
  void note_refused_token(const std::string& origin) EXCLUDES(mutex_);  // "": it took one
  HubStats snapshot() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;  // lock rank: leaf
  std::uint64_t failures_ GUARDED_BY(mutex_) = 0;
  std::string last_failure_ GUARDED_BY(mutex_);
  UnixSeconds last_failure_at_ GUARDED_BY(mutex_) = 0;
  HubHealth health_ GUARDED_BY(mutex_);
};

// The quotas that the Hub counts apart (hub-protocol E.4).
enum class Quota { kApi, kResolvers };

// What a 429 said of a quota: nothing that counts for it is sent before `until`, unless with
// another token, which has a quota of its own.
struct Hold {
  TimePoint until;
  std::string limit;
  std::uint64_t token_changes = 0;
};

// What all calls of one client share. Engine's thread only, but for the counters and the log.
struct CallContext {
  CurlEngine& engine;
  const Clock& clock;
  Logger& log;
  FailureLog& failures;
  HubCounters& counters;
  RedirectPolicy policy;
  ProxySettings proxies;
  TokenState token;
  Backoff backoff;
  std::array<Hold, 2> holds{};  // by Quota
  CrawlShare crawl_share{};     // of Quota::kApi
  Outage outage{};              // of the endpoint
  std::set<std::string> warned{};

  UnixSeconds unix_of(TimePoint when) const;
  // An X-HF-Warning: told once for each topic, as huggingface_hub does.
  void tell_warning(const std::string& text);
};

}  // namespace hubvfs::hub
