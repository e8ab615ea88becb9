// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <ostream>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/commands/commands.h"
#include "daemon/progress_bar.h"
#include "hub/server/hub_server.h"

namespace hubvfs::daemon {
namespace {

using hub::server::HubServer;
using hub::server::HubServerOptions;

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

// "127.0.0.1:8080", "[::1]:8080" or "127.0.0.1".
Result<void> read_listen(const std::string& text, HubServerOptions& options) {
  std::string host = text;
  std::string port = "0";
  const std::size_t colon = text.rfind(':');
  const bool bare_v6 = text.find(':') != colon && text.front() != '[';
  if (colon != std::string::npos && !bare_v6 && text.back() != ']') {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  const auto number = parse_decimal(port);
  if (host.empty() || !number || *number > 65535) {
    return {ErrorCode::kInvalidArgument,
            "--listen: \"" + escape_for_log(text) + "\" is not ADDR:PORT, such as 127.0.0.1:8080"};
  }
  options.listen = host;
  options.port = static_cast<std::uint16_t>(*number);
  return {};
}

Result<HubServerOptions> server_options(const ServeCommand& command, const Io& io) {
  HubServerOptions options;
  auto root = absolute_path(command.dir);
  if (!root) return root.error();
  options.root = *root;
  if (auto read = read_listen(command.listen, options); !read) return read.error();
  const auto lifetime = parse_seconds(command.url_lifetime);
  if (!lifetime || *lifetime == 0) {
    return {ErrorCode::kInvalidArgument, "--url-lifetime: not a time such as 30s, 5m or 1h"};
  }
  if (command.page_size == 0) return {ErrorCode::kInvalidArgument, "--page-size: at least 1"};
  options.url_lifetime_seconds = *lifetime;
  options.page_size = command.page_size;
  options.content_port = command.content_port;
  options.public_url = command.public_url;
  options.token_file = command.token_file;
  options.access_log = command.access_log;
  options.state_dir = command.state_dir;
  if (options.state_dir.empty()) {
    auto state = state_home(io.getenv);
    if (!state) return state.error().within("no place for the hashes (give one: --state-dir)");
    options.state_dir = *state + "/hubvfs/serve";
  }
  if (auto made = make_directories(options.state_dir); !made) {
    return made.error().within("cannot make the state folder (another one: --state-dir)");
  }
  return options;
}

// Whole or not at all: a script that waits for the file must never read half of it.
Result<void> write_url_file(const std::string& path, const std::string& url) {
  const std::string next = path + ".new";
  {
    const UniqueFd fd(::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    const std::string line = url + "\n";
    if (!fd || ::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      return system_error(errno, "--url-file: cannot write " + escape_for_log(next));
    }
  }
  if (::rename(next.c_str(), path.c_str()) < 0) {
    return system_error(errno, "--url-file: cannot write " + escape_for_log(path));
  }
  return {};
}

// How far the hashing is: a bar that redraws itself on a terminal, else a line now and then.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(const Io& io) : io_(io) {}

  void show(const HubServer::Progress& now) {
    const bool done = now.repos_ready == now.repos_found && now.bytes_hashed >= now.bytes_to_hash;
    if (same(now, last_) || (done && !shown_any_ && now.repos_found == 0)) return;
    last_ = now;
    shown_any_ = true;
    io_.out << (io_.out_is_terminal ? "\r" + bar(now) + " " + line(now) + (done ? "\n" : "")
                                    : line(now) + "\n")
            << std::flush;
  }

 private:
  static bool same(const HubServer::Progress& a, const HubServer::Progress& b) {
    return a.repos_found == b.repos_found && a.repos_ready == b.repos_ready &&
           a.bytes_hashed == b.bytes_hashed && a.bytes_to_hash == b.bytes_to_hash;
  }
  static std::string line(const HubServer::Progress& p) {
    return std::to_string(p.repos_ready) + " of " + std::to_string(p.repos_found) +
           " repos ready, " + human_bytes(p.bytes_hashed) + " of " + human_bytes(p.bytes_to_hash) +
           " hashed";
  }
  static std::string bar(const HubServer::Progress& p) {
    const double part = p.bytes_to_hash == 0 ? 1.0
                                             : static_cast<double>(p.bytes_hashed) /
                                                   static_cast<double>(p.bytes_to_hash);
    return bar_text(part);
  }

  const Io& io_;
  HubServer::Progress last_;
  bool shown_any_ = false;
};

}  // namespace

int serve_command(const ServeCommand& command, const Io& io) {
  auto options = server_options(command, io);
  if (!options) return fail(io, options.error());
  // Before the server starts its threads, which inherit it.
  const sigset_t stop = stop_signals();
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const auto log = make_stderr_logger(LogLevel::kInfo);
  const SystemClock clock;
  auto server = HubServer::start(*options, *log, clock);
  if (!server) return fail(io, server.error());
  if (!command.url_file.empty()) {
    if (auto written = write_url_file(command.url_file, (*server)->url()); !written) {
      return fail(io, written.error());
    }
  }
  io.out << "serving " << escape_for_log(options->root, 1024) << " at " << (*server)->url()
         << std::endl;
  ProgressPrinter progress(io);
  const timespec pause{io.out_is_terminal ? 0 : 1, io.out_is_terminal ? 200'000'000 : 0};
  for (;;) {
    progress.show((*server)->progress());
    siginfo_t info{};
    if (::sigtimedwait(&stop, &info, &pause) > 0) break;
  }
  const auto counts = (*server)->counts();
  server->reset();
  if (!command.url_file.empty()) ::unlink(command.url_file.c_str());
  io.out << "served " << counts.requests << " requests, " << human_bytes(counts.body_bytes)
         << " of files" << std::endl;
  return kExitOk;
}

}  // namespace hubvfs::daemon
