// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <set>
#include <utility>

#include "base/text.h"
#include "daemon/mountinfo.h"
#include "fs/backend.h"

namespace hubvfs::daemon {
namespace {

constexpr std::uint64_t kLeastMemory = 16u << 20;
constexpr std::uint64_t kLeastCache = 16u << 20;
constexpr std::uint64_t kLeastBlock = 256u << 10;
constexpr std::uint64_t kMostBlock = 16u << 20;
constexpr std::uint64_t kMostTtl = 366ull * 24 * 3600;
constexpr std::uint64_t kLeastCacheTtl = 60;
constexpr unsigned kMostFreePercent = 90;
constexpr unsigned kMostWatermark = 100;
constexpr std::uint64_t kMostDeadline = 24ull * 3600;

Error bad_value(const std::string& from, const std::string& value, const std::string& wanted) {
  return {ErrorCode::kInvalidArgument,
          from + ": \"" + escape_for_log(value) + "\" is not " + wanted};
}

std::optional<bool> parse_switch(std::string_view text) {
  const std::string word = to_lower(text);
  for (const char* yes : {"1", "on", "yes", "true"}) {
    if (word == yes) return true;
  }
  for (const char* no : {"", "0", "off", "no", "false"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

// huggingface_hub's own reading of its switches.
bool is_set(std::string_view text) { return parse_switch(text).value_or(false); }

std::optional<LogLevel> parse_level(std::string_view text) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "info") return LogLevel::kInfo;
  if (text == "warning") return LogLevel::kWarning;
  if (text == "error") return LogLevel::kError;
  return std::nullopt;
}

Result<void> set_size(std::uint64_t& to, const std::string& from, const std::string& value,
                      std::uint64_t least, std::uint64_t most) {
  const auto bytes = parse_bytes(value);
  if (!bytes) return bad_value(from, value, "a size such as 512M or 20G");
  if (*bytes < least || *bytes > most) {
    return bad_value(from, value, "between " + human_bytes(least) + " and " + human_bytes(most));
  }
  to = *bytes;
  return {};
}

Result<void> set_seconds(std::uint64_t& to, const std::string& from, const std::string& value,
                         std::uint64_t least, std::uint64_t most) {
  const auto seconds = parse_seconds(value);
  if (!seconds || *seconds < least || *seconds > most) {
    return bad_value(from, value,
                     "a time such as 30s, 5m or 12h, from " + std::to_string(least) + "s to " +
                         std::to_string(most) + "s");
  }
  to = *seconds;
  return {};
}

Result<void> set_block_size(WorkerSettings& s, const std::string& from, const std::string& value) {
  if (auto set = set_size(s.block_size, from, value, kLeastBlock, kMostBlock); !set) return set;
  if (!std::has_single_bit(s.block_size)) return bad_value(from, value, "a power of two");
  return {};
}

Result<void> set_mode(WorkerSettings& s, const std::string& from, const std::string& value) {
  for (const auto& [text, mode] : {std::pair("0700", 0700u), std::pair("0750", 0750u),
                                   std::pair("0755", 0755u), std::pair("0770", 0770u)}) {
    if (value != text && value != text + 1) continue;
    s.cache_mode = mode;
    return {};
  }
  return bad_value(from, value, "a mode for the cache's folder: 0700, 0750, 0755 or 0770");
}

// "5%" or "5", of at most `most`.
Result<void> set_percent(unsigned& to, const std::string& from, const std::string& value,
                         unsigned least, unsigned most) {
  std::string_view digits = value;
  if (digits.ends_with('%')) digits.remove_suffix(1);
  const auto percent = parse_decimal(digits);
  if (!percent || *percent < least || *percent > most) {
    return bad_value(from, value,
                     "a share such as 90%, from " + std::to_string(least) + "% to " +
                         std::to_string(most) + "%");
  }
  to = static_cast<unsigned>(*percent);
  return {};
}

Result<void> set_min_free(cache::MinFree& to, const std::string& from, const std::string& value) {
  if (value.ends_with('%')) {
    to.bytes.reset();
    return set_percent(to.percent, from, value, 0, kMostFreePercent);
  }
  const auto bytes = parse_bytes(value);
  if (!bytes)
    return bad_value(from, value, "a share of the disk such as 5%, or a size such as 20G");
  to.bytes = *bytes;
  return {};
}

// None: it is another key.
std::optional<Result<void>> set_eviction(cache::EvictionSettings& to, const std::string& key,
                                         const std::string& value, const std::string& from) {
  if (key == "cache.policy") {
    const auto policy = cache::parse_eviction_policy(value);
    if (!policy) return bad_value(from, value, "a policy: lru, fifo or ttl");
    to.policy = *policy;
    return Result<void>();
  }
  if (key == "cache.ttl") {
    std::uint64_t seconds = 0;
    auto set = set_seconds(seconds, from, value, kLeastCacheTtl, kMostTtl);
    if (set) to.ttl = std::chrono::seconds(seconds);
    return set;
  }
  if (key == "cache.min_free") return set_min_free(to.min_free, from, value);
  if (key == "cache.high_watermark") {
    return set_percent(to.high_watermark, from, value, 1, kMostWatermark);
  }
  if (key == "cache.low_watermark") {
    return set_percent(to.low_watermark, from, value, 0, kMostWatermark);
  }
  return std::nullopt;
}

Result<void> check_eviction(const cache::EvictionSettings& eviction) {
  if (eviction.low_watermark >= eviction.high_watermark) {
    return {ErrorCode::kInvalidArgument, "cache.low_watermark (" +
                                             std::to_string(eviction.low_watermark) +
                                             "%) has to be below cache.high_watermark (" +
                                             std::to_string(eviction.high_watermark) + "%)"};
  }
  const bool has_ttl = eviction.ttl != cache::EvictionSettings().ttl;
  if (has_ttl && eviction.policy != cache::EvictionPolicy::kTtl) {
    return {ErrorCode::kInvalidArgument, "cache.ttl is for cache.policy=ttl: give that too"};
  }
  return {};
}

Result<std::string> parse_endpoint(const std::string& from, std::string value) {
  while (!value.empty() && value.back() == '/') value.pop_back();
  const bool http = value.rfind("http://", 0) == 0 || value.rfind("https://", 0) == 0;
  const bool plain = std::none_of(value.begin(), value.end(), [](char c) {
    return c <= ' ' || c == '\x7f' || c == '@' || c == '?' || c == '#' || c == '\\';
  });
  if (!http || !plain) {
    return bad_value(from, value, "a URL such as https://huggingface.co, without user or query");
  }
  return value;
}

Result<void> set_endpoint(WorkerSettings& s, const std::string& from, const std::string& value) {
  auto endpoint = parse_endpoint(from, value);
  if (!endpoint) return endpoint.error();
  s.endpoint = std::move(*endpoint);
  s.mirrors.clear();
  return {};
}

// The first is the endpoint, the others its mirrors.
Result<void> set_endpoints(WorkerSettings& s, const std::string& from, const std::string& value) {
  std::vector<std::string> endpoints;
  for (std::size_t at = 0; at < value.size();) {
    const std::size_t begin = value.find_first_not_of(" \t\n", at);
    if (begin == std::string::npos) break;
    at = std::min(value.find_first_of(" \t\n", begin), value.size());
    auto endpoint = parse_endpoint(from, value.substr(begin, at - begin));
    if (!endpoint) return endpoint.error();
    if (std::find(endpoints.begin(), endpoints.end(), *endpoint) != endpoints.end()) {
      return bad_value(from, value, "a list of different URLs: " + *endpoint + " is there twice");
    }
    endpoints.push_back(std::move(*endpoint));
  }
  if (endpoints.empty() || endpoints.size() > kMostEndpoints) {
    return bad_value(from, value,
                     "a list of URLs with blanks between, 1 to " + std::to_string(kMostEndpoints));
  }
  s.endpoint = std::move(endpoints.front());
  endpoints.erase(endpoints.begin());
  s.mirrors = std::move(endpoints);
  return {};
}

// Which of the two keys one source has named.
class EndpointKeys {
 public:
  Result<void> note(const std::string& key, const std::string& from) {
    (key == "endpoint" ? one_ : many_) |= key == "endpoint" || key == "endpoints";
    if (!one_ || !many_) return {};
    return {ErrorCode::kInvalidArgument,
            from +
                ": endpoint and endpoints are both given; endpoints has all of them, the first " +
                "of which is the endpoint"};
  }

 private:
  bool one_ = false;
  bool many_ = false;
};

// `from` says where the value stands, for messages.
Result<void> set_one(ResolvedMount& to, const std::string& key, const std::string& value,
                     const std::string& from) {
  constexpr std::uint64_t kAny = 1ull << 60;
  WorkerSettings& s = to.worker;
  if (key == "cache.path") {
    auto path = absolute_path(value);
    if (!path) return bad_value(from, value, "a path");
    s.cache_path = *path;
    return {};
  }
  if (key == "cache.mode") return set_mode(s, from, value);
  if (key == "cache.size") return set_size(s.cache_size, from, value, kLeastCache, kAny);
  if (key == "cache.block_size") return set_block_size(s, from, value);
  if (auto set = set_eviction(s.eviction, key, value, from)) return *set;
  if (key == "memory") return set_size(s.memory, from, value, kLeastMemory, kAny);
  if (key == "endpoint") return set_endpoint(s, from, value);
  if (key == "endpoints") return set_endpoints(s, from, value);
  if (key == "metadata.ttl") return set_seconds(s.metadata_ttl_seconds, from, value, 0, kMostTtl);
  if (key == "metadata.settle") {
    return set_seconds(s.metadata_settle_seconds, from, value, 0, kMostTtl);
  }
  if (key == "metadata.deadline") {
    return set_seconds(s.metadata_deadline_seconds, from, value, 1, kMostDeadline);
  }
  if (key == "read.deadline") {
    return set_seconds(s.read_deadline_seconds, from, value, 1, kMostDeadline);
  }
  if (key == "allow_other") {
    const auto on = parse_switch(value);
    if (!on) return bad_value(from, value, "a switch (1 or 0)");
    to.mount.allow_other = *on;
    return {};
  }
  if (key == "passthrough") {
    if (value != "auto" && value != "off") return bad_value(from, value, "auto or off");
    to.passthrough = value == "auto";
    return {};
  }
  const auto level = parse_level(value);  // log.level, the last one
  if (!level) return bad_value(from, value, "a level: debug, info, warning or error");
  s.log_level = *level;
  return {};
}

bool is_key(std::string_view key) {
  return std::any_of(option_keys().begin(), option_keys().end(),
                     [&](const OptionKey& known) { return key == known.key; });
}

Error unknown_key(const std::string& from, const std::string& key) {
  std::string known;
  for (const OptionKey& option : option_keys()) {
    known += (known.empty() ? "" : ", ") + std::string(option.key);
  }
  return {ErrorCode::kInvalidArgument,
          from + ": there is no option \"" + escape_for_log(key) + "\"; there are " + known};
}

// At commas that no backslash precedes.
std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> items(1);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i] == '\\' && i + 1 < list.size() && (list[i + 1] == ',' || list[i + 1] == '\\')) {
      items.back().push_back(list[++i]);
    } else if (list[i] == ',') {
      items.emplace_back();
    } else {
      items.back().push_back(list[i]);
    }
  }
  return items;
}

