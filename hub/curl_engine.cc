// SPDX-License-Identifier: Apache-2.0
#include "hub/curl_engine.h"

#include <curl/curl.h>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <exception>

#include "base/blocking.h"
#include "hub/curl_transfer.h"

namespace hubvfs::hub {

struct CurlEngine::Global {
  Global() : ok(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {}
  ~Global() {
    if (ok) curl_global_cleanup();
  }
  bool ok;
};

CurlEngine::CurlEngine(const Options& options, const Clock& clock, Logger& log)
    : options_(options),
      clock_(clock),
      log_(log),
      suspended_(clock.suspended()),
      model_(options.max_transfers) {
  publish();
}

Result<std::unique_ptr<CurlEngine>> CurlEngine::create(const Options& options, const Clock& clock,
                                                       Logger& log) {
  if (options.max_transfers < 1 || options.max_transfers > 1024) {
    return Error{ErrorCode::kInvalidArgument, "max_connections must be between 1 and 1024"};
  }
  std::unique_ptr<CurlEngine> engine(new CurlEngine(options, clock, log));
  engine->global_ = std::make_unique<Global>();
  if (!engine->global_->ok) return Error{ErrorCode::kInternal, "libcurl cannot be initialised"};
  engine->multi_ = std::make_unique<Multi>(options.max_transfers);
  if (engine->multi_->handle == nullptr) return Error{ErrorCode::kOutOfMemory, "curl_multi_init"};
  engine->thread_ = std::thread([raw = engine.get()] { raw->run(); });
  return engine;
}

CurlEngine::~CurlEngine() {
  if (thread_.joinable()) stop([] {});
  transfers_.clear();
  spare_.clear();
}

void CurlEngine::wake() {
  MutexLock lock(mutex_);
  curl_multi_wakeup(multi_->handle);
}

void CurlEngine::post(std::function<void()> job) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    first = jobs_.empty();
    jobs_.push_back(std::move(job));
  }
  if (first) wake();
}

void CurlEngine::stop(std::function<void()> last) {
  {
    MutexLock lock(mutex_);
    jobs_.push_back(std::move(last));
    stopping_ = true;
  }
  wake();
  assert_may_block("the Hub client's thread to end");
  thread_.join();
}

TimerId CurlEngine::after(TimePoint when, std::function<void()> job) {
  const TimerId id = next_id_++;
  timers_.emplace(std::pair(when, id), std::move(job));
  timer_times_.emplace(id, when);
  return id;
}

void CurlEngine::cancel_timer(TimerId id) {
  const auto found = timer_times_.find(id);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, id});
  timer_times_.erase(found);
}

bool CurlEngine::run_jobs() {
  for (;;) {
    std::vector<std::function<void()>> jobs;
    {
      MutexLock lock(mutex_);
      if (jobs_.empty()) return !stopping_;
      jobs.swap(jobs_);
    }
    for (const auto& job : jobs) job();
  }
}

// The other end of every connection has given it up by now, and nothing here knows it: a transfer
// would hang on it until its pace is looked at, and the next one would begin on it.
void CurlEngine::notice_suspend() {
  constexpr Duration kLeast = std::chrono::seconds(1);  // the two clocks are not read at once
  const Duration suspended = clock_.suspended();
  if (suspended - suspended_ < kLeast) return;
  log_.info("awake again: connections are made anew");
  suspended_ = suspended;
  std::vector<TransferId> under_way;
  for (const auto& [id, transfer] : transfers_) {
    if (!transfer->legs.empty()) under_way.push_back(id);
  }
  TransferEnd end;
  end.suspended = true;
  end.failure = "the machine was suspended";
  for (const TransferId id : under_way) {
    if (transfers_.contains(id)) finish(id, end);  // the observer of another may have cancelled it
  }
  auto fresh = std::make_unique<Multi>(options_.max_transfers);
  if (fresh->handle == nullptr) return;
  MutexLock lock(mutex_);
  multi_.swap(fresh);
}

void CurlEngine::run_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= clock_.now()) {
    const auto first = timers_.begin();
    const auto job = std::move(first->second);
    timer_times_.erase(first->first.second);
    timers_.erase(first);
    job();
  }
}

int CurlEngine::poll_milliseconds() const {
  // poll() does not count a suspend: while anybody waits, it is looked for every second.
  const int longest = transfers_.empty() && timers_.empty() ? 60'000 : 1'000;
  Duration left = Duration::max();
  if (!timers_.empty()) left = timers_.begin()->first.first - clock_.now();
  if (next_watch_ != TimePoint::max()) left = std::min(left, next_watch_ - clock_.awake());
  if (left == Duration::max()) return longest;
  if (left <= Duration::zero()) return 0;
  const auto rounded_up = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<decltype(rounded_up)>(rounded_up, longest));
}

void CurlEngine::run() {
  // Signals are for the daemon's own thread; a SIGPIPE from within OpenSSL is for nobody.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "hubvfs-hub");
  for (bool more = true; more;) {
    try {
      more = run_once();
    } catch (const std::exception& error) {  // ours do not throw; memory may run out
      log_.error(std::string("Hub client: ") + error.what());
    }
  }
}

bool CurlEngine::run_once() {
  notice_suspend();
  if (!run_jobs()) return false;
  run_timers();
  start_waiting();
  int active = 0;
  const CURLMcode code = curl_multi_perform(multi_->handle, &active);
  if (code != CURLM_OK) log_.error(std::string("libcurl: ") + curl_multi_strerror(code));
  drop_losers();
  collect_ended();
  watch_all();
  start_waiting();
  publish();
  bool more = false;
  {
    MutexLock lock(mutex_);
    more = !jobs_.empty();
  }
  if (!more) curl_multi_poll(multi_->handle, nullptr, 0, poll_milliseconds(), nullptr);
  return true;
}

}  // namespace hubvfs::hub
