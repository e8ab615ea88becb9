// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_settings.h"

#include <algorithm>

#include "base/digest.h"
#include "base/json.h"
#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::hub::server {
namespace {

// Collects the settings; remembers which keys came, since a key given twice is a mistake too.
class SettingsReader final : public JsonVisitor {
 public:
  RepoSettings settings;

  bool scalar(const std::string& path, JsonScalar&& value) override {
    if (depth_ == 0) return false;
    const auto* text = std::get_if<std::string>(&value);
    if (path == "readers[]" && in_list_) return add(settings.readers, text);
    if (path == "pending[]" && in_list_) return add(settings.pending, text);
    if (path == "aliases[]" && in_list_) {
      return add(settings.aliases, text) && is_repo_name(settings.aliases.back());
    }
    if (in_list_ || !first_time(path)) return false;
    const auto* flag = std::get_if<bool>(&value);
    if (path == "private" && flag != nullptr) {
      settings.is_private = *flag;
    } else if (path == "disabled" && flag != nullptr) {
      settings.disabled = *flag;
    } else if (path == "gated" && flag != nullptr && !*flag) {
      settings.gate = Gate::kNone;
    } else if (path == "gated" && text != nullptr && *text == "auto") {
      settings.gate = Gate::kAuto;
    } else if (path == "gated" && text != nullptr && *text == "manual") {
      settings.gate = Gate::kManual;
    } else {
      return false;
    }
    return true;
  }
  bool begin_object(const std::string& path) override { return path.empty() && depth_++ == 0; }
  bool begin_array(const std::string& path) override {
    if (depth_ == 0 || in_list_ || !is_list(path)) return false;
    in_list_ = true;
    return first_time(path);
  }
  bool end_array(const std::string&) override {
    in_list_ = false;
    return true;
  }

 private:
  static bool is_list(const std::string& key) {
    return key == "readers" || key == "pending" || key == "aliases";
  }
  static bool add(std::vector<std::string>& list, const std::string* name) {
    if (name == nullptr || name->empty() || list.size() >= 100'000) return false;
    list.push_back(*name);
    return true;
  }
  bool first_time(const std::string& key) {
    if (std::find(seen_.begin(), seen_.end(), key) != seen_.end()) return false;
    seen_.push_back(key);
    return true;
  }

  int depth_ = 0;
  bool in_list_ = false;
  std::vector<std::string> seen_;
};

}  // namespace

Result<RepoSettings> parse_repo_settings(std::string_view json) {
  SettingsReader reader;
  if (auto parsed = parse_json(json, reader); !parsed) {
    return {ErrorCode::kInvalidArgument,
            std::string(kRepoSettingsFile) +
                " is not {\"private\": bool, \"gated\": false|\"auto\"|\"manual\", \"readers\": "
                "[\"USER\", ...]} (" +
                parsed.error().context + ")"};
  }
  return std::move(reader.settings);
}

Result<TokenUsers> TokenUsers::parse(std::string_view text) {
  TokenUsers tokens;
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    line = trim(line);
    if (line.empty() || line[0] == '#') continue;
    const std::size_t blank = line.find_first_of(" \t");
    const std::string_view token = line.substr(0, blank);
    const std::string_view user = blank == std::string_view::npos ? "" : trim(line.substr(blank));
    const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
    if (user.empty() || token.size() < 8 || token.size() > 512 || user.size() > 96 ||
        !std::all_of(token.begin(), token.end(), printable) ||
        !std::all_of(user.begin(), user.end(), printable)) {
      return {ErrorCode::kInvalidArgument, "line " + std::to_string(number) +
                                               " is not \"TOKEN USER\" (a token has 8 to 512 "
                                               "printable characters, a user name no blanks)"};
    }
    if (!tokens.users_.emplace(sha256_hex(as_bytes(token)), user).second) {
      return {ErrorCode::kInvalidArgument,
              "line " + std::to_string(number) + " repeats the token of an earlier line"};
    }
  }
  return tokens;
}

std::string TokenUsers::user_of(std::string_view token) const {
  const auto found = users_.find(sha256_hex(as_bytes(token)));
  return found == users_.end() ? "" : found->second;
}

}  // namespace hubvfs::hub::server
