// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ostream>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/child.h"
#include "daemon/commands/commands.h"
#include "daemon/control_socket.h"
#include "daemon/keeper.h"
#include "daemon/kernel_mount.h"
#include "daemon/mount_point.h"
#include "daemon/mountinfo.h"
#include "daemon/presence.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::seconds;

// From the daemon's process to the command that started it; anything else it says is an error.
constexpr std::string_view kReadyLine = "ready\n";
constexpr auto kOpenPatience = seconds(40);  // longer than a metadata deadline
constexpr auto kLockPatience = seconds(60);
constexpr auto kHelloPatience = seconds(20);
constexpr auto kEndPatience = seconds(20);

struct Mounting {
  MountPoint point;
  ResolvedMount resolved;

  MountOrder order() const {
    return {point.path, resolved.mount.allow_other, resolved.mount.encode(), resolved.passthrough};
  }
};

std::string shown(const std::string& path) { return escape_for_log(path, 1024); }

// DIR, or hf://REPO DIR.
Result<std::string> wanted_dir(const std::vector<std::string>& where, MountRequest& request) {
  const bool repo_first = where.front().rfind("hf://", 0) == 0;
  if (where.size() == 1 && repo_first) {
    return {ErrorCode::kInvalidArgument, "mount needs a folder to mount at: hubvfs mount " +
                                             escape_for_log(where.front()) + " DIR"};
  }
  if (where.size() == 2 && !repo_first) {
    return {ErrorCode::kInvalidArgument,
            "mount takes one folder; \"" + escape_for_log(where.front()) + "\" is no hf:// repo"};
  }
  if (where.size() == 2) request.repo = where.front();
  return where.back();
}

// The log file for a process that writes rarely: opened anew for each line, so that a line goes to
// the file of that name though the worker has moved the last one away. Standard error goes with it.
class SharedFileLogger final : public Logger {
 public:
  SharedFileLogger(std::string path, LogLevel least)
      : path_(std::move(path)), to_stderr_(make_stderr_logger(least)) {}
  void write(LogLevel level, std::string_view line) override {
    const UniqueFd file(open_log(path_));
    if (file) ::dup2(file.get(), STDERR_FILENO);
    to_stderr_->write(level, line);
  }
  static int open_log(const std::string& path) {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  }

 private:
  std::string path_;
  std::unique_ptr<Logger> to_stderr_;
};

KeeperOptions keeper_options(const Mounting& mounting, ControlSocket control) {
  const WorkerSettings& worker = mounting.resolved.worker;
  KeeperOptions options;
  options.worker_settings = worker.encode();
  options.label = worker.cache_path;
  options.cache_path = worker.cache_path;
  options.control = std::move(control);
  options.introduction = Introduction::of(worker).encode();
  return options;
}

Result<void> keep(const Mounting& mounting, KeeperOptions options, int audience_fd,
                  std::function<void()> on_ready, Logger& log) {
  const SystemClock clock;
  auto keeper = Keeper::create(std::move(options), log, clock);
  if (!keeper) return keeper.error();
  if (auto added = (*keeper)->add(mounting.order(), audience_fd, std::move(on_ready)); !added) {
    return added;
  }
  return (*keeper)->run();
}

// ---- a daemon that runs already

Result<void> join(int connection, const Mounting& mounting, const Introduction& daemon,
                  const Io& io) {
  auto notes = compare_settings(daemon, Introduction::of(mounting.resolved.worker));
  if (!notes) return notes.error();
  for (const std::string& note : *notes) io.err << "hubvfs: " << note << "\n";
  const auto patience = seconds(daemon.settings.metadata_deadline_seconds) + kHelloPatience;
  return ask_for_mount(connection, mounting.order(), patience);
}

// True: mounted by it. False: none runs.
Result<bool> join_daemon(const ControlFolder& folder, const Mounting& mounting, const Io& io) {
  for (;;) {
    auto connection = folder.connect();
    if (!connection && connection.error().code == ErrorCode::kNotFound) return false;
    if (!connection) return connection.error();
    auto daemon = ask_introduction(connection->get(), kHelloPatience);
    Result<void> joined =
        daemon ? join(connection->get(), mounting, *daemon, io) : Result<void>(daemon.error());
    if (joined) return true;
    // It was about to end, and has by now: its cache is free.
    if (joined.error().code != ErrorCode::kNotFound) return joined.error();
  }
}

