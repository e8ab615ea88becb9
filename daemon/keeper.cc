// SPDX-License-Identifier: Apache-2.0
#include "daemon/keeper.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
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
// For readers to finish after SIGTERM, and for the worker to end after that.
constexpr auto kStopPatience = seconds(5);
constexpr auto kWorkerPatience = seconds(3);
constexpr auto kRefusePatience = milliseconds(200);

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

std::string shown(const std::string& dir) { return escape_for_log(dir, 1024); }

// A u32 number and what follows it.
std::pair<std::uint32_t, std::string> numbered(const Message& message) {
  ByteReader in(message.body);
  const auto number = in.integer<std::uint32_t>();
  if (!in.ok()) return {0, ""};
  const std::string_view rest = as_text(message.body).substr(sizeof number);
  return {number, escape_for_log(rest, 2048)};
}

MountPassthrough new_passthrough(const MountOrder& order, ByteView init_request) {
  return MountPassthrough(order.passthrough, init_request);
}

}  // namespace

Result<std::unique_ptr<Keeper>> Keeper::create(KeeperOptions options, Logger& log,
                                               const Clock& clock) {
  seal_process();
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);
  const sigset_t set = stop_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  std::unique_ptr<Keeper> keeper(new Keeper(std::move(options), log, clock));
  if (auto ready = keeper->prepare(); !ready) return ready.error();
  return keeper;
}

Keeper::Keeper(KeeperOptions options, Logger& log, const Clock& clock)
    : options_(std::move(options)), log_(log), clock_(clock), blobs_(options_.cache_path) {}

Keeper::~Keeper() { wind_up(); }

Result<void> Keeper::prepare() {
  const sigset_t set = stop_signals();
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return system_error(errno, "signalfd");
  auto supervisor = Supervisor::create(options_.worker_settings, options_.label, log_, clock_);
  if (!supervisor) return supervisor.error();
  supervisor_ = std::move(*supervisor);
  return {};
}

// ---- mounts

Result<void> Keeper::add(const MountOrder& order, int audience_fd, std::function<void()> on_ready) {
  auto kernel = KernelMount::mount(order.dir, order.allow_other);
  if (!kernel) return kernel.error();
  // Here, once, so that no worker's death can lose it.
  auto init = fs::read_init_request(kernel->dev_fd(), kInitTimeout);
  if (!init) return init.error();
  Held& held = mounts_.emplace_back();
  held.number = next_number_++;
  held.order = order;
  held.presence = Presence(kernel->device());
  held.kernel = std::move(*kernel);
  held.init_request = std::move(*init);
  held.passthrough = new_passthrough(held.order, held.init_request);
  held.audience_fd = audience_fd;
  held.on_ready = std::move(on_ready);
  if (supervisor_->running()) serve(held);
  return {};
}

Keeper::HeldIt Keeper::find(std::uint32_t number) {
  return std::find_if(mounts_.begin(), mounts_.end(),
                      [number](const Held& held) { return held.number == number; });
}

void Keeper::note_ready(Held& held) {
  settle_passthrough(held);
  if (held.ready) return;
  held.ready = true;
  held.kernel.raise_read_ahead();
  if (held.asker) {
    static_cast<void>(send_message(held.asker.get(), MessageKind::kDone, {}).has_value());
    held.asker.reset();
  }
  if (held.on_ready) held.on_ready();
}

void Keeper::fail_mount(HeldIt held, const std::string& why) {
  log_.error(shown(held->order.dir) + " is unmounted: " + why);
  if (mounts_.size() == 1) failure_ = Error{ErrorCode::kUnavailable, why};
  const UniqueFd asker = std::move(held->asker);
  let_go(held);
  // Afterwards, since it may want to remove the folder.
  if (asker) {
    static_cast<void>(send_message(asker.get(), MessageKind::kRefused, as_bytes(why)).has_value());
  }
}

// Ends the mount; whoever asks it anything gets an error.
Keeper::HeldIt Keeper::let_go(HeldIt held) {
  if (supervisor_->running()) {
    ByteWriter number;
    number.integer(held->number);
    static_cast<void>(
        send_message(supervisor_->current().link.get(), MessageKind::kStopMount, number.bytes())
            .has_value());
  }
  supervisor_->forget_mount(held->number);
  log_.info(shown(held->order.dir) + " is not served any more");
  if (mounts_.size() == 1) {
    done_ = true;
    last_visitors_ = std::move(held->visitors);
  }
  return mounts_.erase(held);
}

// ---- worker