Result<void> apply_command_line(ResolvedMount& to, const std::vector<std::string>& lists) {
  EndpointKeys endpoints;
  for (const std::string& list : lists) {
    for (const std::string& item : split_list(list)) {
      if (item.empty()) continue;
      const std::size_t equals = item.find('=');
      const std::string key = item.substr(0, equals);
      if (!is_key(key)) return unknown_key("-o", key);
      const bool is_switch = key == "allow_other";
      if (equals == std::string::npos && !is_switch) {
        return {ErrorCode::kInvalidArgument, "-o " + key + " needs a value: -o KEY=VALUE"};
      }
      const std::string value = equals == std::string::npos ? "1" : item.substr(equals + 1);
      if (auto set = set_one(to, key, value, "-o " + key); !set) return set;
      if (auto one = endpoints.note(key, "-o " + key); !one) return one;
    }
  }
  return {};
}

// A personal daemon's cache is its user's own: the system's file does not say where it lies.
bool is_for_system_daemon(std::string_view key) {
  return key == "cache.path" || key == "cache.mode";
}

Result<void> apply_config(ResolvedMount& to, const std::vector<ConfigSetting>& settings,
                          bool of_system) {
  EndpointKeys endpoints;
  for (const ConfigSetting& setting : settings) {
    if (!is_key(setting.key)) return unknown_key(setting.where, setting.key);
    if (of_system && is_for_system_daemon(setting.key)) continue;
    const std::string from = setting.where + " " + setting.key;
    if (auto set = set_one(to, setting.key, setting.value, from); !set) return set;
    if (auto one = endpoints.note(setting.key, from); !one) return one;
  }
  return {};
}

