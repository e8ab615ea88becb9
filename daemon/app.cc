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
#include <map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory_limit.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "cache/disk_cache.h"
#include "daemon/backing_requests.h"
#include "daemon/command_threads.h"
#include "daemon/messages.h"
#include "daemon/privileges.h"
#include "daemon/served_mount.h"
#include "daemon/worker_commands.h"
#include "daemon/worker_link.h"
#include "fs/backend.h"
#include "fs/open_table.h"
#include "hub/curl_hub_client.h"
#include "hub/curl_url.h"
#include "hub/mirrored_client.h"
#include "hub/token.h"

namespace hubvfs::daemon {
namespace {

// A mount answers within a second, however large the cache is.
constexpr std::chrono::milliseconds kCachePatience{300};
constexpr int kTickMs = 1000;
constexpr std::uint64_t kLeastMemory = 16u << 20;  // what the largest blocks need

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

void tell_keeper(MessageKind kind, std::uint32_t number, std::string_view text, Logger& log) {
  ByteWriter body;
  body.integer(number);
  body.raw(as_bytes(text));
  if (auto told = send_message(kWorkerLinkFd, kind, body.bytes()); !told) {
    log.warning("telling the keeper: " + told.error().context);
  }
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

bool same_origin(const std::string& one, const std::string& other) {
  const auto url = hub::parse_url(one);
  const auto other_url = hub::parse_url(other);
  return url && other_url && url->same_origin(*other_url);
}

std::uint64_t memory_budget(const WorkerSettings& settings) {
  return memory_share(settings.memory, kLeastMemory, cgroup_memory_limit());
}

fs::BackendOptions backend_options(const WorkerSettings& settings) {
  fs::BackendOptions options;
  options.endpoint = settings.endpoint;
  options.uid = ::getuid();
  options.gid = ::getgid();
  options.offline = settings.offline;
  options.metadata_ttl = std::chrono::seconds(settings.metadata_ttl_seconds);
  options.metadata_settle = std::chrono::seconds(settings.metadata_settle_seconds);
  options.metadata_deadline = std::chrono::seconds(settings.metadata_deadline_seconds);
  options.read_deadline = std::chrono::seconds(settings.read_deadline_seconds);
  options.memory_budget = memory_budget(settings);
  return options;
}

Result<std::unique_ptr<cache::DiskCache>> open_cache(const WorkerSettings& settings, Logger& log,
                                                     const Clock& clock) {
  cache::DiskCacheOptions options;
  options.path = settings.cache_path;
  options.size_limit = settings.cache_size;
  options.eviction = settings.eviction;
  options.start_patience = kCachePatience;
  options.mode = settings.cache_mode;
  if (settings.block_size != 0) options.block_size = settings.block_size;
  options.pending_limit = memory_budget(settings);  // the reader hands in no more than that
  return cache::DiskCache::open(options, log, clock);
}

// What the keeper orders, until it says stop or is gone.
class Worker {
 public:
  Worker(const WorkerSettings& settings, Logger& log)
      : settings_(settings), log_(log), tokens_(token_environment(settings_)) {}
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // `shared_memory` as the keeper sent it with the settings.
  Result<void> open(const std::vector<UniqueFd>& shared_memory);
  Result<void> run();

 private:
  Result<std::unique_ptr<hub::HubClient>> make_hub(bool with_token);
  Result<std::unique_ptr<hub::HubClient>> make_client(const std::string& endpoint, bool with_token);
  void serve(Message message);
  void take_away_ended();
  static void set_passthrough(ServedMount& mount, const Message& message);
  static std::uint32_t number_in(const Message& message) {
    return ByteReader(message.body).integer<std::uint32_t>();
  }

  const WorkerSettings settings_;
  Logger& log_;
  const SystemClock clock_;
  const hub::TokenSource tokens_;
  UniqueFd wake_;
  std::unique_ptr<fs::RequestJournal> journal_;
  std::unique_ptr<fs::OpenTable> open_table_;
  std::unique_ptr<cache::DiskCache> cache_;
  BackingRequests backing_{kWorkerLinkFd, clock_};
  std::unique_ptr<hub::HubClient> own_hub_;
  std::unique_ptr<hub::HubClient> anonymous_hub_;
  std::unique_ptr<fs::Backend> backend_;
  std::map<std::uint32_t, std::unique_ptr<ServedMount>> mounts_;
  std::unique_ptr<WorkerCommands> commands_;
  std::unique_ptr<CommandThreads> command_threads_;

  Mutex mutex_;  // lock rank: leaf
  std::vector<std::uint32_t> ended_ GUARDED_BY(mutex_);
};

Worker::~Worker() {
  command_threads_.reset();
  for (auto& [number, mount] : mounts_) mount->stop();
  mounts_.clear();
  // The hubs' last callbacks find a backend.
  if (backend_) backend_->close();
  own_hub_.reset();
  anonymous_hub_.reset();
  backend_.reset();
}

Result<std::unique_ptr<hub::HubClient>> Worker::make_client(const std::string& endpoint,
                                                            bool with_token) {
  hub::HubClientOptions options;
  options.endpoint = endpoint;
  options.offline = settings_.offline;
  options.offline_because = settings_.offline_because;
  if (with_token) {
    options.token = [this] { return tokens_.token(); };
    options.token_origin = tokens_.origin();
  }
  return hub::make_curl_hub_client(options, log_, clock_);
}

// The user's token goes to the endpoint's origin, and to no mirror elsewhere: who names a mirror
// does not thereby trust it with what the token opens.
Result<std::unique_ptr<hub::HubClient>> Worker::make_hub(bool with_token) {
  if (with_token) {
    if (auto checked = tokens_.check(); !checked) log_.warning(checked.error().context);
  }
  auto first = make_client(settings_.endpoint, with_token);
  if (!first || settings_.mirrors.empty()) return first;
  std::vector<hub::Mirror> mirrors;
  mirrors.push_back({settings_.endpoint, std::move(*first)});
  for (const std::string& endpoint : settings_.mirrors) {
    const bool has_token = with_token && same_origin(endpoint, settings_.endpoint);
    auto client = make_client(endpoint, has_token);
    if (!client) return client.error().within(endpoint);
    mirrors.push_back({endpoint, std::move(*client), has_token == with_token});
  }
  return std::unique_ptr<hub::HubClient>(
      std::make_unique<hub::MirroredClient>(std::move(mirrors), log_, clock_));
}

Result<void> Worker::open(const std::vector<UniqueFd>& shared_memory) {
  if (shared_memory.size() != 2) return {ErrorCode::kBadAnswer, "the keeper shares no memory"};
  auto journal = fs::RequestJournal::map(shared_memory[0].get());
  if (!journal) return journal.error();
  journal_ = std::move(*journal);
  auto table = fs::OpenTable::map(shared_memory[1].get(), log_);
  if (!table) return table.error();
  open_table_ = std::move(*table);
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return system_error(errno, "eventfd");
  auto cache = open_cache(settings_, log_, clock_);
  if (!cache) return cache.error();
  cache_ = std::move(*cache);
  auto own = make_hub(true);
  if (!own) return own.error();
  own_hub_ = std::move(*own);
  // Everybody sees what a shared mount shows, so it must not be what one user's token opens.
  auto anonymous = make_hub(false);
  if (!anonymous) return anonymous.error();
  anonymous_hub_ = std::move(*anonymous);
  fs::BackendOptions options = backend_options(settings_);
  options.open_table = open_table_.get();
  options.backing_files = &backing_;
  auto backend = fs::Backend::create(options, {*own_hub_, *anonymous_hub_}, cache_->blobs(),
                                     cache_->meta(), log_, clock_);
  if (!backend) return backend.error();
  backend_ = std::move(*backend);
  commands_ = std::make_unique<WorkerCommands>(CommandParts{
      *backend_, cache_->blobs(), cache_->meta(), *own_hub_, log_, clock_,
      "u" + std::to_string(::getuid()), settings_.endpoint, settings_.offline_because});
  commands_->load_pins();
  command_threads_ = std::make_unique<CommandThreads>(
      [this](const CommandRequest& request, CommandCaller& caller) {
        return commands_->carry_out(request, caller);
      },
      log_);
  return {};
}

Result<void> Worker::run() {
  for (;;) {
    pollfd events[2] = {{kWorkerLinkFd, POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    const int ready = ::poll(events, 2, kTickMs);
    if (ready < 0 && errno != EINTR) return system_error(errno, "poll");
    if (ready == 0) backing_.expire();
    if (ready <= 0) continue;
    if (events[1].revents != 0) take_away_ended();
    if (events[0].revents == 0) continue;
    auto message = receive_message(kWorkerLinkFd);
    if (!message && message.error().code == ErrorCode::kNotFound) return {};
    if (!message) return message.error();
    if (message->kind == MessageKind::kStop) return {};
    if (message->kind == MessageKind::kServe) {
      serve(std::move(*message));
      continue;
    }
    if (message->kind == MessageKind::kBacking) {
      backing_.take_answer(message->body);
      continue;
    }
    if (message->kind == MessageKind::kCommand) {
      command_threads_->start(std::move(*message));
      continue;
    }
    const auto mount = mounts_.find(number_in(*message));
    if (mount == mounts_.end()) continue;
    if (message->kind == MessageKind::kStopMount) mount->second->stop();
    if (message->kind == MessageKind::kPassthrough) set_passthrough(*mount->second, *message);
    if (message->kind == MessageKind::kReport && !message->fds.empty()) {
      static_cast<void>(send_message(message->fds[0].get(), MessageKind::kDone,
                                     as_bytes(mount->second->status_json()))
                            .has_value());
    }
  }
}

void Worker::serve(Message message) {
  auto order = ServeOrder::decode(message.body);
  if (!order || message.fds.empty()) {
    log_.error("an order of the keeper's cannot be read");
    return;
  }
  const std::uint32_t number = order->number;
  ServedMount::Events events;
  events.on_ready = [this, number] { tell_keeper(MessageKind::kReady, number, "", log_); };
  events.on_failed = [this, number](const Error& error) {
    tell_keeper(MessageKind::kFailed, number, error.context, log_);
  };
  events.on_ended = [this, number] {
    const MutexLock lock(mutex_);
    ended_.push_back(number);
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  };
  auto mount = ServedMount::start(*order, std::move(message.fds[0]), *backend_, *journal_, log_,
                                  std::move(events));
  if (!mount) return tell_keeper(MessageKind::kFailed, number, mount.error().context, log_);
  mounts_[number] = std::move(*mount);
}

void Worker::set_passthrough(ServedMount& mount, const Message& message) {
  ByteReader in(message.body);
  in.integer<std::uint32_t>();
  const bool on = in.integer<std::uint8_t>() != 0;
  mount.set_passthrough(on, std::string(in.string()));
}

void Worker::take_away_ended() {
  std::vector<std::uint32_t> ended;
  {
    const MutexLock lock(mutex_);
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof count);
    ended.swap(ended_);
  }
  for (const std::uint32_t number : ended) mounts_.erase(number);
}

Result<void> live() {
  if (auto safe = check_unprivileged(); !safe) return safe;
  auto first = receive_message(kWorkerLinkFd);
  if (!first) return first.error();
  if (first->kind != MessageKind::kSettings) {
    return {ErrorCode::kBadAnswer, "the keeper spoke out of turn"};
  }
  auto settings = WorkerSettings::decode(first->body);
  if (!settings) return settings.error();
  std::unique_ptr<Logger> log;
  if (settings->log_file.empty()) {
    log = make_stderr_logger(settings->log_level);
  } else {
    auto file = make_file_logger(settings->log_file, settings->log_level);
    if (!file) return file.error();
    log = std::move(*file);
  }
  Worker worker(*settings, *log);
  if (auto opened = worker.open(first->fds); !opened) return opened;
  return worker.run();
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
  NullLogger nowhere;
  tell_keeper(MessageKind::kFailed, kWholeWorker, lived.error().context, nowhere);
  return 1;
}

}  // namespace hubvfs::daemon
