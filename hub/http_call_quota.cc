// SPDX-License-Identifier: Apache-2.0
// The part of HttpCall that keeps to the Hub's quotas: a 429 and what it holds back, and the share
// of crawls.
#include "hub/http_call.h"

namespace hubvfs::hub {

const Hold* HttpCall::hold() const {
  const Hold& hold = context_.holds[static_cast<std::size_t>(quota())];
  const bool holds =
      hold.until > context_.clock.now() && hold.token_changes == context_.token.changes();
  return holds ? &hold : nullptr;
}

// A 429 holds back the requests that the same quota counts, not only the one it answered.
bool HttpCall::held_back() {
  const Hold* hold = at_endpoint() ? this->hold() : nullptr;
  if (hold == nullptr) return false;
  const Duration left = hold->until - context_.clock.now();
  wait_until(hold->until, error_of_limit(asked_, url_, hold->limit, left, token_.empty()));
  return true;
}

void HttpCall::judge_limit() {
  const auto told = told_wait(head_, context_.clock.unix_now());
  if (!told) {
    return retry_later(error_of_answer(head_, asked_, url_, context_.token.name()), false);
  }
  const TimePoint until = context_.clock.now() + *told;
  const std::string limit = limit_of(head_);
  const Error error = error_of_limit(asked_, url_, limit, *told, at_endpoint() && token_.empty());
  const auto left = parse_rate_limit(head_.rate_limit);
  ++context_.counters.retries;
  if (at_endpoint() && left && left->remaining == 0) {
    context_.holds[static_cast<std::size_t>(quota())] = {until, limit, context_.token.changes()};
    context_.counters.note_limit(context_.unix_of(until));
    if (*told < time_left()) {
      context_.failures.note(LogLevel::kWarning,
                             "limit " + std::to_string(static_cast<int>(quota())), error.context);
    }
    if (crawl() != nullptr && !crawl()->raised) return restart();  // and wait there
  }
  wait_until(until, error);
}

// What a crawl asks is sent when it has its share of the quota, and not while a 429 holds that
// back; until then its deadline waits too.
bool HttpCall::waits_for_share() {
  const Crawl* const crawl = this->crawl();
  if (crawl == nullptr || !at_endpoint()) return false;
  const TimePoint now = context_.clock.now();
  context_.crawl_share.use_token(context_.token.changes());
  if (crawl->raised) {
    context_.crawl_share.charge(now);
    return false;
  }
  const Hold* hold = this->hold();
  if (hold == nullptr && context_.crawl_share.take(now)) return false;
  const TimePoint until = hold != nullptr ? hold->until : context_.crawl_share.resumes();
  left_while_waiting_ = time_left();
  stop_timer(deadline_timer_);
  stop_timer(wait_timer_);
  context_.counters.note_crawl_waits(1, context_.unix_of(until));
  context_.failures.note(LogLevel::kInfo, "crawl",
                         "listing directories has used its quarter of the Hub's API quota, and "
                         "waits for the next: `hubvfs status` says until when");
  wait_timer_ = context_.engine.after(until, [this] {
    wait_timer_ = 0;
    go_on();
  });
  return true;
}

void HttpCall::stop_waiting_for_share() {
  if (!left_while_waiting_) return;
  deadline_ = context_.clock.awake() + *left_while_waiting_;
  left_while_waiting_.reset();
  context_.counters.note_crawl_waits(-1, 0);
}

void HttpCall::go_on() {
  stop_waiting_for_share();
  arm_deadline();
  send();
}

void HttpCall::end_crawl() {
  raise_priority(Priority::kDemand);
  if (!left_while_waiting_) return;
  stop_timer(wait_timer_);
  go_on();
}

}  // namespace hubvfs::hub
