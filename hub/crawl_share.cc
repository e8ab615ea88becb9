// SPDX-License-Identifier: Apache-2.0
#include "hub/crawl_share.h"

#include <algorithm>

namespace hubvfs::hub {
namespace {

constexpr std::uint64_t kLongestWindow = 3600;  // seconds: nobody can silence us for a year

}  // namespace

void CrawlShare::use_token(std::uint64_t changes) {
  if (changes == token_changes_) return;
  *this = CrawlShare();
  token_changes_ = changes;
}

void CrawlShare::note_answer(const HttpHead& head, TimePoint now) {
  const auto policy = parse_rate_policy(head.rate_policy);
  if (policy && policy->requests > 0 && policy->window_seconds > 0) {
    requests_ = policy->requests;
    window_ = std::chrono::seconds(std::min(policy->window_seconds, kLongestWindow));
    named_ = true;
  }
  const auto limit = parse_rate_limit(head.rate_limit);
  if (limit) named_ = true;
  if (named_ || head.status == 200) unlimited_ = !named_;
  if (!limit) return;
  // The Hub rounds down. Of one window the earliest end is the best known; one that is much later
  // is the next window's.
  const Duration reset = std::chrono::seconds(std::min(limit->reset_seconds, kLongestWindow) + 1);
  const TimePoint end = now + std::min(reset, window_ + std::chrono::seconds(1));
  if (now >= window_end_ || end > window_end_ + window_ / 2) {
    used_ = 0;
    window_end_ = end;
  }
  window_end_ = std::min(window_end_, end);
  left_ = limit->remaining;
}

void CrawlShare::begin_window_if_over(TimePoint now) {
  if (now < window_end_) return;
  used_ = 0;
  left_.reset();
  window_end_ = now + window_;
}

bool CrawlShare::take(TimePoint now) {
  begin_window_if_over(now);
  if (unlimited_) return true;
  if (used_ >= std::max<std::uint64_t>(requests_ / kPart, 1)) return false;
  if (left_ && *left_ <= requests_ / kPart) return false;
  charge(now);
  return true;
}

void CrawlShare::charge(TimePoint now) {
  begin_window_if_over(now);
  ++used_;
  if (left_ && *left_ > 0) --*left_;
}

}  // namespace hubvfs::hub
