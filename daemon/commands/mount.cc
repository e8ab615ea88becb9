// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <ostream>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/child.h"
#include "daemon/commands/commands.h"
#include "daemon/keeper.h"
#include "daemon/mount_point.h"

namespace hubvfs::daemon {
namespace {

// What the waiting command reads from the daemon: this line, or why there is none.
constexpr std::string_view kReadyLine = "ready\n";
constexpr auto kOpenPatience = std::chrono::seconds(40);  // longer than a metadata deadline

struct Mounting {
  MountPoint point;
  MountSettings settings;
};

Result<std::string> wanted_dir(const std::vector<std::string>& where) {
  if (where.size() == 1) {
    if (where.front().rfind("hf://", 0) == 0) {
      return {ErrorCode::kInvalidArgument, "mount needs a folder to mount at: hubvfs mount DIR"};
    }
    return where.front();
  }
  if (where.front().rfind("hf://", 0) != 0) {
    return {ErrorCode::kInvalidArgument,
            "mount takes one folder; \"" + escape_for_log(where.front()) + "\" is no hf:// repo"};
  }
  return {ErrorCode::kUnsupported,
          "mounting a single repo is not built yet: mount the whole Hub (hubvfs mount DIR) and use "
          "DIR/" +
              escape_for_log(where.front().substr(std::strlen("hf://")))};
}

KeeperOptions keeper_options(const Mounting& mounting) {
  KeeperOptions options;
  options.dir = mounting.point.path;
  options.allow_other = mounting.settings.worker.allow_other;
  options.worker_settings = mounting.settings.worker.encode();
  return options;
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

Result<void> keep(KeeperOptions options, Logger& log) {
  const SystemClock clock;
  auto keeper = Keeper::create(std::move(options), log, clock);
  if (!keeper) return keeper.error();
  return (*keeper)->run();
}

int mount_in_foreground(const Mounting& mounting, const Io& io) {
  KeeperOptions options = keeper_options(mounting);
  options.stop_on_hangup = true;
  options.on_ready = [&] {
    io.out << "mounted at " << escape_for_log(mounting.point.path, 1024) << std::endl;
  };
  const auto log = make_stderr_logger(mounting.settings.worker.log_level);
  auto kept = keep(std::move(options), *log);
  if (kept) return kExitOk;
  discard_mount_point(mounting.point);
  return fail(io, kept.error());
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

[[noreturn]] void be_daemon(const Mounting& mounting, UniqueFd report) {
  const std::string& log_file = mounting.settings.worker.log_file;
  if (!leave_terminal(log_file)) {
    const std::string why = "the daemon could not start: log file " + escape_for_log(log_file) +
                            ": " + std::strerror(errno);
    say(report.get(), why);
    ::_exit(kExitFailed);
  }
  KeeperOptions options = keeper_options(mounting);
  bool reported = false;
  options.audience_fd = report.get();
  options.on_ready = [&] {
    reported = true;
    say(report.get(), kReadyLine);
    report.reset();
  };
  SharedFileLogger log(log_file, mounting.settings.worker.log_level);
  auto kept = keep(std::move(options), log);
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

int mount_as_daemon(Mounting& mounting, const Io& io) {
  auto state = state_home(io.getenv);
  if (!state) return fail(io, state.error());
  const std::string folder = *state + "/hubvfs";
  if (auto made = make_directories(folder); !made) {
    return fail(io, made.error().within("cannot make the folder of the log"));
  }
  mounting.settings.worker.log_file = folder + "/hubvfs.log";
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return fail(io, system_error(errno, "making a pipe"));
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  io.out.flush();
  io.err.flush();
  const pid_t pid = ::fork();
  if (pid < 0) return fail(io, system_error(errno, "starting the daemon: fork"));
  if (pid == 0) {
    ::close(reader.get());
    be_daemon(mounting, std::move(writer));
  }
  writer.reset();
  const std::string said = listen_to(reader.get());
  const std::string log_hint = " (log: " + escape_for_log(mounting.settings.worker.log_file) + ")";
  if (said.empty()) {
    return fail(io, {ErrorCode::kInternal, "the daemon ended without a word" + log_hint});
  }
  if (said != kReadyLine) return fail(io, {ErrorCode::kUnavailable, said});
  auto answers = try_mount(mounting.point.path);
  if (!answers) return fail(io, answers.error().within(mounting.point.path + log_hint));
  io.out << "mounted at " << escape_for_log(mounting.point.path, 1024) << std::endl;
  return kExitOk;
}

void tell_user(const Mounting& mounting, const Io& io) {
  if (mounting.point.recovered) {
    io.err << "hubvfs: took away a dead mount at " << escape_for_log(mounting.point.path, 1024)
           << "\n";
  }
  for (const std::string& note : mounting.settings.notes) io.err << "hubvfs: " << note << "\n";
  if (mounting.settings.worker.offline) {
    io.err << "hubvfs: offline because of " << mounting.settings.worker.offline_because << "\n";
  }
}

}  // namespace

int mount_command(const MountCommand& command, const Io& io) {
  auto dir = wanted_dir(command.where);
  if (!dir) return fail(io, dir.error());
  auto path = canonical_path(*dir);
  // Options first: a wrong one must leave no folder behind.
  auto settings = resolve_options(command.request, path ? *path : *dir, io.getenv);
  if (!settings) return fail(io, settings.error());
  auto point = prepare_mount_point(*dir);
  if (!point) return fail(io, point.error());
  Mounting mounting{*point, *settings};
  mounting.settings.worker.mount_point = point->path;
  tell_user(mounting, io);
  if (command.request.foreground) return mount_in_foreground(mounting, io);
  return mount_as_daemon(mounting, io);
}

}  // namespace hubvfs::daemon
