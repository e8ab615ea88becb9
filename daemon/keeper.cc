// SPDX-License-Identifier: Apache-2.0
#include "daemon/keeper.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "daemon/privileges.h"
#include "daemon/worker_link.h"
#include "fs/fuse_device.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kInitTimeout = seconds(10);
// Deaths in a row before INIT is answered that end the mount.
constexpr unsigned kMostUnanswered = 5;
// So many deaths within a second, and the next start waits.
constexpr std::size_t kManyDeaths = 5;
constexpr auto kBackOff = seconds(1);
// After a kill of a hung worker; an unkillable one must not keep the next from starting.
constexpr auto kFenceGrace = seconds(1);
// For readers to finish after SIGTERM, and for the worker to end after that.
constexpr auto kStopPatience = seconds(5);
constexpr auto kWorkerPatience = seconds(3);

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

std::string how_it_died(int status) {
  if (WIFSIGNALED(status)) return "was killed by signal " + std::to_string(WTERMSIG(status));
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

bool ended_within(const UniqueFd& pidfd, Duration patience) {
  const auto ms = std::chrono::ceil<milliseconds>(patience).count();
  pollfd wait{pidfd.get(), POLLIN, 0};
  return ::poll(&wait, 1, static_cast<int>(ms)) == 1;
}

}  // namespace

Result<std::unique_ptr<Keeper>> Keeper::create(KeeperOptions options, Logger& log,
                                               const Clock& clock) {
  seal_process();
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);
  const sigset_t set = stop_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  auto mount = KernelMount::mount(options.dir, options.allow_other);
  if (!mount) return mount.error();
  std::unique_ptr<Keeper> keeper(new Keeper(std::move(options), std::move(*mount), log, clock));
  if (auto ready = keeper->prepare(); !ready) return ready.error();
  return keeper;
}

Keeper::Keeper(KeeperOptions options, KernelMount mount, Logger& log, const Clock& clock)
    : options_(std::move(options)),
      mount_(std::move(mount)),
      log_(log),
      clock_(clock),
      presence_(mount_.device()) {}

Keeper::~Keeper() { wind_up(); }

Result<void> Keeper::prepare() {
  const sigset_t set = stop_signals();
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return system_error(errno, "signalfd");
  // Here, once, so that no worker's death can lose it.
  auto init = fs::read_init_request(mount_.dev_fd(), kInitTimeout);
  if (!init) return init.error();
  init_request_ = std::move(*init);
  return {};
}

Result<void> Keeper::run() {
  start_at_ = clock_.now();
  while (!done_) {
    if (current_.pid == 0 && clock_.now() >= start_at_) start();
    if (!done_) wait_for_events();
  }
  wind_up();
  if (failure_) return *failure_;
  return {};
}

void Keeper::start() {
  auto worker =
      start_worker(mount_.dev_fd(), options_.dir, options_.worker_settings, init_request_);
  if (worker) {
    current_ = std::move(*worker);
    log_.debug("started worker " + std::to_string(current_.pid));
    return;
  }
  log_.error(worker.error().context);
  if (++unanswered_deaths_ >= kMostUnanswered) {
    failure_ = worker.error();
    done_ = true;
  }
  start_at_ = clock_.now() + kBackOff;
}

int Keeper::poll_timeout_ms() const {
  std::optional<TimePoint> next = stop_at_;
  if (current_.pid == 0 && (!next || start_at_ < *next)) next = start_at_;
  if (!next) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*next - clock_.now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, 60'000));
}

void Keeper::wait_for_events() {
  // A descriptor of -1 is skipped by poll. The device is watched for POLLERR only, which needs no
  // asking.
  std::vector<pollfd> events{
      {mount_.dev_fd(), 0, 0},          {signals_.get(), POLLIN, 0},
      {current_.link.get(), POLLIN, 0}, {current_.pidfd.get(), POLLIN, 0},
      {presence_.fd(), POLLIN, 0},      {ever_ready_ ? -1 : options_.audience_fd, 0, 0}};
  for (const WorkerProcess& corpse : corpses_) events.push_back({corpse.pidfd.get(), POLLIN, 0});
  if (::poll(events.data(), events.size(), poll_timeout_ms()) < 0 && errno != EINTR) {
    log_.error("poll failed in the keeper");
  }
  if (events[0].revents != 0) {
    done_ = true;  // unmounted, or the connection was aborted
    return;
  }
  if (events[4].revents != 0) presence_.dismiss_visitor();
  if (events[1].revents != 0) take_signals();
  if (events[5].revents != 0) begin_stop();
  bury_corpses();
  if (events[2].revents != 0) hear_worker();
  if (current_.pid != 0 && ended_within(current_.pidfd, Duration(0))) bury_current();
  if (stop_at_ && clock_.now() >= *stop_at_) done_ = true;
}