void Keeper::serve(Held& held) {
  ServeOrder order;
  order.number = held.number;
  order.again = held.ready;
  order.passthrough = held.passthrough.state() != MountPassthrough::State::kOff;
  order.no_passthrough_because = held.passthrough.why_not();
  order.settings = held.order.settings;
  order.init_request = held.init_request;
  // A worker that cannot be told anything is dying, and its death is noticed.
  static_cast<void>(send_message(supervisor_->current().link.get(), MessageKind::kServe,
                                 order.encode(), {held.kernel.dev_fd()})
                        .has_value());
}

void Keeper::serve_all() {
  for (Held& held : mounts_) serve(held);
}

void Keeper::hear_worker() {
  const WorkerProcess& worker = supervisor_->current();
  auto message = receive_message(worker.link.get());
  if (message) return take(*message);
  // It closed its end. If it is not dying by itself it is not to be trusted with requests.
  if (!wait_readable(worker.pidfd.get(), seconds(1))) supervisor_->fence();
}

void Keeper::take(const Message& message) {
  if (message.kind == MessageKind::kOpenBacking) return open_backing(message.body);
  if (message.kind == MessageKind::kClosedBacking) return look_at_backing_within(kClosedHintAge);
  const auto [number, text] = numbered(message);
  if (message.kind == MessageKind::kFailed && number == kWholeWorker) {
    worker_said_ = text;
    return;
  }
  const HeldIt held = find(number);
  if (message.kind == MessageKind::kReady) {
    supervisor_->note_ready();
    if (held != mounts_.end()) note_ready(*held);
  } else if (message.kind == MessageKind::kFailed) {
    if (held != mounts_.end()) fail_mount(held, text);
  } else {
    supervisor_->fence();
  }
}

void Keeper::bury_current() {
  auto death = supervisor_->bury_current();
  if (!death) return;
  for (const Message& message : death->said) {
    const auto [number, text] = numbered(message);
    if (message.kind == MessageKind::kReady) {
      if (const HeldIt held = find(number); held != mounts_.end()) note_ready(*held);
    }
    if (message.kind == MessageKind::kFailed && number == kWholeWorker) worker_said_ = text;
  }
  const std::string said = std::exchange(worker_said_, "");
  const std::string why = said.empty() ? "the worker " + death->how : said;
  const bool ever_ready =
      std::any_of(mounts_.begin(), mounts_.end(), [](const Held& held) { return held.ready; });
  if (!ever_ready && !said.empty()) return give_up(said);
  if (supervisor_->hopeless()) {
    return give_up(why +
                   ", five times in 10 s and before it answered anything; mount again with "
                   "`hubvfs mount`, and report it with the log if that does not help");
  }
  log_.warning("worker " + std::to_string(death->pid) + ": " + why + ": starting another");
  if (ever_ready) remount_all();
}

// Where the kernel cannot be asked for unanswered requests again, they fail, and the mount is made
// anew.
void Keeper::remount_all() {
  for (HeldIt held = mounts_.begin(); held != mounts_.end();) {
    if (options_.may_resend && fs::offers_resend(held->init_request)) {
      ++held;
      continue;
    }
    supervisor_->forget_mount(held->number);  // its next connection gives the same numbers again
    if (auto done = remount(*held); done) {
      ++remounts_;
      ++held;
    } else {
      log_.error(shown(held->order.dir) + " cannot be mounted again: " + done.error().context);
      held = let_go(held);
    }
  }
}

Result<void> Keeper::remount(Held& held) const {
  if (!held.kernel.attached()) return {ErrorCode::kNotFound, "it was unmounted by somebody else"};
  held.kernel = KernelMount();  // aborts the connection: what waited for an answer fails
  held.presence = Presence();   // the next one may have the same device number, and so this name
  auto kernel = KernelMount::mount(held.order.dir, held.order.allow_other);
  if (!kernel) return kernel.error();
  auto init = fs::read_init_request(kernel->dev_fd(), kInitTimeout);
  if (!init) return init.error();
  held.kernel = std::move(*kernel);
  held.presence = Presence(held.kernel.device());
  held.init_request = std::move(*init);
  held.passthrough = new_passthrough(held.order, held.init_request);
  return {};
}

// Ends all mounts: what waits for an answer gets EIO, not a hang.
void Keeper::give_up(const std::string& why) {
  failure_ = Error{ErrorCode::kUnavailable, why};
  done_ = true;
  for (const WaitingCommand& waiting : waiting_) {
    static_cast<void>(
        send_message(waiting.connection.get(), MessageKind::kRefused, as_bytes(why)).has_value());
  }
  for (Held& held : mounts_) {
    if (held.asker) {
      static_cast<void>(
          send_message(held.asker.get(), MessageKind::kRefused, as_bytes(why)).has_value());
    }
    held.kernel.detach();
    if (held.ready) fs::refuse_requests(held.kernel.dev_fd(), kRefusePatience);
  }
}

