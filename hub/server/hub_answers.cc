// SPDX-License-Identifier: Apache-2.0
#include "hub/server/hub_answers.h"

#include <algorithm>
#include <ctime>

#include "base/digest.h"
#include "base/text.h"
#include "hub/server/git_objects.h"
#include "hub/server/http_message.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::size_t kMaxPaths = 2000;
constexpr char kCommitTitle[] = "Served by hubvfs";

const std::string& masked_id() {
  static const std::string kStars(64, '*');
  return kStars;
}

void add_lfs(JsonWriter& json, const SnapshotEntry& entry, const char* id_key, bool masked) {
  json.key("lfs").begin_object();
  json.key(id_key).string(masked ? masked_id() : entry.sha256);
  json.key("size").number(entry.size);
  json.key("pointerSize").number(std::uint64_t{lfs_pointer(entry.sha256, entry.size).size()});
  json.end_object();
}

void add_siblings(JsonWriter& json, const RepoSnapshot& snapshot, bool blobs, bool masked) {
  json.begin_array();
  for (const WalkedFile& file : snapshot.files()) {
    json.begin_object().key("rfilename").string(file.path);
    const SnapshotEntry* entry = blobs ? snapshot.find(file.path) : nullptr;
    if (entry != nullptr) {
      json.key("size").number(entry->size);
      json.key("blobId").string(entry->oid);
      if (entry->is_lfs()) add_lfs(json, *entry, "sha256", masked);
    }
    json.end_object();
  }
  json.end_array();
}

void add_gate(JsonWriter& json, Gate gate) {
  if (gate == Gate::kNone) {
    json.boolean(false);
  } else {
    json.string(gate == Gate::kAuto ? "auto" : "manual");
  }
}

std::uint64_t bytes_of(const RepoSnapshot& snapshot) {
  std::uint64_t total = 0;
  for (const WalkedFile& file : snapshot.files()) total += file.identity.size;
  return total;
}

std::string owner_of(const RepoId& repo) { return repo.name.substr(0, repo.name.find('/')); }

std::string id_of(const RepoId& repo) {
  return internal_id(std::string(api_segment(repo.type)) + "/" + repo.name);
}

// One property of a repo's info by its name; false when we have no such property.
bool add_property(JsonWriter& json, const RepoSnapshot& snapshot, const RepoSettings& settings,
                  std::string_view name, const InfoWanted& wanted) {
  const auto key = [&]() -> JsonWriter& { return json.key(name); };
  if (name == "author") {
    key().string(owner_of(snapshot.repo()));
  } else if (name == "sha") {
    key().string(snapshot.commit());
  } else if (name == "lastModified") {
    key().string(hub_date(snapshot.last_modified()));
  } else if (name == "createdAt") {
    key().string(hub_date(snapshot.created()));
  } else if (name == "private") {
    key().boolean(settings.is_private);
  } else if (name == "gated") {
    add_gate(key(), settings.gate);
  } else if (name == "disabled") {
    key().boolean(settings.disabled);
  } else if (name == "tags") {
    key().begin_array().end_array();
  } else if (name == "downloads" || name == "likes") {
    key().number(std::uint64_t{0});
  } else if (name == "usedStorage") {
    key().number(bytes_of(snapshot));
  } else if (name == "siblings") {
    add_siblings(key(), snapshot, wanted.blobs, wanted.masked);
  } else {
    return false;
  }
  return true;
}

void add_ref(JsonWriter& json, std::string_view name, std::string_view ref,
             const RepoSnapshot& target) {
  json.begin_object().key("name").string(name).key("ref").string(ref);
  json.key("targetCommit").string(target.commit()).end_object();
}

// Those below `prefix`, the one called `first` before the others.
void add_refs(JsonWriter& json, const RepoRevisions& revisions, std::string_view prefix,
              std::string_view first = "") {
  json.begin_array();
  for (const bool now_first : {true, false}) {
    for (const auto& [ref, snapshot] : revisions.refs()) {
      if (!ref.starts_with(prefix) || (ref == first) != now_first) continue;
      // A pull request goes by its whole ref.
      const std::string_view name = std::string_view(ref).substr(prefix.size());
      add_ref(json, prefix == "refs/pr/" ? ref : name, ref, *snapshot);
    }
  }
  json.end_array();
}

// Paths of a JSON body.
class PathsReader final : public JsonVisitor {
 public:
  PathsAsked asked;
  bool too_many = false;

  bool scalar(const std::string& path, JsonScalar&& value) override {
    if (path == "paths" || path == "paths[]") {
      auto* text = std::get_if<std::string>(&value);
      too_many = asked.paths.size() >= kMaxPaths;
      if (text == nullptr || too_many) return false;
      asked.paths.push_back(std::move(*text));
    } else if (path == "expand") {
      const bool* flag = std::get_if<bool>(&value);
      if (flag == nullptr) return false;
      asked.expand = *flag;
    }
    return true;
  }
};

}  // namespace

