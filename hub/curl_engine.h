// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "hub/fair_share.h"
#include "hub/http_head.h"
#include "hub/hub_client.h"
#include "hub/link_model.h"

namespace hubvfs::hub {

using TransferId = std::uint64_t;
using TimerId = std::uint64_t;

// One HTTP GET: exactly what is sent. Nothing else goes out but Host, Accept-Encoding: identity,
// Accept and User-Agent; no cookie, no netrc, no redirect followed.
struct TransferSpec {
  std::string url;
  bool secure = true;  // https; otherwise plain http is the only protocol allowed
  std::string bearer;  // "" for none; must have passed is_token
  std::string range;   // "A-B", "" for none
  std::string proxy;   // "" for none
  Priority priority = Priority::kDemand;
  bool continues = false;  // a further hop of a call under way: before others of its class
  // A range of a file: the link model learns from it, it is watched for stalls, and what is no
  // demand may be preempted. Other transfers are only counted.
  bool content = false;
  bool fresh = false;       // on a new connection
  bool hedged = true;       // if it is a demand
  std::uint64_t flow = 0;   // whose share of the link it takes (FairShare); 0: nobody's
  std::uint64_t bytes = 0;  // of its range
  int patience = 1;         // how many times as long as usual it may stall
  Duration connect_timeout = std::chrono::seconds(10);
};

// How far a transfer had come when it failed.
enum class Hop { kName, kProxy, kConnect, kTls, kAnswer };

// How a transfer ended.
struct TransferEnd {
  bool complete = false;    // the whole answer came, whatever its status
  bool refused = false;     // the observer ended it
  bool suspended = false;   // the machine slept meanwhile: nobody's fault, ask again at once
  bool stalled = false;     // for longer than is usual: ask again at once, on a new connection
  bool preempted = false;   // by a demand: ask again, it is then the first of its class
  bool bad_answer = false;  // the server does not speak HTTP as it should
  bool untrusted = false;   // its certificate is not to be trusted: asking again will not help
  Hop hop = Hop::kAnswer;   // where it failed
  std::string failure;      // what libcurl says, else
};

// Who a transfer reports to. All but on_transfer_end are called from within libcurl: they must not
// cancel transfers, but may start them.
class TransferObserver {
 public:
  virtual ~TransferObserver() = default;
  virtual void on_transfer_started() = 0;  // it left the queue
  virtual void on_hedged() = 0;            // its request is sent a second time: nobody answers
  // Whether this peer, an IP address in text form, may be connected to and sent a request. Asked
  // before each of both, since a connection may be another transfer's.
  virtual bool may_send_to(std::string_view address) = 0;
  // The head is complete; 1xx answers are left out. False ends the transfer.
  virtual bool on_head(const HttpHead& head) = 0;
  virtual bool on_body(ByteView bytes) = 0;  // false ends the transfer
  virtual void on_transfer_end(const TransferEnd& end) = 0;
};

// One curl multi handle and the one thread that drives it, with its timers.
//
// It knows HTTP, not the Hub. Transfers start in the order of their priority, those of one class so
// that each flow gets about as much as another, at most `max_transfers` at a time, of which a
// quarter is kept for kDemand; what is no demand, or was none when it began, keeps to what the link
// model says as well. A demand that finds no room, or a link so busy that it would be held up, ends
// transfers of content that are none (`preempted`), and others wait until it is through. A demand
// for content whose answer is far past its usual time is hedged: asked for a second time, on
// another connection, at most 3 times in 100 (after a start of 2); the first answer counts. A
// transfer that stalls, and one that somebody waits for while it drags on a link that has room,
// ends (`stalled`). After the machine was suspended (Clock::suspended), transfers under way end and
// no old connection is used again. post(), advice() and link() are thread-safe; all else belongs to
// the engine's thread, where everything is called back.
class CurlEngine {
 public:
  struct Options {
    std::string user_agent;
    std::string ca_file;  // "": the system's
    std::string ca_path;
    int max_transfers = 64;
  };
  static Result<std::unique_ptr<CurlEngine>> create(const Options& options, const Clock& clock,
                                                    Logger& log);
  ~CurlEngine();
  CurlEngine(const CurlEngine&) = delete;
  CurlEngine& operator=(const CurlEngine&) = delete;