std::string Keeper::restart_way() const {
  const bool resend =
      options_.may_resend && std::all_of(mounts_.begin(), mounts_.end(), [](const Held& held) {
        return fs::offers_resend(held.init_request);
      });
  return resend ? "resend" : "remount";
}

// ---- the loop

// A descriptor that is polled, and what to do when it has something.
struct Keeper::Watch {
  pollfd poll{};
  std::function<void()> act;
};

std::vector<Keeper::Watch> Keeper::watches() {
  std::vector<Watch> all;
  const auto watch = [&all](int fd, short events, std::function<void()> act) {
    if (fd >= 0) all.push_back({{fd, events, 0}, std::move(act)});
  };
  watch(signals_.get(), POLLIN, [this] { take_signals(); });
  if (supervisor_->running()) {
    watch(supervisor_->current().link.get(), POLLIN, [this] { hear_worker(); });
    watch(supervisor_->current().pidfd.get(), POLLIN, [] {});
  }
  for (const int fd : supervisor_->fenced_fds()) watch(fd, POLLIN, [] {});
  // While stopping, who wants to mount waits for the end, and then starts a daemon.
  if (!stop_at_) watch(options_.control.fd(), POLLIN, [this] { accept_command(); });
  for (std::size_t i = 0; i < commands_.size(); ++i) {
    watch(commands_[i].get(), POLLIN, [this, i] { hear_command(i); });
  }
  for (Held& held : mounts_) {
    // For POLLERR only, which needs no asking: unmounted, or the connection was aborted.
    watch(held.kernel.dev_fd(), 0, [this, number = held.number] {
      if (const HeldIt gone = find(number); gone != mounts_.end()) let_go(gone);
    });
    watch(held.presence.fd(), POLLIN, [this, &held] { accept_visitor(held); });
    for (std::size_t i = 0; i < held.visitors.size(); ++i) {
      watch(held.visitors[i].get(), POLLIN, [this, &held, i] { hear_visitor(held, i); });
    }
    if (held.ready) continue;
    const int waiting = held.asker ? held.asker.get() : held.audience_fd;
    watch(waiting, 0, [&held] {  // nobody waits for it any more
      held.kernel.detach();
      held.asker.reset();
      held.audience_fd = -1;
    });
  }
  return all;
}

int Keeper::poll_timeout_ms() const {
  std::optional<TimePoint> next = supervisor_->next_start();
  for (const auto& other : {stop_at_, look_at_backing_}) {
    if (other && (!next || *other < *next)) next = other;
  }
  if (!next) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*next - clock_.now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, 60'000));
}

void Keeper::wait_for_events() {
  std::vector<Watch> all = watches();
  std::vector<pollfd> events;
  events.reserve(all.size());
  for (const Watch& watch : all) events.push_back(watch.poll);
  if (::poll(events.data(), events.size(), poll_timeout_ms()) < 0 && errno != EINTR) {
    log_.error("poll failed in the keeper");
  }
  // One at a time: each may take away what another one is about.
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (events[i].revents == 0) continue;
    all[i].act();
    break;
  }
  const std::size_t buried = supervisor_->bury_fenced();
  for (Held& held : mounts_) {
    // What a fenced worker held since its successor began is asked for again.
    if (buried == 0 || !supervisor_->running() || !held.ready) continue;
    if (auto sent = fs::write_resend(held.kernel.dev_fd()); !sent) log_.error(sent.error().context);
  }
  if (!done_) bury_current();
  if (look_at_backing_ && clock_.now() >= *look_at_backing_) let_go_of_backing();
  if (stop_at_ && clock_.now() >= *stop_at_) done_ = true;
}

Result<void> Keeper::run() {
  while (!done_) {
    if (supervisor_->start_if_due()) {
      blobs_.forget();
      serve_all();
      hand_on_waiting();
    }
    if (supervisor_->hopeless()) give_up(supervisor_->counts().last_death);
    if (!done_) wait_for_events();
  }
  wind_up();
  if (failure_) return *failure_;
  return {};
}

void Keeper::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP && !options_.stop_on_hangup) continue;
    log_.info("signal " + std::to_string(info.ssi_signo) + ": unmounting");
    begin_stop();
  }
}

void Keeper::begin_stop() {
  if (stop_at_) return;
  stop_at_ = clock_.now() + kStopPatience;
  for (Held& held : mounts_) held.kernel.detach();
}

void Keeper::wind_up() {
  for (Held& held : mounts_) held.kernel.detach();
  // It ends by itself when the mounts are gone; where files are still open it has to be told.
  if (supervisor_) supervisor_->stop(kWorkerPatience);
  mounts_.clear();
}

}  // namespace hubvfs::daemon