// ---- a daemon of its own

// On a disk that takes no file the mount is worth having without it.
Result<ControlSocket> listen_for_commands(const ControlFolder& folder, const Io& io) {
  auto control = folder.listen();
  if (control) return control;
  const ErrorCode code = control.error().code;
  if (code != ErrorCode::kReadOnly && code != ErrorCode::kNoSpace && code != ErrorCode::kIo) {
    return control;
  }
  io.err << "hubvfs: " << control.error().context
         << ": no other command can reach this daemon but status and umount\n";
  return ControlSocket();
}

void say(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Standard error is the log file, for what does not come through a Logger.
bool leave_terminal(const std::string& log_file) {
  const UniqueFd null_fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd log_fd(SharedFileLogger::open_log(log_file));
  ::umask(022);
  return null_fd && log_fd && ::setsid() >= 0 && ::chdir("/") == 0 &&
         ::dup2(null_fd.get(), 0) >= 0 && ::dup2(null_fd.get(), 1) >= 0 &&
         ::dup2(log_fd.get(), 2) >= 0;
}

[[noreturn]] void be_daemon(const Mounting& mounting, ControlSocket control, UniqueFd report) {
  const std::string& log_file = mounting.resolved.worker.log_file;
  if (!leave_terminal(log_file)) {
    const std::string why = "the daemon could not start: log file " + escape_for_log(log_file) +
                            ": " + std::strerror(errno);
    say(report.get(), why);
    ::_exit(kExitFailed);
  }
  bool reported = false;
  const auto on_ready = [&] {
    reported = true;
    say(report.get(), kReadyLine);
    report.reset();
  };
  SharedFileLogger log(log_file, mounting.resolved.worker.log_level);
  auto kept =
      keep(mounting, keeper_options(mounting, std::move(control)), report.get(), on_ready, log);
  if (!kept) log.error(kept.error().context);
  if (!reported) {
    discard_mount_point(mounting.point);
    say(report.get(), kept ? std::string("the daemon was told to stop before the mount was ready")
                           : kept.error().context);
  }
  ::_exit(kept ? kExitOk : kExitFailed);
}

// Everything the daemon has to say before it is ready or dead.
std::string listen_to(int fd) {
  std::string said;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return said;
    said.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

Result<void> start_daemon(Mounting& mounting, ControlFolder& folder, const Io& io) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return system_error(errno, "making a pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  auto control = listen_for_commands(folder, io);
  if (!control) return control.error();
  io.out.flush();
  io.err.flush();
  const pid_t pid = ::fork();
  if (pid < 0) return system_error(errno, "starting the daemon: fork");
  if (pid == 0) {
    ::close(reader.get());
    folder.abandon_lock();
    be_daemon(mounting, std::move(*control), std::move(writer));
  }
  control->disown();
  writer.reset();
  const std::string said = listen_to(reader.get());
  if (said == kReadyLine) return {};
  return {ErrorCode::kUnavailable, said.empty() ? "the daemon ended without a word" : said};
}

// That the mount answers, seen from outside, as a program would.
Result<void> try_mount(const std::string& dir) {
  auto opened = ask_child(
      [&dir]() -> std::string {
        const UniqueFd fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        return fd ? "" : std::strerror(errno);
      },
      kOpenPatience);
  if (!opened) {
    return {ErrorCode::kTimedOut, "mounted, but it does not answer yet; see `hubvfs status`"};
  }
  if (opened->empty()) return {};
  return {ErrorCode::kIo, "mounted, but opening it failed: " + *opened + "; see the log"};
}

int mount_as_daemon(Mounting& mounting, ControlFolder& folder, const Io& io) {
  auto log_file = make_log_file_path(io.getenv);
  if (!log_file) return fail(io, log_file.error());
  mounting.resolved.worker.log_file = *log_file;
  auto joined = join_daemon(folder, mounting, io);
  Result<void> mounted = joined ? Result<void>() : Result<void>(joined.error());
  if (joined && !*joined) mounted = start_daemon(mounting, folder, io);
  folder.unlock();
  if (!mounted) {
    discard_mount_point(mounting.point);
    return fail(io, mounted.error());
  }
  if (auto answers = try_mount(mounting.point.path); !answers) {
    return fail(io, answers.error().within(shown(mounting.point.path) + " (log: " +
                                           shown(mounting.resolved.worker.log_file) + ")"));
  }
  io.out << "mounted at " << shown(mounting.point.path) << std::endl;
  return kExitOk;
}

// ---- in the foreground

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  return set;
}

// Another process serves it: stays until that mount ends, and unmounts it on a signal.
int stay_with(const std::string& dir, const Io& io) {
  auto mounts = read_mountinfo();
  const MountEntry* there = mounts ? mounted_at(*mounts, dir) : nullptr;
  auto keeper = there == nullptr ? std::nullopt : find_keeper(there->device, there->user_id);
  if (!keeper) return kExitOk;
  const sigset_t set = stop_signals();
  const UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  pollfd events[2] = {{signals.get(), POLLIN, 0}, {keeper->connection.get(), POLLIN, 0}};
  while (::poll(events, 2, -1) < 0 && errno == EINTR) {
  }
  if (events[1].revents != 0) return kExitOk;
  if (auto gone = unmount(dir, true); !gone) return fail(io, gone.error());
  if (wait_for_end(*keeper, kEndPatience)) return kExitOk;
  return fail(io, {ErrorCode::kTimedOut, "unmounted, but files in it are still open"});
}

int mount_in_foreground(const Mounting& mounting, ControlFolder& folder, const Io& io) {
  const auto tell = [&] { io.out << "mounted at " << shown(mounting.point.path) << std::endl; };
  // Before the mount can be seen: who then says stop has to find it unmounted.
  const sigset_t set = stop_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  auto joined = join_daemon(folder, mounting, io);
  if (joined && *joined) {
    folder.unlock();
    tell();
    return stay_with(mounting.point.path, io);
  }
  Result<void> kept = joined ? Result<void>() : Result<void>(joined.error());
  if (joined) {
    auto control = listen_for_commands(folder, io);
    if (!control) return fail(io, control.error());
    KeeperOptions options = keeper_options(mounting, std::move(*control));
    options.stop_on_hangup = true;
    const auto log = make_stderr_logger(mounting.resolved.worker.log_level);
    const auto on_ready = [&] {
      folder.unlock();
      tell();
    };
    kept = keep(mounting, std::move(options), -1, on_ready, *log);
  }
  if (kept) return kExitOk;
  discard_mount_point(mounting.point);
  return fail(io, kept.error());
}

void tell_user(const Mounting& mounting, const Io& io) {
  if (mounting.point.recovered) {
    io.err << "hubvfs: took away a dead mount at " << shown(mounting.point.path) << "\n";
  }
  for (const std::string& note : mounting.resolved.notes) io.err << "hubvfs: " << note << "\n";
  if (mounting.resolved.worker.offline) {
    io.err << "hubvfs: offline because of " << mounting.resolved.worker.offline_because << "\n";
  }
}

}  // namespace

int mount_command(const MountCommand& command, const Io& io) {
  MountRequest request = command.request;
  auto dir = wanted_dir(command.where, request);
  if (!dir) return fail(io, dir.error());
  auto path = canonical_path(*dir);
  // Options first: a wrong one must leave no folder behind.
  auto resolved = resolve_options(request, path ? *path : *dir, io.getenv);
  if (!resolved) return fail(io, resolved.error());
  auto folder = ControlFolder::open(resolved->worker.cache_path, resolved->worker.cache_mode);
  if (!folder) return fail(io, folder.error());
  if (auto locked = folder->lock(kLockPatience); !locked) return fail(io, locked.error());
  auto point = prepare_mount_point(*dir);
  if (!point) return fail(io, point.error());
  Mounting mounting{*point, *resolved};
  tell_user(mounting, io);
  if (request.foreground) return mount_in_foreground(mounting, *folder, io);
  return mount_as_daemon(mounting, *folder, io);
}

}  // namespace hubvfs::daemon
