// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_session.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/control_socket.h"
#include "daemon/messages.h"
#include "daemon/supervisor.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::seconds;

constexpr auto kLockPatience = seconds(60);
constexpr auto kHelloPatience = seconds(20);
constexpr auto kWorkerPatience = seconds(20);  // for what is in memory to get to the disk
constexpr const char* kGoOn = "run the same command again and it goes on from there";

// SIGINT, SIGTERM and SIGHUP as a descriptor, while it lives.
class CaughtSignals {
 public:
  CaughtSignals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
    ::sigprocmask(SIG_BLOCK, &set, &before_);
    fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~CaughtSignals() {
    signalfd_siginfo info{};  // one that was heeded must not come again
    while (fd_ && ::read(fd_.get(), &info, sizeof info) > 0) {
    }
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  CaughtSignals(const CaughtSignals&) = delete;
  CaughtSignals& operator=(const CaughtSignals&) = delete;
  int fd() const { return fd_.get(); }

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

// A worker that serves no mounts, for this command alone.
class OwnWorker {
 public:
  static Result<std::unique_ptr<OwnWorker>> start(const WorkerSettings& settings) {
    std::unique_ptr<OwnWorker> made(new OwnWorker);
    auto supervisor =
        Supervisor::create(settings.encode(), settings.cache_path, made->log_, made->clock_);
    if (!supervisor) return supervisor.error();
    made->supervisor_ = std::move(*supervisor);
    if (!made->supervisor_->start_if_due()) {
      return {ErrorCode::kUnavailable, made->supervisor_->counts().last_death};
    }
    return made;
  }
  ~OwnWorker() {
    if (supervisor_) supervisor_->stop(kWorkerPatience);
  }
  OwnWorker(const OwnWorker&) = delete;
  OwnWorker& operator=(const OwnWorker&) = delete;

  int link() const { return supervisor_->current().link.get(); }
  // What it said of itself before it ended; "" for nothing.
  std::string last_words() const {
    while (wait_readable(link(), seconds(1))) {
      auto message = receive_message(link());
      if (!message) break;
      ByteReader in(message->body);
      const bool of_itself = in.integer<std::uint32_t>() == kWholeWorker;
      if (message->kind != MessageKind::kFailed || !of_itself) continue;
      return escape_for_log(as_text(message->body).substr(sizeof kWholeWorker), 2048);
    }
    return "";
  }

 private:
  OwnWorker() = default;
  NullLogger log_;
  SystemClock clock_;
  std::unique_ptr<Supervisor> supervisor_;
};

Result<std::unique_ptr<OwnWorker>> start_own(const CommandCall& call, const GetEnv& getenv) {
  WorkerSettings settings = call.settings;
  auto log_file = make_log_file_path(getenv);
  if (!log_file) return log_file.error();
  settings.log_file = *log_file;
  return OwnWorker::start(settings);
}

std::vector<int> with_fd(std::vector<int> fds, int fd) {
  if (fd >= 0) fds.push_back(fd);
  return fds;
}

// A limit that was asked for and is not the daemon's: the daemon's holds.
void tell_of_other_size(const Introduction& daemon, const CommandCall& call,
                        const CommandEvents& events) {
  const std::uint64_t asked = call.settings.cache_size;
  if (asked == 0 || asked == daemon.settings.cache_size || !events.on_note) return;
  events.on_note("cache.size stays as the daemon (process " + std::to_string(daemon.pid) +
                 ") was started with; it counts once what that has mounted is unmounted");
}

Result<void> ask(int daemon, const CommandCall& call, const CommandEvents& events) {
  auto who = ask_introduction(daemon, kHelloPatience);
  if (!who) return who.error();
  tell_of_other_size(*who, call, events);
  if (call.asks_hub) {
    if (auto same = compare_hub(*who, Introduction::of(call.settings)); !same) return same;
  }
  return send_message(daemon, MessageKind::kCommand, call.request.encode(), with_fd({}, call.fd));
}

// The connection over which the daemon's worker answers; kNotFound: there is no daemon.
Result<UniqueFd> ask_daemon(const ControlFolder& folder, const CommandCall& call,
                            const CommandEvents& events) {
  for (;;) {
    auto connection = folder.connect();
    if (!connection) return connection;
    auto asked = ask(connection->get(), call, events);
    if (asked) return connection;
    // It was about to end, and has by now: its cache is free.
    if (asked.error().code != ErrorCode::kNotFound) return asked.error();
  }
}

Result<UniqueFd> ask_own_worker(const OwnWorker& worker, const CommandCall& call) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0) {
    return system_error(errno, "making a socket for the worker");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  auto sent = send_message(worker.link(), MessageKind::kCommand, call.request.encode(),
                           with_fd({theirs.get()}, call.fd));
  if (!sent && sent.error().code != ErrorCode::kNotFound) return sent.error();
  return ours;  // a worker that is gone has said why
}

Result<std::string> hear(int connection, int signals, const CommandEvents& events) {
  for (;;) {
    std::array<pollfd, 2> wait{{{signals, POLLIN, 0}, {connection, POLLIN, 0}}};
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) {
      return system_error(errno, "poll");
    }
    if (wait[0].revents != 0) {
      return {ErrorCode::kCancelled, std::string("stopped; ") + kGoOn};
    }
    if (wait[1].revents == 0) continue;
    auto message = receive_message(connection);
    if (!message) return message.error();
    const std::string text(as_text(message->body));
    switch (message->kind) {
      case MessageKind::kProgress: {
        auto progress = CommandProgress::decode(message->body);
        if (progress && events.on_progress) events.on_progress(*progress);
        break;
      }
      case MessageKind::kItem:
        if (events.on_item) events.on_item(text);
        break;
      case MessageKind::kDone:
        return text;
      case MessageKind::kRefused:
        return {ErrorCode::kUnavailable, text};
      default:
        return {ErrorCode::kBadAnswer,
                "the daemon is of another version of hubvfs: unmount what it "
                "has mounted, and mount again"};
    }
  }
}

