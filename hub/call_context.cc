// SPDX-License-Identifier: Apache-2.0
#include "hub/call_context.h"

#include "base/text.h"

namespace hubvfs::hub {

void HubCounters::note_end(const Error& error, UnixSeconds now) {
  if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kCancelled) return;
  MutexLock lock(mutex_);
  ++failures_;
  last_failure_ = error.context;
  last_failure_at_ = now;
}

void HubCounters::note_outage(const Error& error, UnixSeconds now, UnixSeconds next_probe) {
  MutexLock lock(mutex_);
  health_.outage = error.context;
  if (health_.outage_since == 0) health_.outage_since = now;
  health_.next_probe = next_probe;
}

void HubCounters::note_reachable() {
  MutexLock lock(mutex_);
  health_.outage.clear();
  health_.outage_since = health_.next_probe = 0;
}

void HubCounters::note_limit(UnixSeconds until) {
  MutexLock lock(mutex_);
  health_.limited_until = until;
}

void HubCounters::note_crawl_waits(int change, UnixSeconds until) {
  MutexLock lock(mutex_);
  health_.crawl_waiting += change;
  if (change > 0) health_.crawl_until = until;
  if (health_.crawl_waiting == 0) health_.crawl_until = 0;
}

void HubCounters::note_refused_token(const std::string& origin) {
  MutexLock lock(mutex_);
  health_.refused_token = origin;
}

HubStats HubCounters::snapshot() const {
  HubStats stats;
  stats.requests = requests;
  stats.metadata_requests = metadata_requests;
  stats.resolve_requests = resolve_requests;
  stats.retries = retries;
  stats.bytes_received = bytes_received;
  MutexLock lock(mutex_);
  stats.failures = failures_;
  stats.last_failure = last_failure_;
  stats.last_failure_at = last_failure_at_;
  stats.health = health_;
  return stats;
}

UnixSeconds CallContext::unix_of(TimePoint when) const {
  return clock.unix_now() + std::chrono::ceil<std::chrono::seconds>(when - clock.now()).count();
}

void CallContext::tell_warning(const std::string& text) {
  constexpr std::size_t kMostTopics = 32;  // a server may think of a new one each time
  const std::string topic = text.substr(0, text.find(';'));
  if (warned.size() >= kMostTopics || !warned.insert(topic).second) return;
  log.warning("the Hub says: " + escape_for_log(text, 300));
}

}  // namespace hubvfs::hub
