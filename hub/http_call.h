// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/call_context.h"
#include "hub/hub_errors.h"

namespace hubvfs::hub {

// One thing asked of the Hub, however many requests it takes: redirects followed by us, the token
// sent to the endpoint's origin only, refusals asked again without it, waits that the Hub orders,
// and retries, all within a deadline. What it ends with is for its caller to log, who knows whether
// somebody waits for it.
//
// Lives on the engine's thread. It ends by concluded(), once; its owner then destroys it, not from
// within that call. Destroying it earlier ends it silently.
class HttpCall : public TransferObserver {
 public:
  ~HttpCall() override;
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

  void raise_priority(Priority priority);
  // What it is asked as (Terms); null: a demand.
  virtual const Crawl* crawl() const { return nullptr; }
  // That was raised: it goes on at once where it waits for its share.
  void end_crawl();
  // Ends the call. Not from within a callback of libcurl's, unless nothing is being transferred.
  void conclude(Result<void> result);

 protected:
  enum class Kind { kMetadata, kFile };
  HttpCall(CallContext& context, Kind kind, Priority priority, TimePoint deadline, Asked asked);

  // --- for the call itself ---
  void arm_deadline();
  void start_chain(const Url& url);  // a first request; redirects follow from here
  void move_deadline();              // there was progress
  // In check_success and take_body: the answer is not to be had, for this reason.
  bool refuse(Error error);
  void retry_later(Error error, bool at_once);
  const Url& url() const { return url_; }
  bool at_endpoint() const { return url_.same_origin(context_.policy.endpoint); }
  Error bad_answer(const std::string& why) const;
  const Asked& asked() const { return asked_; }
  const std::string& what() const { return asked_.what; }
  bool ended() const { return ended_; }

  // --- what the kinds of call differ in ---
  virtual void restart() = 0;  // ask again, from the first hop or wherever is best
  virtual void ask_for_range(TransferSpec&) const {}
  virtual Result<void> check_hop(const HttpHead& head, const Url& target) = 0;
  virtual Result<void> check_success(const HttpHead& head) = 0;  // status 200 or 206
  virtual bool take_body(ByteView bytes) = 0;                    // of such an answer
  // Whether such an answer is all there, though its connection broke.
  virtual bool body_is_whole() const { return false; }
  virtual void completed(const HttpHead& head) = 0;
  // A refusing status, or an answer that check_success or take_body refused. True: dealt with.
  virtual bool recover(const HttpHead& head, const Error& error) = 0;
  virtual bool is_resolve() const { return false; }  // the request now sent goes to /resolve/
  // How the last attempt went on: true when it brought enough to be worth an immediate retry.
  virtual bool made_progress() { return false; }
  virtual void concluded(Result<void> result) = 0;

  CallContext& context_;
  Priority priority_;

 private:
  void on_transfer_started() final;
  void on_hedged() final;
  bool may_send_to(std::string_view address) final;
  bool on_head(const HttpHead& head) final;
  bool on_body(ByteView bytes) final;
  void on_transfer_end(const TransferEnd& end) final;

  void send();
  TransferSpec make_spec();
  const Hold* hold() const;  // on the quota that counts this; null: none
  bool held_back();
  bool waits_for_share();
  void stop_waiting_for_share();
  void go_on();
  bool given_up();
  void note_outage(const Error& error);
  Duration time_left() const { return deadline_ - context_.clock.awake(); }
  void judge_broken(const TransferEnd& end);
  void judge_status();
  void follow();
  void judge_refusal();
  void judge_limit();
  void note_taken();
  void wait_until(TimePoint when, const Error& if_too_late);
  void watch_pace(Duration window);
  void check_pace();
  void stop_timer(TimerId& timer);
  Quota quota() const { return kind_ == Kind::kMetadata ? Quota::kApi : Quota::kResolvers; }

  const Kind kind_;
  const Asked asked_;
  Duration allowance_;
  TimePoint deadline_;  // on Clock::awake(): nothing can be done in a suspend
  std::optional<Duration> left_while_waiting_;  // of its time, while it waits for its share
  Patience patience_;

  Url url_;  // of the hop under way
  std::vector<std::string> visited_;
  int hops_ = 0;
  HttpHead head_;
  bool has_head_ = false;
  bool takes_body_ = false;
  bool cut_off_ = false;  // a body that nobody wants was too long
  std::optional<Error> refusal_;
  std::optional<Error> last_error_;
  std::uint64_t received_ = 0;   // in this attempt
  std::uint64_t pace_mark_ = 0;  // `received_` at the start of the window
  int failures_ = 0;
  int stalls_ = 0;          // in a row
  bool preempted_ = false;  // the request that comes next is the rest of one
  bool admitted_ = false;   // past the check for an outage
  bool probe_ = false;      // of an outage: one attempt only
  bool heard_5xx_ = false;
  std::uint64_t answers_before_;  // of the endpoint, when this call began

  std::string token_;             // configured, when the hop under way goes to the endpoint
  std::string bearer_;            // sent with it
  std::optional<Error> refused_;  // what the token brought us: go on without
  std::string suspect_;           // a token refused by a 401

  TransferId transfer_ = 0;
  TimerId deadline_timer_ = 0;
  TimerId pace_timer_ = 0;
  TimerId wait_timer_ = 0;
  bool ended_ = false;
};

}  // namespace hubvfs::hub