  // Runs `job` on the engine's thread, soon. Jobs posted before stop() all run.
  void post(std::function<void()> job) EXCLUDES(mutex_);
  // Runs `last` on the engine's thread and ends it. From another thread, once.
  void stop(std::function<void()> last) EXCLUDES(mutex_);

  TransferId start(TransferSpec spec, TransferObserver& observer);
  // Its observer hears nothing more. Unknown ids are ignored.
  void cancel(TransferId id);
  void raise_priority(TransferId id, Priority priority);

  // A server asks for less: a 429 or a 503 for content.
  void note_refused();

  FetchAdvice advice() const EXCLUDES(link_mutex_);
  LinkState link() const EXCLUDES(link_mutex_);

  TimerId after(TimePoint when, std::function<void()> job);
  void cancel_timer(TimerId id);

 private:
  struct Transfer;
  struct Leg;
  struct Easy;
  struct Multi;
  struct Global;

  CurlEngine(const Options& options, const Clock& clock, Logger& log);
  void run();
  bool run_once();                   // false: stopped
  bool run_jobs() EXCLUDES(mutex_);  // false: stopped
  void notice_suspend() EXCLUDES(mutex_);
  void run_timers();
  void start_waiting();
  std::optional<TransferId> take_next(std::size_t priority);
  bool may_start(std::size_t priority);
  static bool is_new_demand(const Transfer& transfer);
  bool demand_runs() const;
  void clear_the_way();
  std::vector<TransferId> preemptible() const;
  void preempt(TransferId id);
  void settle(const Transfer& transfer);
  bool launch(Transfer& transfer, bool fresh);
  void hedge(Transfer& transfer);
  Duration watch(Transfer& transfer, TimePoint now);
  bool drags(const Transfer& transfer, TimePoint now) const;
  void end_stalled(Transfer& transfer, const char* why);
  void watch_all();
  void drop_losers();
  void detach(const Easy& easy);
  void collect_ended();
  void leg_ended(TransferId id, const Leg* leg, int code);
  void finish(TransferId id, const TransferEnd& end);
  void note_running(TimePoint now);
  void publish() EXCLUDES(link_mutex_);
  int poll_milliseconds() const;
  void wake() EXCLUDES(mutex_);

  const Options options_;
  const Clock& clock_;
  Logger& log_;
  std::unique_ptr<Global> global_;
  // Replaced by the engine's thread with mutex_ held; other threads hold it to look.
  std::unique_ptr<Multi> multi_;

  // Of the engine's thread alone.
  Duration suspended_{};                           // as the clock said last
  std::array<std::deque<TransferId>, 4> waiting_;  // by priority
  std::unordered_map<TransferId, std::unique_ptr<Transfer>> transfers_;
  std::map<std::pair<TimePoint, TimerId>, std::function<void()>> timers_;
  std::unordered_map<TimerId, TimePoint> timer_times_;
  std::vector<std::unique_ptr<Easy>> spare_;  // of transfers that were complete
  int running_ = 0;                           // legs
  std::uint64_t next_id_ = 1;
  LinkModel model_;
  TimePoint next_watch_ = TimePoint::max();
  TimePoint demand_until_;  // others keep back until then
  double hedges_allowed_ = 2;
  FairShare share_;
  std::vector<TransferId> hedged_;  // of which one leg has won
  LinkState counted_;               // its counters
  LinkState published_;             // as link_ is

  mutable Mutex link_mutex_;  // lock rank: leaf
  LinkState link_ GUARDED_BY(link_mutex_);

  Mutex mutex_;  // lock rank: leaf; never held while a job or a transfer runs
  std::vector<std::function<void()>> jobs_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace hubvfs::hub
