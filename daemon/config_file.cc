// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "base/text.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kMostBytes = 256u << 10;
constexpr std::size_t kMostSettings = 1000;
constexpr int kDeepest = 8;
constexpr const char* kEnvironments = "environments";
constexpr const char* kListKey = "endpoints";  // the only key whose value may be a list

class Parser {
 public:
  explicit Parser(const std::string& shown) : shown_(shown) {}

  Result<ConfigFile> parse(std::string_view text) {
    const YAML::Node root = YAML::Load(std::string(text));
    ConfigFile file;
    if (root.IsNull()) return file;  // nothing, or all of it commented out
    if (!root.IsMap()) return wrong(root, "is no map of settings (KEY: VALUE)");
    for (const auto& item : root) {
      const std::string name = item.first.IsScalar() ? item.first.Scalar() : "";
      auto taken = name == kEnvironments ? take_environments(item.second, file)
                                         : take(item, "", 1, file.settings);
      if (!taken) return taken.error();
    }
    if (auto once = each_once(file.settings); !once) return once.error();
    return file;
  }

 private:
  using Item = YAML::detail::iterator_value;

  std::string where(const YAML::Mark& mark) const {
    return shown_ + ":" + std::to_string(mark.line + 1);  // it counts from 0
  }
  Error wrong(const YAML::Node& node, const std::string& what) const {
    return {ErrorCode::kInvalidArgument, where(node.Mark()) + " " + what};
  }

  Result<void> take_environments(const YAML::Node& named, ConfigFile& file) {
    if (!named.IsMap()) return wrong(named, "environments: is no map of names");
    for (const auto& item : named) {
      if (!item.first.IsScalar()) return wrong(item.first, "an environment has no name");
      const std::string name = item.first.Scalar();
      const auto [at, fresh] = file.environments.try_emplace(name);
      if (!fresh)
        return wrong(item.first, "environment \"" + escape_for_log(name) + "\" is there twice");
      if (item.second.IsNull()) continue;
      if (!item.second.IsMap()) return wrong(item.second, "is no map of settings (KEY: VALUE)");
      for (const auto& setting : item.second) {
        if (auto taken = take(setting, "", 1, at->second); !taken) return taken;
      }
      if (auto once = each_once(at->second); !once) return once;
    }
    return {};
  }

  // An alias of YAML may name what is above it, or much of it many times.
  Result<void> take(const Item& item, const std::string& above, int depth,
                    std::vector<ConfigSetting>& into) {
    if (!item.first.IsScalar()) return wrong(item.first, "a key is one word");
    const std::string key = above + item.first.Scalar();
    const YAML::Node& value = item.second;
    if (value.IsMap()) {
      if (depth >= kDeepest) return wrong(value, "is nested too deep");
      for (const auto& inner : value) {
        if (auto taken = take(inner, key + ".", depth + 1, into); !taken) return taken;
      }
      return {};
    }
    const auto text = text_of(value, key == kListKey);
    if (!text) return wrong(item.first, "\"" + escape_for_log(key) + "\" needs one value");
    if (++count_ > kMostSettings) return wrong(item.first, "has too many settings");
    into.push_back({key, *text, where(item.first.Mark())});
    return {};
  }

  // None: neither a scalar nor, where it may be, a list of some.
  static std::optional<std::string> text_of(const YAML::Node& value, bool may_be_list) {
    if (value.IsScalar()) return value.Scalar();
    if (!may_be_list || !value.IsSequence() || value.size() == 0) return std::nullopt;
    std::string text;
    for (const auto& item : value) {
      if (!item.IsScalar()) return std::nullopt;
      text += (text.empty() ? "" : " ") + item.Scalar();
    }
    return text;
  }

  static Result<void> each_once(const std::vector<ConfigSetting>& settings) {
    std::set<std::string_view> keys;
    for (const ConfigSetting& setting : settings) {
      if (keys.insert(setting.key).second) continue;
      return {ErrorCode::kInvalidArgument,
              setting.where + " \"" + escape_for_log(setting.key) + "\" is there twice"};
    }
    return {};
  }

  const std::string shown_;
  std::size_t count_ = 0;
};

Result<std::string> read_text(const std::string& path) {
  const std::string shown = escape_for_log(path);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0)
    return system_error(errno, "configuration file " + shown);
  if (!S_ISREG(info.st_mode)) {
    return {ErrorCode::kInvalidArgument, "configuration file " + shown + " is no file"};
  }
  std::string text(kMostBytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "configuration file " + shown);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMostBytes) {
    return {ErrorCode::kInvalidArgument,
            "configuration file " + shown + " has more than " + human_bytes(kMostBytes)};
  }
  text.resize(size);
  return text;
}

}  // namespace

Result<std::string> user_config_path(const GetEnv& getenv) {
  auto home = config_home(getenv);
  if (!home) return home.error();
  return *home + "/hubvfs/config.yaml";
}

Result<ConfigFile> parse_config(std::string_view text, const std::string& shown) {
  try {
    return Parser(shown).parse(text);
  } catch (const YAML::Exception& e) {
    const std::string line = e.mark.is_null() ? "" : ":" + std::to_string(e.mark.line + 1);
    return {ErrorCode::kInvalidArgument, shown + line + " is not YAML: " + escape_for_log(e.msg)};
  }
}

Result<ConfigFile> read_config(const std::string& path) {
  auto text = read_text(path);
  if (!text) return text.error();
  return parse_config(*text, escape_for_log(path));
}

}  // namespace hubvfs::daemon
