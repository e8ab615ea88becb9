// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_settings.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::size_t kMaxListed = 100'000;
constexpr std::size_t kMaxRefs = 10'000;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return !name.empty() && std::find(names.begin(), names.end(), name) != names.end();
}

// A key that holds refs, and where these are in git.
struct RefKind {
  std::string_view key;
  std::string_view prefix;
  std::string_view rule;  // for names, as an error says it
};
constexpr std::string_view kRevisionRule =
    "a name of letters, digits and ._-/ (and not HEAD, below refs/ or like a commit)";
constexpr std::array<RefKind, 4> kRefKinds = {
    {{"branches", "refs/heads/", kRevisionRule},
     {"tags", "refs/tags/", kRevisionRule},
     {"pulls", "refs/pr/", "a number such as 1"},
     {"converts", "refs/convert/", "a name such as parquet, without /"}}};

const RefKind* ref_kind(std::string_view key) {
  const auto* found = std::find_if(kRefKinds.begin(), kRefKinds.end(),
                                   [&](const RefKind& kind) { return kind.key == key; });
  return found == kRefKinds.end() ? nullptr : found;
}

bool is_ref_name(const RefKind& kind, std::string_view name) {
  if (kind.key == "pulls") {
    return parse_decimal(name).has_value() && name.front() != '0';
  }
  if (!is_revision(name)) return false;
  if (kind.key == "converts") return name.find('/') == std::string_view::npos;
  return name != "HEAD" && !name.starts_with("refs/") && !is_commit_id(name);
}

// One that starts with a dot is still being filled.
bool is_folder_name(std::string_view name) {
  return is_path_component(name) && is_utf8(name) && name.front() != '.';
}

// Collects the settings, and says what is wrong with them; a key given twice is a mistake too.
class SettingsReader final : public JsonVisitor {
 public:
  RepoSettings settings;
  std::string wrong;

  bool scalar(const std::string& path, JsonScalar&& value) override {
    if (!in_object_) return refuse("it is no JSON object");
    const auto* text = std::get_if<std::string>(&value);
    if (list_ != nullptr) return add_to_list(text);
    if (refs_ != nullptr) return add_ref(path.substr(refs_->key.size() + 1), text);
    if (!is_new_key(path)) return false;
    const auto* flag = std::get_if<bool>(&value);
    if (path == "gated") return set_gate(flag, text);
    const bool is_private = path == "private";
    if (!is_private && path != "disabled") return refuse_kind(path);
    if (flag == nullptr) return refuse(quoted(path) + " must be true or false");
    (is_private ? settings.is_private : settings.disabled) = *flag;
    return true;
  }
  bool begin_object(const std::string& path) override {
    if (!in_object_) return in_object_ = true;
    if (list_ != nullptr || refs_ != nullptr) return refuse_kind(path);
    if (!is_new_key(path)) return false;
    refs_ = ref_kind(path);
    return refs_ != nullptr || refuse_kind(path);
  }
  bool end_object(const std::string&) override {
    refs_ = nullptr;
    return true;
  }
  bool begin_array(const std::string& path) override {
    if (!in_object_) return refuse("it is no JSON object");
    if (list_ != nullptr || refs_ != nullptr) return refuse_kind(path);
    if (!is_new_key(path)) return false;
    list_ = list(path);
    list_key_ = path;
    return list_ != nullptr || refuse_kind(path);
  }
  bool end_array(const std::string&) override {
    list_ = nullptr;
    return true;
  }

