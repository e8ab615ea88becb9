// SPDX-License-Identifier: Apache-2.0
#include "daemon/app.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "cache/disk_cache.h"
#include "daemon/paths.h"
#include "daemon/privileges.h"
#include "daemon/worker_link.h"
#include "fs/fuse_session.h"
#include "fs/operations.h"
#include "hub/curl_hub_client.h"
#include "hub/token.h"

namespace hubvfs::daemon {
namespace {

// Stops the session when the keeper says so or is gone.
class KeeperWatch {
 public:
  KeeperWatch(int link, fs::FuseSession& session)
      : wake_(::eventfd(0, EFD_CLOEXEC)),
        thread_([this, link, &session] { watch(link, session); }) {}
  ~KeeperWatch() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
    thread_.join();
  }
  KeeperWatch(const KeeperWatch&) = delete;
  KeeperWatch& operator=(const KeeperWatch&) = delete;

 private:
  void watch(int link, fs::FuseSession& session) {
    for (;;) {
      pollfd events[2] = {{link, POLLIN, 0}, {wake_.get(), POLLIN, 0}};
      if (::poll(events, 2, -1) < 0 && errno != EINTR) return;
      if (events[1].revents != 0) return;
      if (events[0].revents == 0) continue;
      auto message = receive_message(link);
      if (message && message->kind != MessageKind::kStop) continue;
      session.stop();
      return;
    }
  }

  UniqueFd wake_;
  std::thread thread_;
};

void prepare_process() {
  seal_process();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);  // exec may have cleared it
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(077);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

Result<Bytes> expect(MessageKind kind) {
  auto message = receive_message(kWorkerLinkFd);
  if (!message) return message.error();
  if (message->kind != kind) return {ErrorCode::kBadAnswer, "the keeper spoke out of turn"};
  return std::move(message->body);
}

// Token variables come from the keeper, since the environment of a process can be read by others
// of the same user for a moment after its start.
hub::TokenSource::GetEnv token_environment(const WorkerSettings& settings) {
  return [&settings](const char* name) -> std::string {
    const std::string_view wanted(name);
    if (wanted == "HF_TOKEN") return settings.hf_token;
    if (wanted == "HUGGING_FACE_HUB_TOKEN") return settings.hugging_face_hub_token;
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
}

fs::OperationsOptions operations_options(const WorkerSettings& settings) {
  fs::OperationsOptions options;
  options.type = settings.type;
  options.endpoint = settings.endpoint;
  options.uid = ::getuid();
  options.gid = ::getgid();
  options.shared = settings.allow_other;
  options.offline = settings.offline;
  options.metadata_ttl = std::chrono::seconds(settings.metadata_ttl_seconds);
  options.metadata_deadline = std::chrono::seconds(settings.metadata_deadline_seconds);
  options.read_deadline = std::chrono::seconds(settings.read_deadline_seconds);
  options.memory_budget = settings.memory;
  return options;
}

Result<void> serve(const WorkerSettings& settings, Bytes init_request, Logger& log) {
  const SystemClock clock;
  if (auto made = make_directories(settings.cache_path); !made) {
    return made.error().within("cannot make the cache folder (another one: -o cache.path=...)");
  }
  cache::DiskCacheOptions cache_options;
  cache_options.path = settings.cache_path;
  cache_options.size_limit = settings.cache_size;
  if (settings.block_size != 0) cache_options.block_size = settings.block_size;
  cache_options.pending_limit = settings.memory;  // the reader hands in no more than that
  auto cache = cache::DiskCache::open(cache_options, log, clock);
  if (!cache) return cache.error();

  const hub::TokenSource tokens(token_environment(settings));
  hub::HubClientOptions hub_options;
  hub_options.endpoint = settings.endpoint;
  hub_options.offline = settings.offline;
  hub_options.offline_because = settings.offline_because;
  // Everybody sees what a shared mount shows, so it must not be what one user's token opens.
  if (!settings.allow_other) {
    hub_options.token = [&tokens] { return tokens.token(); };
    hub_options.token_origin = tokens.origin();
    if (auto checked = tokens.check(); !checked) log.warning(checked.error().context);
  }
  auto hub = hub::make_curl_hub_client(hub_options, log, clock);
  if (!hub) return hub.error();

  fs::FuseSessionOptions session_options;
  session_options.dev_fd = kWorkerDeviceFd;
  session_options.init_request = std::move(init_request);
  session_options.on_ready = [&log] {
    if (auto told = send_message(kWorkerLinkFd, MessageKind::kReady, {}); !told) {
      log.error(told.error().context);
    }
  };
  auto session = fs::FuseSession::create(session_options, log);
  if (!session) return session.error();
  auto operations = fs::Operations::create(operations_options(settings), **hub, (*cache)->blobs(),
                                           (*cache)->meta(), (*session)->notifier(), log, clock);
  if (!operations) return operations.error();
  Result<void> served;
  {
    const KeeperWatch watch(kWorkerLinkFd, **session);
    served = (*session)->run(**operations);
  }
  // What is parked is answered while the session still stands; the hub's last callbacks find a
  // filesystem.
  (*operations)->close();
  hub->reset();
  return served;
}

Result<void> live() {
  if (auto safe = check_unprivileged(); !safe) return safe;
  auto encoded = expect(MessageKind::kSettings);
  if (!encoded) return encoded.error();
  auto settings = WorkerSettings::decode(*encoded);
  if (!settings) return settings.error();
  auto init_request = expect(MessageKind::kInit);
  if (!init_request) return init_request.error();
  std::unique_ptr<Logger> log;
  if (settings->log_file.empty()) {
    log = make_stderr_logger(settings->log_level);
  } else {
    auto file = make_file_logger(settings->log_file, settings->log_level);
    if (!file) return file.error();
    log = std::move(*file);
  }
  return serve(*settings, std::move(*init_request), *log);
}

Result<void> live_guarded() {
  try {
    return live();
  } catch (const std::exception& e) {
    return {ErrorCode::kInternal, std::string("the worker failed: ") + e.what()};
  }
}

}  // namespace

int run_worker() {
  prepare_process();
  auto lived = live_guarded();
  if (lived) return 0;
  static_cast<void>(
      send_message(kWorkerLinkFd, MessageKind::kFailed, as_bytes(lived.error().context)));
  return 1;
}

}  // namespace hubvfs::daemon