Result<void> no_such_environment(const std::string& name, const std::set<std::string>& known) {
  std::string list;
  for (const std::string& each : known) list += (list.empty() ? "" : ", ") + escape_for_log(each);
  return {ErrorCode::kInvalidArgument,
          "HUBVFS_ENV: there is no environment \"" + escape_for_log(name) +
              "\" in the configuration files" +
              (list.empty() ? "; none is there" : "; there are " + list)};
}

// The system's file, then the user's, or the one that was named; in each its own settings, then
// those of the environment.
Result<void> apply_config_files(ResolvedMount& to, const MountRequest& request,
                                const std::string& system_config, const GetEnv& getenv) {
  std::vector<std::string> paths = {request.config};
  if (request.config.empty()) {
    paths = {system_config};
    if (auto own = user_config_path(getenv)) paths.push_back(*own);
  }
  const std::string environment = getenv("HUBVFS_ENV");
  std::set<std::string> known;
  for (const std::string& path : paths) {
    auto file = read_config(path);
    const bool may_be_absent = request.config.empty();
    if (!file && file.error().code == ErrorCode::kNotFound && may_be_absent) continue;
    if (!file) return file.error();
    const bool of_system = request.config.empty() && path == system_config;
    if (auto set = apply_config(to, file->settings, of_system); !set) return set;
    for (const auto& [name, settings] : file->environments) {
      known.insert(name);
      // Those of other environments are looked at too: a wrong one is found before it is needed.
      ResolvedMount unused = to;
      auto set = apply_config(name == environment ? to : unused, settings, of_system);
      if (!set) return set;
    }
  }
  if (environment.empty() || known.contains(environment)) return {};
  return no_such_environment(environment, known);
}