 private:
  static std::string quoted(std::string_view key) { return "\"" + escape_for_log(key, 100) + "\""; }
  bool refuse(std::string why) {
    wrong = std::move(why);
    return false;
  }
  bool refuse_kind(std::string_view key) {
    return refuse(quoted(key) + " has a value of the wrong kind");
  }
  std::vector<std::string>* list(std::string_view key) {
    if (key == "readers") return &settings.readers;
    if (key == "pending") return &settings.pending;
    return key == "aliases" ? &settings.aliases : nullptr;
  }
  bool is_new_key(const std::string& key) {
    constexpr std::array<std::string_view, 10> kKeys = {"private", "gated",   "disabled", "readers",
                                                        "pending", "aliases", "branches", "tags",
                                                        "pulls",   "converts"};
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
      std::string known;
      for (std::string_view name : kKeys) known.append(known.empty() ? "" : ", ").append(name);
      return refuse("unknown key " + quoted(key) + " (known: " + known + ")");
    }
    return seen_.insert(key).second || refuse(quoted(key) + " is there twice");
  }
  bool set_gate(const bool* flag, const std::string* text) {
    if (text != nullptr && (*text == "auto" || *text == "manual")) {
      settings.gate = *text == "auto" ? Gate::kAuto : Gate::kManual;
      return true;
    }
    return (flag != nullptr && !*flag) || refuse("\"gated\" must be false, \"auto\" or \"manual\"");
  }
  bool add_to_list(const std::string* name) {
    if (name == nullptr || name->empty()) return refuse(quoted(list_key_) + " must list names");
    if (list_->size() >= kMaxListed) {
      return refuse(quoted(list_key_) + " has more than " + std::to_string(kMaxListed) + " names");
    }
    if (list_ == &settings.aliases && !is_repo_name(*name)) {
      return refuse("\"aliases\": " + quoted(*name) + " is no repo name");
    }
    list_->push_back(*name);
    return true;
  }
  bool add_ref(const std::string& name, const std::string* folder) {
    const std::string place = quoted(refs_->key) + ": " + quoted(name);
    if (!is_ref_name(*refs_, name)) return refuse(place + " is not " + std::string(refs_->rule));
    if (folder == nullptr || !is_folder_name(*folder)) {
      return refuse(place + " must name a folder in " + kRevisionsFolder +
                    ", one that does not start with a dot");
    }
    if (settings.refs.size() >= kMaxRefs) {
      return refuse("more than " + std::to_string(kMaxRefs) + " refs");
    }
    return settings.refs.emplace(std::string(refs_->prefix) + name, *folder).second ||
           refuse(place + " is there twice");
  }

  bool in_object_ = false;
  std::vector<std::string>* list_ = nullptr;
  std::string list_key_;
  const RefKind* refs_ = nullptr;
  std::set<std::string> seen_;
};

// A branch that is a tag too; "" when there is none.
std::string ambiguous_name(const RepoSettings& settings) {
  constexpr std::string_view kTags = "refs/tags/";
  for (const auto& [ref, folder] : settings.refs) {
    if (!ref.starts_with(kTags)) continue;
    std::string name = ref.substr(kTags.size());
    if (name == "main" || settings.refs.count("refs/heads/" + name) > 0) return name;
  }
  return "";
}

}  // namespace

bool RepoSettings::is_reader(const std::string& user) const { return contains(readers, user); }

bool RepoSettings::is_pending(const std::string& user) const { return contains(pending, user); }

bool RepoSettings::has_grant(const std::string& user) const {
  return gate == Gate::kNone || is_reader(user) || (gate == Gate::kAuto && is_pending(user));
}

Result<RepoSettings> parse_repo_settings(std::string_view json) {
  SettingsReader reader;
  if (auto parsed = parse_json(json, reader); !parsed) {
    return {ErrorCode::kInvalidArgument,
            std::string(kRepoSettingsFile) + ": " +
                (reader.wrong.empty() ? parsed.error().context : reader.wrong)};
  }
  if (const std::string name = ambiguous_name(reader.settings); !name.empty()) {
    return {ErrorCode::kInvalidArgument,
            std::string(kRepoSettingsFile) + ": \"" + name + "\" is a branch and a tag"};
  }
  return std::move(reader.settings);
}

}  // namespace hubvfs::hub::server