void Keeper::hear_worker() {
  auto message = receive_message(current_.link.get());
  if (!message) {
    // It closed its end. If it is not dying by itself it is not to be trusted with requests.
    if (!ended_within(current_.pidfd, kFenceGrace)) fence();
    return;
  }
  if (message->kind == MessageKind::kFailed) {
    worker_said_ = escape_for_log(as_text(message->body), 2048);
    return;
  }
  if (message->kind != MessageKind::kReady) return fence();
  current_.ready = true;
  unanswered_deaths_ = 0;
  if (ever_ready_) return;
  ever_ready_ = true;
  mount_.raise_read_ahead();
  if (options_.on_ready) options_.on_ready();
}

// Nothing more is heard from it, and nothing more served by it, before another one starts.
void Keeper::fence() {
  log_.warning("worker " + std::to_string(current_.pid) + " does not behave: killing it");
  current_.link.reset();
  ::syscall(SYS_pidfd_send_signal, current_.pidfd.get(), SIGKILL, nullptr, 0);
  corpses_.push_back(std::move(current_));
  current_ = {};
  start_at_ = clock_.now() + kFenceGrace;  // sooner when it dies sooner
}

void Keeper::bury_corpses() {
  for (std::size_t i = corpses_.size(); i-- > 0;) {
    if (!ended_within(corpses_[i].pidfd, Duration(0))) continue;
    ::waitpid(corpses_[i].pid, nullptr, 0);
    corpses_.erase(corpses_.begin() + static_cast<std::ptrdiff_t>(i));
    if (current_.pid == 0) {
      start_at_ = std::min(start_at_, clock_.now());
    } else if (ever_ready_) {
      // What it held since its successor began is asked for again.
      if (auto sent = fs::write_resend(mount_.dev_fd()); !sent) log_.error(sent.error().context);
    }
  }
}

void Keeper::bury_current() {
  // What it still had to say lies in the socket.
  pollfd said{current_.link.get(), POLLIN, 0};
  while (::poll(&said, 1, 0) == 1 && (said.revents & POLLIN) != 0) {
    auto message = receive_message(current_.link.get());
    if (!message) break;
    if (message->kind == MessageKind::kFailed) {
      worker_said_ = escape_for_log(as_text(message->body), 2048);
    }
    if (message->kind == MessageKind::kReady) current_.ready = true;
  }
  int status = 0;
  ::waitpid(current_.pid, &status, 0);
  const std::string name = "worker " + std::to_string(current_.pid);
  const bool was_ready = current_.ready;
  current_ = {};
  if (device_gone()) {
    done_ = true;
    return;
  }
  const std::string why = worker_said_.empty() ? how_it_died(status) : worker_said_;
  unanswered_deaths_ = was_ready ? 0 : unanswered_deaths_ + 1;
  const bool hopeless = unanswered_deaths_ >= kMostUnanswered ||
                        (!ever_ready_ && !was_ready && !worker_said_.empty());
  if (hopeless) {
    failure_ =
        Error{ErrorCode::kUnavailable, worker_said_.empty() ? "the worker " + why : worker_said_};
    done_ = true;
    return;
  }
  if ((ever_ready_ || was_ready) && !fs::offers_resend(init_request_)) {
    failure_ =
        Error{ErrorCode::kUnsupported, "the worker " + why +
                                           ", and this kernel cannot send its requests again "
                                           "(Linux 6.9 can): unmounted; run `hubvfs mount` again"};
    done_ = true;
    return;
  }
  ever_ready_ = ever_ready_ || was_ready;
  worker_said_.clear();
  log_.warning(name + " " + why + ": starting another");
  const TimePoint now = clock_.now();
  deaths_.push_back(now);
  while (now - deaths_.front() > seconds(1)) deaths_.pop_front();
  start_at_ = deaths_.size() >= kManyDeaths ? now + kBackOff : now;
}

void Keeper::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP && !options_.stop_on_hangup) continue;
    log_.info("signal " + std::to_string(info.ssi_signo) + ": unmounting " +
              escape_for_log(options_.dir));
    begin_stop();
  }
}

void Keeper::begin_stop() {
  if (stop_at_) return;
  stop_at_ = clock_.now() + kStopPatience;
  mount_.detach();
}

bool Keeper::device_gone() const {
  pollfd device{mount_.dev_fd(), 0, 0};
  return ::poll(&device, 1, 0) == 1;
}

void Keeper::wind_up() {
  mount_.detach();
  if (current_.pid != 0) {
    // It ends by itself when the mount is gone; where files are still open it has to be told.
    static_cast<void>(send_message(current_.link.get(), MessageKind::kStop, {}));
    if (!ended_within(current_.pidfd, kWorkerPatience)) {
      log_.warning("worker " + std::to_string(current_.pid) + " does not end: killing it");
    }
    corpses_.push_back(std::move(current_));
    current_ = {};
  }
  for (const WorkerProcess& corpse : corpses_) {
    ::syscall(SYS_pidfd_send_signal, corpse.pidfd.get(), SIGKILL, nullptr, 0);
    if (ended_within(corpse.pidfd, seconds(1))) ::waitpid(corpse.pid, nullptr, 0);
  }
  corpses_.clear();
}

}  // namespace hubvfs::daemon