Result<void> apply_environment(ResolvedMount& to, const GetEnv& getenv) {
  if (const std::string endpoint = getenv("HF_ENDPOINT"); !endpoint.empty()) {
    if (auto set = set_endpoint(to.worker, "HF_ENDPOINT", endpoint); !set) return set;
  }
  EndpointKeys endpoints;
  for (const OptionKey& option : option_keys()) {
    const std::string name = environment_name(option.key);
    const std::string value = getenv(name.c_str());
    if (value.empty()) continue;
    if (auto set = set_one(to, option.key, value, name); !set) return set;
    if (auto one = endpoints.note(option.key, name); !one) return one;
  }
  return {};
}

Result<void> choose_cache_path(ResolvedMount& settings, const GetEnv& getenv) {
  auto base = cache_home(getenv);
  if (!base) return base.error().within("no place for the cache (give one: -o cache.path=...)");
  settings.worker.cache_path = *base + "/hubvfs";
  if (on_remote_filesystem(settings.worker.cache_path)) {
    const std::string local = "/var/tmp/hubvfs-" + std::to_string(::getuid());
    settings.notes.push_back("the cache is kept in " + local + ", since " + escape_for_log(*base) +
                             " is on a network file system (another place: -o cache.path=...)");
    settings.worker.cache_path = local;
  }
  return {};
}

// Where a framework reads its cache from our own mount, its "offline" means: do not ask the Hub
// yourself, the mount does it.
bool reads_through_hubvfs(const std::string& hub_cache, const std::string& mount_point) {
  if (hub_cache.empty()) return false;
  auto path = canonical_path(hub_cache);
  if (!path) path = absolute_path(hub_cache);
  if (!path) return false;
  if (!mount_point.empty() && is_within(*path, mount_point)) return true;
  auto mounts = read_mountinfo();
  if (!mounts) return false;
  const MountEntry* at = mounted_at(*mounts, *path);
  return hubvfs_around(*mounts, *path) != nullptr || (at != nullptr && at->is_hubvfs());
}

void choose_offline(ResolvedMount& settings, const MountRequest& request,
                    const std::string& mount_point, const GetEnv& getenv) {
  if (request.offline) {
    settings.worker.offline_because = "--offline";
  } else if (is_set(getenv("HUBVFS_OFFLINE"))) {
    settings.worker.offline_because = "HUBVFS_OFFLINE";
  } else if (is_set(getenv("HF_HUB_OFFLINE"))) {
    if (reads_through_hubvfs(getenv("HF_HUB_CACHE"), mount_point)) {
      settings.notes.push_back(
          "HF_HUB_OFFLINE is ignored, since HF_HUB_CACHE lies in a hubvfs mount (to be offline: "
          "--offline)");
    } else {
      settings.worker.offline_because = "HF_HUB_OFFLINE";
    }
  }
  settings.worker.offline = !settings.worker.offline_because.empty();
}

Result<hub::RepoType> parse_type(const std::string& type) {
  if (type == "model") return hub::RepoType::kModel;
  if (type == "dataset") return hub::RepoType::kDataset;
  if (type == "space") return hub::RepoType::kSpace;
  return bad_value("--type", type, "a repo type: model, dataset or space");
}

