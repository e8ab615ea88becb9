// SPDX-License-Identifier: Apache-2.0
#include "hub/curl_engine.h"

#include <curl/curl.h>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <exception>

#include "base/blocking.h"
#include "hub/curl_easy.h"

namespace hubvfs::hub {

struct CurlEngine::Global {
  Global() : ok(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {}
  ~Global() {
    if (ok) curl_global_cleanup();
  }
  bool ok;
};

struct CurlEngine::Multi {
  explicit Multi(int max_transfers) {
    if (handle == nullptr) return;
    curl_multi_setopt(handle, CURLMOPT_MAXCONNECTS, static_cast<long>(max_transfers) + 4);
    // A few transfers share an HTTP/2 connection; more would share one TCP window.
    curl_multi_setopt(handle, CURLMOPT_MAX_CONCURRENT_STREAMS, 4L);
  }
  ~Multi() { curl_multi_cleanup(handle); }
  CURLM* handle = curl_multi_init();
};

struct CurlEngine::Easy {
  ~Easy() { curl_easy_cleanup(handle); }
  CURL* handle = curl_easy_init();
};

struct CurlEngine::Transfer {
  TransferId id = 0;
  TransferSpec spec;
  TransferObserver* observer = nullptr;
  std::unique_ptr<Easy> easy;  // none while it waits
  TransferSink sink;
};

CurlEngine::CurlEngine(const Options& options, const Clock& clock, Logger& log)
    : options_(options), clock_(clock), log_(log), suspended_(clock.suspended()) {}

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

TransferId CurlEngine::start(TransferSpec spec, TransferObserver& observer) {
  auto transfer = std::make_unique<Transfer>();
  const TransferId id = next_id_++;
  transfer->id = id;
  transfer->spec = std::move(spec);
  transfer->observer = &observer;
  transfer->sink.observer = &observer;
  auto& queue = waiting_[static_cast<std::size_t>(transfer->spec.priority)];
  if (transfer->spec.continues) {
    queue.push_front(id);
  } else {
    queue.push_back(id);
  }
  transfers_.emplace(id, std::move(transfer));
  return id;
}

void CurlEngine::cancel(TransferId id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  Transfer& transfer = *found->second;
  if (transfer.easy) {
    detach(*transfer.easy);
  } else {
    std::erase(waiting_[static_cast<std::size_t>(transfer.spec.priority)], id);
  }
  transfers_.erase(found);
}

void CurlEngine::raise_priority(TransferId id, Priority priority) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  Transfer& transfer = *found->second;
  if (priority >= transfer.spec.priority) return;
  if (!transfer.easy) {
    std::erase(waiting_[static_cast<std::size_t>(transfer.spec.priority)], id);
    waiting_[static_cast<std::size_t>(priority)].push_back(id);
  }
  transfer.spec.priority = priority;
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
    if (transfer->easy) under_way.push_back(id);
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

void CurlEngine::start_waiting() {
  // What is not urgent leaves room, so that a demand never waits behind long read-aheads.
  const int for_others = options_.max_transfers - options_.max_transfers / 4;
  for (std::size_t priority = 0; priority < waiting_.size(); ++priority) {
    const int limit = priority == 0 ? options_.max_transfers : for_others;
    auto& queue = waiting_[priority];
    while (!queue.empty() && running_ < limit) {
      const TransferId id = queue.front();
      queue.pop_front();
      Transfer& transfer = *transfers_.at(id);
      transfer.observer->on_transfer_started();
      if (launch(transfer)) continue;
      TransferEnd end;
      end.failure = "libcurl cannot start a transfer";
      finish(id, end);
    }
  }
}

void CurlEngine::detach(const Easy& easy) {
  curl_multi_remove_handle(multi_->handle, easy.handle);
  --running_;
}

bool CurlEngine::launch(Transfer& transfer) {
  if (spare_.empty()) spare_.push_back(std::make_unique<Easy>());
  if (spare_.back()->handle == nullptr) return false;
  std::unique_ptr<Easy> easy = std::move(spare_.back());
  spare_.pop_back();
  CURL* handle = easy->handle;
  curl_easy_reset(handle);
  const bool ready = transfer.sink.headers.build(transfer.spec) &&
                     prepare_easy(handle, transfer.spec, options_.user_agent, options_.ca_file,
                                  options_.ca_path, transfer.sink) &&
                     curl_easy_setopt(handle, CURLOPT_PRIVATE, &transfer) == CURLE_OK &&
                     curl_multi_add_handle(multi_->handle, handle) == CURLM_OK;
  if (!ready) return false;
  transfer.easy = std::move(easy);
  ++running_;
  return true;
}

void CurlEngine::finish(TransferId id, const TransferEnd& end) {
  const auto found = transfers_.find(id);
  const std::unique_ptr<Transfer> transfer = std::move(found->second);
  transfers_.erase(found);
  if (transfer->easy) {
    detach(*transfer->easy);
    // What libcurl leaves in a handle that failed can make it refuse an option the next time.
    if (end.complete) spare_.push_back(std::move(transfer->easy));
  }
  transfer->observer->on_transfer_end(end);
}

void CurlEngine::collect_ended() {
  // The observers of those that ended may cancel others: look each up again.
  std::vector<std::pair<TransferId, CURLcode>> ended;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_->handle, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    char* data = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &data);
    ended.emplace_back(reinterpret_cast<Transfer*>(data)->id, message->data.result);
  }
  for (const auto& [id, code] : ended) {
    const auto found = transfers_.find(id);
    if (found == transfers_.end()) continue;
    const Transfer& transfer = *found->second;
    finish(id, end_of(transfer.sink, transfer.spec, transfer.easy->handle, code));
  }
}

int CurlEngine::poll_milliseconds() const {
  // poll() does not count a suspend: while anybody waits, it is looked for every second.
  const int longest = transfers_.empty() && timers_.empty() ? 60'000 : 1'000;
  if (timers_.empty()) return longest;
  const Duration left = timers_.begin()->first.first - clock_.now();
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
  collect_ended();
  start_waiting();
  bool more = false;
  {
    MutexLock lock(mutex_);
    more = !jobs_.empty();
  }
  if (!more) curl_multi_poll(multi_->handle, nullptr, 0, poll_milliseconds(), nullptr);
  return true;
}

}  // namespace hubvfs::hub
