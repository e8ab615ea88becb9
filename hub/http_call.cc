// SPDX-License-Identifier: Apache-2.0
#include "hub/http_call.h"

#include <algorithm>

#include "base/text.h"

namespace hubvfs::hub {
namespace {

constexpr int kMaxHops = 5;
constexpr std::uint64_t kMaxUnwanted = 64u << 10;  // body bytes of a redirect or an error

// A gateway that echoes what it was sent must not bring the token into our log.
void hide(const std::string& secret, std::string& text) {
  if (secret.empty()) return;
  for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos;) {
    text.replace(at, secret.size(), "[token]");
  }
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

HttpCall::HttpCall(CallContext& context, Kind kind, Priority priority, TimePoint deadline,
                   Asked asked)
    : context_(context),
      priority_(priority),
      kind_(kind),
      asked_(std::move(asked)),
      allowance_(std::max(Duration::zero(), deadline - context.clock.now())),
      deadline_(context.clock.awake() + allowance_),
      patience_(patience_for(allowance_)),
      answers_before_(context.outage.answers()) {}

HttpCall::~HttpCall() {
  context_.engine.cancel(transfer_);
  for (TimerId* timer : {&deadline_timer_, &pace_timer_, &wait_timer_}) stop_timer(*timer);
  stop_waiting_for_share();
}

void HttpCall::stop_timer(TimerId& timer) {
  context_.engine.cancel_timer(timer);
  timer = 0;
}

Error HttpCall::bad_answer(const std::string& why) const {
  return error_of_bad_answer(asked_, url_, why);
}

bool HttpCall::refuse(Error error) {
  refusal_ = std::move(error);
  return false;
}

void HttpCall::raise_priority(Priority priority) {
  priority_ = std::min(priority_, priority);
  context_.engine.raise_priority(transfer_, priority_);
}

void HttpCall::move_deadline() { deadline_ = context_.clock.awake() + allowance_; }

void HttpCall::arm_deadline() {
  deadline_timer_ = context_.engine.after(context_.clock.now() + time_left(), [this] {
    deadline_timer_ = 0;
    if (time_left() > Duration::zero()) return arm_deadline();  // it has moved on
    const std::string late = what() + ": no progress before the deadline";
    conclude(last_error_ ? last_error_->within(late + "; before that")
                         : Error{ErrorCode::kTimedOut, late + ": check the network"});
  });
}

void HttpCall::conclude(Result<void> result) {
  if (ended_) return;
  ended_ = true;
  context_.engine.cancel(transfer_);
  transfer_ = 0;
  for (TimerId* timer : {&deadline_timer_, &pace_timer_, &wait_timer_}) stop_timer(*timer);
  stop_waiting_for_share();
  if (!result) {
    const Error& error = result.error();
    context_.counters.note_end(error, context_.clock.unix_now());
    context_.log.debug(error.context);
    note_outage(error);
  }
  concluded(std::move(result));
}

void HttpCall::start_chain(const Url& url) {
  url_ = url;
  hops_ = 0;
  visited_ = {url.text()};
  send();
}

// A lookup that nobody would answer is not sent. Bytes of a file have a deadline of their own, and
// readers who wait for them.
bool HttpCall::given_up() {
  if (kind_ != Kind::kMetadata || admitted_) return false;
  const auto verdict = context_.outage.admit(context_.clock.now());
  probe_ = verdict == Outage::Verdict::kProbe;
  admitted_ = verdict != Outage::Verdict::kDoNotAsk;
  if (admitted_) return false;
  conclude(context_.outage.error().within(what() + ": not asked, the Hub cannot be reached"));
  return true;
}

void HttpCall::note_outage(const Error& error) {
  if (!admitted_ || context_.outage.answers() != answers_before_) return;
  if (error.code != ErrorCode::kUnavailable && error.code != ErrorCode::kTimedOut) return;
  if (context_.outage.note_failure(error, heard_5xx_, context_.clock.now())) {
    context_.failures.note(
        LogLevel::kWarning, "outage",
        "the Hub cannot be reached: what is cached goes on, and it is asked again every 5 s");
  }
  if (!context_.outage.is_on()) return;
  context_.counters.note_outage(error, context_.clock.unix_now(),
                                context_.unix_of(context_.outage.next_probe()));
}

TransferSpec HttpCall::make_spec() {
  TransferSpec spec;
  spec.url = url_.text();
  spec.secure = url_.is_secure();
  spec.proxy = context_.proxies.proxy_for(url_);
  spec.priority = priority_;
  spec.continues = hops_ > 0 || preempted_;
  spec.content = kind_ == Kind::kFile;
  ask_for_range(spec);
  spec.fresh = stalls_ > 0;
  spec.patience = 1 << std::min(stalls_, 5);
  spec.connect_timeout = patience_.connect;
  spec.bearer = bearer_;
  return spec;
}

void HttpCall::send() {
  if (ended_) return;
  token_ = at_endpoint() ? context_.token.ask() : std::string();
  bearer_ = refused_ || context_.token.is_useless(token_) ? std::string() : token_;
  if (waits_for_share() || held_back() || given_up()) return;
  has_head_ = false;
  takes_body_ = false;
  cut_off_ = false;
  refusal_.reset();
  received_ = 0;
  pace_mark_ = 0;
  head_.clear();
  transfer_ = context_.engine.start(make_spec(), *this);
}

void HttpCall::on_hedged() { ++context_.counters.requests; }

void HttpCall::on_transfer_started() {
  ++context_.counters.requests;
  if (kind_ == Kind::kMetadata) ++context_.counters.metadata_requests;
  if (is_resolve() && hops_ == 0) ++context_.counters.resolve_requests;
  watch_pace(patience_.first_byte);
}

void HttpCall::watch_pace(Duration window) {
  pace_timer_ = context_.engine.after(context_.clock.now() + window, [this] {
    pace_timer_ = 0;
    check_pace();
  });
}

void HttpCall::check_pace() {
  const double seconds = std::chrono::duration<double>(patience_.stall).count();
  const auto least = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(seconds * static_cast<double>(kLeastRate)));
  if (has_head_ && received_ - pace_mark_ >= least) {
    pace_mark_ = received_;
    return watch_pace(patience_.stall);
  }
  context_.engine.cancel(transfer_);
  transfer_ = 0;
  if (takes_body_ && body_is_whole()) return completed(head_);
  const std::string cause = url_.origin() + (has_head_ ? " stalled" : " does not answer");
  retry_later({ErrorCode::kTimedOut,
               what() + ": " + cause + ": check the network, or ask again later", cause},
              made_progress());
}

bool HttpCall::may_send_to(std::string_view address) {
  // Through a proxy the peer is the proxy; names are then its to judge.
  if (!context_.proxies.proxy_for(url_).empty()) return true;
  const AddressClass kind = address_class(address);
  if (at_endpoint()) {
    context_.policy.endpoint_class = kind;
    return true;
  }
  const bool own_host = url_.host == context_.policy.endpoint.host;
  if (own_host || may_redirect_to(context_.policy.endpoint_class, kind)) return true;
  return refuse(bad_answer("redirect to " + url_.for_log() + " is refused: it is at " +
                           std::string(address)));
}

bool HttpCall::on_head(const HttpHead& head) {
  head_ = head;
  has_head_ = true;
  for (std::string* text : {&head_.error_code, &head_.error_message, &head_.warning}) {
    hide(bearer_, *text);
  }
  if (at_endpoint()) {
    if (kind_ == Kind::kMetadata) context_.crawl_share.note_answer(head, context_.clock.now());
    if (!head_.warning.empty()) context_.tell_warning(head_.warning);
    if (head.status >= 500) heard_5xx_ = true;
    if (head.status < 500 && context_.outage.note_answer()) {
      context_.counters.note_reachable();
      context_.failures.note(LogLevel::kInfo, "outage", "the Hub answers again");
    }
  }
  if (head.status != 200 && head.status != 206) return true;
  const auto checked = check_success(head);
  if (!checked) return refuse(checked.error());
  takes_body_ = true;
  return true;
}

bool HttpCall::on_body(ByteView bytes) {
  context_.counters.bytes_received += bytes.size();
  received_ += bytes.size();
  if (takes_body_) return take_body(bytes);
  cut_off_ = received_ > kMaxUnwanted;
  return !cut_off_;
}

void HttpCall::on_transfer_end(const TransferEnd& end) {
  transfer_ = 0;
  stop_timer(pace_timer_);
  if (refusal_) {
    const Error error = *refusal_;
    if (!recover(head_, error)) conclude(error);
    return;
  }
  const bool answered = end.complete || cut_off_ || (takes_body_ && body_is_whole());
  if (!answered) return judge_broken(end);
  judge_status();
}

void HttpCall::judge_broken(const TransferEnd& end) {
  if (end.suspended) return restart();
  preempted_ = end.preempted;
  if (made_progress()) stalls_ = 0;
  if (end.stalled) {
    ++stalls_;
    ++context_.counters.retries;
    context_.log.debug(what() + ": " + url_.origin() + " stalled; asked again");
  }
  if (end.stalled || end.preempted) return restart();
  if (end.refused) return conclude({ErrorCode::kOutOfMemory, what()});
  const Error error = error_of_transfer(end, asked_, url_, context_.proxies.proxy_for(url_));
  if (end.bad_answer || end.untrusted) return conclude(error);
  retry_later(error, made_progress());
}

void HttpCall::judge_status() {
  const int status = head_.status;
  if (takes_body_ || is_redirect(status)) {
    if (at_endpoint()) note_taken();
    return takes_body_ ? completed(head_) : follow();
  }
  if (kind_ == Kind::kFile && (status == 429 || status == 503)) context_.engine.note_refused();
  if (status == 429) return judge_limit();
  if (at_endpoint() && (status == 401 || status == 403)) return judge_refusal();
  const Error error = error_of_answer(head_, asked_, url_, context_.token.name());
  if (is_transient_status(status)) return retry_later(error, false);
  if (!recover(head_, error)) conclude(error);
}

// The endpoint gave what was asked for, with the token or without one that it had refused.
void HttpCall::note_taken() {
  if (!bearer_.empty() || token_.empty()) return context_.counters.note_refused_token("");
  if (!refused_) return;
  context_.counters.note_refused_token(context_.token.origin());
  if (suspect_.empty() || !context_.token.note_useless(suspect_)) return;
  context_.log.warning(refused_->context + "; public repos go on without it");
}

void HttpCall::follow() {
  if (head_.location.empty()) return conclude(bad_answer("redirect without a Location"));
  if (++hops_ > kMaxHops) return conclude(bad_answer("more than 5 redirects"));
  const auto target = resolve_url(url_, head_.location);
  if (!target) return conclude(target.error().within(what()));
  if (const auto checked = check_redirect(context_.policy, *target); !checked) {
    return conclude(checked.error().within(what()));
  }
  if (kind_ == Kind::kMetadata && !target->same_origin(context_.policy.endpoint)) {
    return conclude({ErrorCode::kBadAnswer, what() + ": redirect to " + target->origin() +
                                                ": if that is the Hub, make it the endpoint"});
  }
  if (std::find(visited_.begin(), visited_.end(), target->text()) != visited_.end()) {
    return conclude(bad_answer("redirect loop"));
  }
  if (const auto checked = check_hop(head_, *target); !checked) return conclude(checked.error());
  visited_.push_back(target->text());
  url_ = *target;
  send();
}

// 401 or 403 of the endpoint. An expired token spoils public repos too (hub-protocol F), so what
// it may not have is asked for once more without it.
void HttpCall::judge_refusal() {
  const Error error = error_of_answer(head_, asked_, url_, context_.token.name());
  const bool gated = error.code == ErrorCode::kGated;
  if (!gated && !bearer_.empty()) {
    if (head_.status == 401) suspect_ = bearer_;
    refused_ = error;
    ++context_.counters.retries;
    return restart();
  }
  // What is wrong is what the token was told, not that nobody else may have it.
  const Error& told = refused_ && !gated ? *refused_ : error;
  if (recover(head_, told)) return;
  if (told.code == ErrorCode::kPermissionDenied && !token_.empty() && !is_disabled(head_)) {
    context_.counters.note_refused_token(context_.token.origin());
  }
  conclude(told);
}

void HttpCall::wait_until(TimePoint when, const Error& if_too_late) {
  if (when - context_.clock.now() >= time_left()) return conclude(if_too_late);
  last_error_ = if_too_late;
  stop_timer(wait_timer_);
  wait_timer_ = context_.engine.after(when, [this] {
    wait_timer_ = 0;
    restart();
  });
}

void HttpCall::retry_later(Error error, bool at_once) {
  stop_timer(pace_timer_);
  if (probe_) return conclude(error);
  failures_ = at_once ? 0 : failures_ + 1;
  const Duration wait = at_once ? Duration::zero() : context_.backoff.wait(failures_);
  const TimePoint when = context_.clock.now() + wait;
  if (wait < time_left()) {
    ++context_.counters.retries;
    context_.log.debug(error.context + "; asked again");
  }
  wait_until(when, error);
}

}  // namespace hubvfs::hub