std::string hub_date(UnixSeconds time) {
  const std::time_t seconds = std::clamp<UnixSeconds>(time, 0, 253'402'300'799);  // to year 9999
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000Z", &parts);
  return text;
}

std::string internal_id(std::string_view what) { return sha256_hex(as_bytes(what)).substr(0, 24); }

std::string info_json(const RepoSnapshot& snapshot, const RepoSettings& settings,
                      const InfoWanted& wanted) {
  const RepoId& id = snapshot.repo();
  JsonWriter json;
  json.begin_object().key("_id").string(id_of(id)).key("id").string(id.name);
  if (!wanted.expand.empty()) {
    std::vector<std::string> names = wanted.expand;
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (const std::string& name : names) add_property(json, snapshot, settings, name, wanted);
    json.end_object();
    return json.text();
  }
  if (id.type == RepoType::kModel) json.key("modelId").string(id.name);
  for (const char* name : {"author", "sha", "lastModified", "createdAt", "private", "gated",
                           "disabled", "tags", "downloads", "likes", "usedStorage", "siblings"}) {
    add_property(json, snapshot, settings, name, wanted);
  }
  json.end_object();
  return json.text();
}

void add_entry(JsonWriter& json, const RepoSnapshot& snapshot, const SnapshotEntry& entry,
               const EntryStyle& style) {
  json.begin_object();
  json.key("type").string(entry.is_directory ? "directory" : "file");
  json.key("oid").string(entry.oid);
  json.key("size").number(entry.size);
  if (entry.is_lfs()) add_lfs(json, entry, "oid", style.masked);
  json.key("path").string(entry.path);
  if (style.last_commit) {
    json.key("lastCommit").begin_object();
    json.key("id").string(snapshot.commit());
    json.key("title").string(kCommitTitle);
    json.key("date").string(hub_date(snapshot.last_modified()));
    json.end_object();
  }
  json.end_object();
}

void add_list_item(JsonWriter& json, const RepoSnapshot& snapshot, const RepoSettings& settings,
                   bool full) {
  const RepoId& id = snapshot.repo();
  json.begin_object().key("_id").string(id_of(id)).key("id").string(id.name);
  if (id.type == RepoType::kModel) json.key("modelId").string(id.name);
  for (const char* name :
       {"author", "private", "gated", "likes", "downloads", "tags", "createdAt", "lastModified"}) {
    add_property(json, snapshot, settings, name, {});
  }
  if (full) {
    add_property(json, snapshot, settings, "sha", {});
    add_property(json, snapshot, settings, "siblings", {});
  }
  json.end_object();
}

std::string refs_json(const RepoRevisions& revisions, bool pull_requests) {
  JsonWriter json;
  json.begin_object();
  add_refs(json.key("branches"), revisions, "refs/heads/", kMainRef);
  add_refs(json.key("converts"), revisions, "refs/convert/");
  add_refs(json.key("tags"), revisions, "refs/tags/");
  if (pull_requests) add_refs(json.key("pullRequests"), revisions, "refs/pr/");
  json.end_object();
  return json.text();
}

std::string commits_json(const RepoSnapshot& snapshot) {
  JsonWriter json;
  json.begin_array().begin_object();
  json.key("id").string(snapshot.commit());
  json.key("title").string(kCommitTitle);
  json.key("message").string("");
  json.key("date").string(hub_date(snapshot.last_modified()));
  json.key("authors").begin_array().begin_object();
  json.key("user").string("hubvfs").key("avatar").string("").end_object().end_array();
  json.end_object().end_array();
  return json.text();
}

std::string whoami_json(const std::string& user) {
  JsonWriter json;
  json.begin_object();
  json.key("type").string("user");
  json.key("id").string(internal_id("user/" + user));
  json.key("name").string(user).key("fullname").string(user);
  json.key("email").null().key("emailVerified").boolean(false);
  json.key("canPay").boolean(false).key("billingMode").string("prepaid");
  json.key("periodEnd").null().key("isPro").boolean(false);
  json.key("avatarUrl").string("").key("orgs").begin_array().end_array();
  json.key("auth").begin_object().key("type").string("access_token");
  json.key("accessToken").begin_object();
  json.key("displayName").string("token file").key("role").string("read");
  json.key("createdAt").string(hub_date(0)).end_object().end_object();
  json.end_object();
  return json.text();
}

Result<PathsAsked> parse_paths_asked(std::string_view content_type, std::string_view body) {
  const Error too_many{ErrorCode::kInvalidArgument,
                       "* Too big: expected array to have <=2000 items * at paths"};
  const bool form = to_lower(content_type).starts_with("application/x-www-form-urlencoded");
  if (!form) {
    PathsReader reader;
    if (auto parsed = parse_json(body, reader); !parsed) {
      if (reader.too_many) return too_many;
      return {ErrorCode::kInvalidArgument, "* Invalid body: " + parsed.error().context};
    }
    return std::move(reader.asked);
  }
  PathsAsked asked;
  for (auto& [name, value] : parse_parameters(body)) {
    if (name == "expand") asked.expand = to_lower(value) == "true" || value == "1";
    if (name != "paths" && name != "paths[]") continue;
    if (asked.paths.size() >= kMaxPaths) return too_many;
    asked.paths.push_back(std::move(value));
  }
  return asked;
}

}  // namespace hubvfs::hub::server
