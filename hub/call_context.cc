// SPDX-License-Identifier: Apache-2.0
#include "hub/call_context.h"

#include "hub/token.h"

namespace hubvfs::hub {

void HubCounters::note_end(const Error& error) {
  if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kCancelled) return;
  MutexLock lock(mutex_);
  ++failures_;
  last_failure_ = error.context;
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
  return stats;
}

std::string TokenState::ask() {
  std::string token = source_ ? source_() : std::string();
  if (!is_token(token)) token.clear();
  if (token != last_) {
    ++changes_;
    last_ = token;
  }
  return token;
}

bool TokenState::is_useless(const std::string& token) const {
  return token == useless_ && clock_.now() < useless_until_;
}

void TokenState::note_useless(const std::string& token) {
  useless_ = token;
  useless_until_ = clock_.now() + std::chrono::minutes(1);
}

}  // namespace hubvfs::hub