Error worker_died(const std::string& why) {
  return {ErrorCode::kCancelled, "the worker died in the middle of it" + why + "; " + kGoOn};
}

Result<ControlFolder> open_folder(const CommandCall& call) {
  const std::string& path = call.settings.cache_path;
  if (!call.makes_cache && ::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    return {ErrorCode::kNotFound, "there is no cache at " + escape_for_log(path, 1024) +
                                      " yet; another one is named with -o cache.path=DIR"};
  }
  return ControlFolder::open(path, call.settings.cache_mode);
}

}  // namespace

Result<std::string> call_worker(CommandCall call, const CommandEvents& events,
                                const GetEnv& getenv) {
  auto folder = open_folder(call);
  if (!folder) return folder.error();
  // So that no daemon is just being started, or is ending, when the cache is opened here.
  if (auto locked = folder->lock(kLockPatience); !locked) return locked.error();
  auto connection = ask_daemon(*folder, call, events);
  // Until here a signal just ends this process: there is nothing to clear up.
  const CaughtSignals signals;
  if (signals.fd() < 0) return {ErrorCode::kIo, "no descriptor to hear of signals"};
  std::unique_ptr<OwnWorker> own;
  if (!connection && connection.error().code == ErrorCode::kNotFound) {
    auto started = start_own(call, getenv);
    if (!started) return started.error();
    own = std::move(*started);
    connection = ask_own_worker(*own, call);
  }
  folder->unlock();
  if (!connection) return connection.error();
  auto answer = hear(connection->get(), signals.fd(), events);
  connection->reset();  // what is under way is cancelled
  if (answer || answer.error().code != ErrorCode::kNotFound) return answer;
  if (own == nullptr) return worker_died(" (its log says why)");
  const std::string said = own->last_words();
  if (said.empty()) return worker_died("");
  return {ErrorCode::kUnavailable, said};
}

}  // namespace hubvfs::daemon