Result<void> choose_what_is_shown(MountSettings& mount, const MountRequest& request) {
  if (request.repo.empty()) {
    auto type = parse_type(request.type.empty() ? "model" : request.type);
    if (!type) return type.error();
    mount.type = *type;
    return {};
  }
  auto scope = fs::RepoScope::parse(request.repo);
  if (!scope) return scope.error();
  if (!request.type.empty()) {
    return {ErrorCode::kInvalidArgument,
            "--type is for a mount of the whole Hub; a repo's type stands in its name: "
            "hf://datasets/ORG/NAME, hf://spaces/ORG/NAME"};
  }
  mount.type = scope->type;
  mount.repo = request.repo;
  return {};
}

}  // namespace

const std::vector<OptionKey>& option_keys() {
  static const std::vector<OptionKey> kKeys = {
      {"cache.path", "PATH", "folder of the cache (default: $XDG_CACHE_HOME/hubvfs)"},
      {"cache.mode", "MODE", "of that folder: 0700, 0750, 0755 or 0770 (default: 0700)"},
      {"cache.size", "SIZE", "most bytes it may hold, such as 200G (default: 80% of what is free)"},
      {"cache.block_size", "SIZE",
       "what is fetched and kept at a time, for a new cache: 256K to 16M (default: 1M)"},
      {"cache.policy", "NAME", "what goes first when it is full: lru, fifo or ttl (default: lru)"},
      {"cache.ttl", "TIME", "with cache.policy=ttl: how long unused blocks stay (default: 30d)"},
      {"cache.min_free", "SIZE", "how much of the disk stays free: 5%, 20G (default: 5%)"},
      {"cache.high_watermark", "PERCENT",
       "of cache.size: eviction begins beyond it (default: 95%)"},
      {"cache.low_watermark", "PERCENT", "of cache.size: eviction goes down to it (default: 85%)"},
      {"metadata.ttl", "TIME", "how long a branch is believed not to have moved (default: 5m)"},
      {"metadata.settle", "TIME",
       "how long none of its files was opened before a branch that moved is shown (default: 60s)"},
      {"metadata.deadline", "TIME", "how long a lookup waits for the Hub (default: 30s)"},
      {"read.deadline", "TIME", "how long a read waits without progress (default: 120s)"},
      {"endpoint", "URL", "the Hub (default: $HF_ENDPOINT, else https://huggingface.co)"},
      {"endpoints", "URLS", "the Hub and its mirrors, in order, with blanks between"},
      {"memory", "SIZE",
       "most bytes of fetch buffers (default: 256M; a quarter of the control group's limit at most)"},
      {"allow_other", "", "everybody on this host may read; then no token is used"},
      {"passthrough", "auto|off",
       "have the kernel read complete files by itself, where it can (default: auto)"},
      {"log.level", "LEVEL", "debug, info, warning or error (default: info)"},
  };
  return kKeys;
}

std::string environment_name(std::string_view key) {
  std::string name = "HUBVFS_";
  for (const char c : key) {
    name.push_back(c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  }
  return name;
}

Result<ResolvedMount> resolve_options(const MountRequest& request, const std::string& mount_point,
                                      const GetEnv& getenv, const std::string& system_config) {
  ResolvedMount settings;
  WorkerSettings& worker = settings.worker;
  worker.endpoint = kDefaultEndpoint;
  if (auto chosen = choose_what_is_shown(settings.mount, request); !chosen) return chosen.error();
  if (auto set = apply_config_files(settings, request, system_config, getenv); !set) {
    return set.error();
  }
  if (auto set = apply_environment(settings, getenv); !set) return set.error();
  if (auto set = apply_command_line(settings, request.o); !set) return set.error();
  if (worker.cache_path.empty()) {
    if (auto chosen = choose_cache_path(settings, getenv); !chosen) return chosen.error();
  }
  if (!mount_point.empty() && is_within(worker.cache_path, mount_point)) {
    return Error{ErrorCode::kInvalidArgument,
                 "the cache folder " + escape_for_log(worker.cache_path) +
                     " lies in the mount itself; choose another (-o cache.path=...)"};
  }
  if (auto right = check_eviction(worker.eviction); !right) return right.error();
  choose_offline(settings, request, mount_point, getenv);
  // A mount for everybody uses none; another mount of the same daemon may.
  worker.hf_token = getenv("HF_TOKEN");
  worker.hugging_face_hub_token = getenv("HUGGING_FACE_HUB_TOKEN");
  return settings;
}

}  // namespace hubvfs::daemon
