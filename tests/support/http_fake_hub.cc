// SPDX-License-Identifier: Apache-2.0
#include "tests/support/http_fake_hub.h"

#include <future>
#include <memory>
#include <optional>

#include "base/json.h"
#include "base/text.h"
#include "hub/http_head.h"

namespace hubvfs {
namespace {

using hub::RepoId;
using hub::RepoType;

// Asks the fake and waits for its answer.
template <typename T, typename Call>
Result<T> ask(Call&& call) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto answer = promise->get_future();
  call([promise](Result<T> result) { promise->set_value(std::move(result)); });
  return answer.get();
}

ScriptedAnswer error_answer(const Error& error) {
  ScriptedAnswer answer;
  const bool gated = error.code == ErrorCode::kGated;
  answer.status = gated ? 403 : error.code == ErrorCode::kNotFound ? 404 : 500;
  answer.header("X-Error-Code", gated ? "GatedRepo" : "EntryNotFound");
  answer.header("X-Error-Message", error.context);
  answer.body = "{\"error\":\"" + error.context + "\"}";
  return answer;
}

ScriptedAnswer json_answer(std::string text) {
  ScriptedAnswer answer;
  answer.header("Content-Type", "application/json; charset=utf-8");
  answer.body = std::move(text);
  return answer;
}

std::vector<std::string> segments_of(const std::string& path) {
  std::vector<std::string> segments;
  for (std::string_view part : split(std::string_view(path).substr(1), '/')) {
    segments.push_back(percent_decode(part).value_or("?"));
  }
  return segments;
}

std::string join(const std::vector<std::string>& parts, std::size_t from, std::size_t to) {
  std::string text;
  for (std::size_t i = from; i < to; ++i) text += (i == from ? "" : "/") + parts[i];
  return text;
}

std::string parameter(const std::string& target, const std::string& name) {
  const std::size_t mark = target.find('?');
  if (mark == std::string::npos) return {};
  for (std::string_view pair : split(std::string_view(target).substr(mark + 1), '&')) {
    if (pair.starts_with(name + "=")) {
      return percent_decode(pair.substr(name.size() + 1)).value_or("");
    }
  }
  return {};
}

std::optional<RepoType> type_of(const std::string& segment) {
  for (RepoType type : {RepoType::kModel, RepoType::kDataset, RepoType::kSpace}) {
    if (segment == hub::api_segment(type)) return type;
  }
  return {};
}

void write_entry(JsonWriter& json, const hub::TreeEntry& entry) {
  const bool file = entry.kind == hub::TreeEntry::Kind::kFile;
  json.begin_object().key("type").string(file ? "file" : "directory");
  const std::string id = entry.content ? entry.content->hex() : std::string(64, '*');
  json.key("oid").string(file && !entry.is_lfs ? id : std::string(40, 'a'));
  json.key("size").number(entry.size).key("path").string(entry.path);
  if (entry.is_lfs) {
    json.key("lfs").begin_object().key("oid").string(id);
    json.key("size").number(entry.size).key("pointerSize").number(std::uint64_t{131});
    json.end_object();
  }
  json.end_object();
}

void write_refs(JsonWriter& json, const char* key, const std::vector<hub::Ref>& refs) {
  json.key(key).begin_array();
  for (const hub::Ref& ref : refs) {
    json.begin_object().key("name").string(ref.name).key("ref").string(ref.ref);
    json.key("targetCommit").string(ref.commit).end_object();
  }
  json.end_array();
}

std::string info_json(const hub::RepoInfo& info) {
  JsonWriter json;
  json.begin_object().key("_id").string("6612ab34cd56ef7890123456");
  json.key("id").string(info.id.name).key("sha").string(info.commit);
  json.key("private").boolean(info.is_private);
  json.key("lastModified").string("2026-03-02T10:11:12.000Z");
  if (info.gate == hub::Gate::kNone) {
    json.key("gated").boolean(false);
  } else {
    json.key("gated").string(info.gate == hub::Gate::kAuto ? "auto" : "manual");
  }
  return json.end_object().text();
}

}  // namespace

HttpFakeHub::HttpFakeHub(FakeHubClient& world)
    : world_(world),
      content_([this](const ScriptedRequest& request) { return answer_content(request); }),
      hub_([this](const ScriptedRequest& request) { return answer_hub(request); }) {}

ScriptedAnswer HttpFakeHub::answer_hub(const ScriptedRequest& request) {
  const std::string path = request.path();
  if (path.starts_with("/api/resolve-cache/")) return answer_resolve(request, true);
  if (path.starts_with("/api/")) return answer_api(request);
  return answer_resolve(request, false);
}

ScriptedAnswer HttpFakeHub::give_tree(const ScriptedRequest& request, const RepoId& repo,
                                      const std::string& commit, const std::string& directory) {
  // One page of the fake is one page here: the cursor counts the entries before it.
  const std::uint64_t skip = parse_decimal(parameter(request.target, "cursor")).value_or(0);
  JsonWriter json;
  json.begin_array();
  std::uint64_t seen = 0;
  bool given = false;
  const auto more = ask<bool>([&](hub::Done<bool> done) {
    world_.list_tree(
        repo, commit, directory, parameter(request.target, "recursive") == "true", TimePoint(),
        [&](std::vector<hub::TreeEntry> page) {
          if (seen < skip) {
            seen += page.size();
            return true;
          }
          if (given) return false;
          for (const auto& entry : page) write_entry(json, entry);
          seen += page.size();
          given = true;
          return true;
        },
        std::move(done));
  });
  if (!more) return error_answer(more.error());
  ScriptedAnswer answer = json_answer(json.end_array().text());
  if (*more) {
    answer.header("Link", "<" + hub_.origin() + request.path() +
                              "?recursive=" + parameter(request.target, "recursive") +
                              "&cursor=" + std::to_string(seen) + ">; rel=\"next\"");
  }
  return answer;
}

ScriptedAnswer HttpFakeHub::answer_api(const ScriptedRequest& request) {
  const auto parts = segments_of(request.path());
  const auto type = type_of(parts[1]);
  if (!type) return error_answer({ErrorCode::kNotFound, "no such route"});
  if (parts.size() == 2) {
    const auto page = ask<hub::RepoPage>([&](hub::Done<hub::RepoPage> done) {
      world_.list_repos(*type, parameter(request.target, "author"),
                        parameter(request.target, "cursor"), TimePoint(), std::move(done));
    });
    if (!page) return error_answer(page.error());
    JsonWriter json;
    json.begin_array();
    for (const auto& repo : page->repos) {
      json.begin_object().key("id").string(repo.id.name).key("private").boolean(repo.is_private);
      json.key("lastModified").string("2026-03-02T10:11:12.000Z").end_object();
    }
    ScriptedAnswer answer = json_answer(json.end_array().text());
    if (!page->next.empty()) {
      answer.header("Link", "<" + hub_.origin() + request.path() +
                                "?author=" + parameter(request.target, "author") +
                                "&cursor=" + page->next + ">; rel=\"next\"");
    }
    return answer;
  }
  std::size_t name_end = 3;  // a legacy id has no owner
  if (parts.size() > 3 && parts[3] != "tree" && parts[3] != "refs" && parts[3] != "revision") {
    name_end = 4;
  }
  const RepoId repo{*type, join(parts, 2, name_end)};
  const std::string what = parts.size() > name_end ? parts[name_end] : "";
  if (what == "tree") {
    return give_tree(request, repo, parts[name_end + 1], join(parts, name_end + 2, parts.size()));
  }
  if (what == "refs") {
    const auto refs = ask<hub::RepoRefs>([&](hub::Done<hub::RepoRefs> done) {
      world_.list_refs(repo, TimePoint(), std::move(done));
    });
    if (!refs) return error_answer(refs.error());
    JsonWriter json;
    json.begin_object();
    write_refs(json, "branches", refs->branches);
    write_refs(json, "tags", refs->tags);
    write_refs(json, "converts", refs->converts);
    write_refs(json, "pullRequests", refs->pull_requests);
    return json_answer(json.end_object().text());
  }
  const auto info = ask<hub::RepoInfo>([&](hub::Done<hub::RepoInfo> done) {
    world_.repo_info(repo, what == "revision" ? parts[name_end + 1] : "", TimePoint(),
                     std::move(done));
  });
  if (!info) return error_answer(info.error());
  if (info->id != repo) {
    ScriptedAnswer answer;
    answer.status = 307;
    const std::string old_start = std::string("/api/") + parts[1] + "/" + repo.name;
    return answer.header("Location", std::string("/api/") + parts[1] + "/" + info->id.name +
                                         request.target.substr(old_start.size()));
  }
  return json_answer(info_json(*info));
}

ScriptedAnswer HttpFakeHub::give_file(const ScriptedRequest& request, const hub::FileRef& file) {
  hub::FetchRequest fetch;
  fetch.file = file;
  fetch.range = {0, file.content.size()};
  ScriptedAnswer answer;
  const std::string range = request.header("range");
  if (range.starts_with("bytes=")) {
    const auto asked = hub::parse_content_range("bytes " + range.substr(6) + "/" +
                                                std::to_string(file.content.size()));
    if (!asked) {
      answer.status = 416;
      return answer;
    }
    fetch.range = asked->range;
    answer.status = 206;
    answer.header("Content-Range",
                  "bytes " + range.substr(6) + "/" + std::to_string(file.content.size()));
  }
  fetch.on_bytes = [&](std::uint64_t, ByteView bytes) { answer.body += as_text(bytes); };
  auto promise = std::make_shared<std::promise<Result<void>>>();
  auto done = promise->get_future();
  fetch.on_done = [promise](Result<void> result) { promise->set_value(std::move(result)); };
  world_.fetch(std::move(fetch));
  const auto fetched = done.get();
  return fetched ? answer : error_answer(fetched.error());
}

ScriptedAnswer HttpFakeHub::answer_resolve(const ScriptedRequest& request, bool cached) {
  // [datasets/]OWNER/NAME/resolve/COMMIT/PATH, or TYPE/OWNER/NAME/COMMIT/PATH after resolve-cache.
  auto parts = segments_of(request.path());
  if (cached) {
    parts.erase(parts.begin(), parts.begin() + 2);
    parts.insert(parts.begin() + 3, "resolve");
    if (parts[0] == "models") parts.erase(parts.begin());
  }
  RepoId repo;
  if (const auto type = type_of(parts[0])) {
    repo.type = *type;
    parts.erase(parts.begin());
  }
  repo.name = join(parts, 0, 2);
  const std::string commit = parts[3];
  const std::string path = join(parts, 4, parts.size());
  std::optional<hub::TreeEntry> entry;
  const auto listed = ask<bool>([&](hub::Done<bool> done) {
    world_.list_tree(
        repo, commit, "", true, TimePoint(),
        [&](std::vector<hub::TreeEntry> page) {
          for (auto& each : page) {
            if (each.path == path) entry = each;
          }
          return true;
        },
        std::move(done));
  });
  if (!listed) return error_answer(listed.error());
  if (!entry) return error_answer({ErrorCode::kNotFound, "no such file"});
  if (!entry->content) return error_answer({ErrorCode::kGated, "restricted"});
  const hub::FileRef file{repo, commit, path, entry->is_lfs, *entry->content};
  const std::string tail =
      percent_encode(repo.name, true) + "/" + commit + "/" + percent_encode(path, true);
  ScriptedAnswer answer;
  if (entry->is_lfs) {
    answer.status = 302;
    answer.header("X-Linked-ETag", "\"" + entry->content->hex() + "\"");
    answer.header("X-Linked-Size", std::to_string(entry->size));
    answer.header("Location", content_.origin() + "/" + hub::api_segment(repo.type) + "/" + tail +
                                  "?Expires=4000000000&Signature=secret");
    answer.body = "Found. Redirecting";
  } else if (!cached) {
    answer.status = 307;
    answer.header("Location", std::string("/api/resolve-cache/") + hub::api_segment(repo.type) +
                                  "/" + tail + "?etag=%22x%22");
    answer.body = "Temporary Redirect";
  } else {
    answer = give_file(request, file);
    answer.header("ETag", "\"" + entry->content->hex() + "\"");
  }
  return answer.header("X-Repo-Commit", commit);
}

ScriptedAnswer HttpFakeHub::answer_content(const ScriptedRequest& request) {
  const auto parts = segments_of(request.path());  // TYPE/OWNER/NAME/COMMIT/PATH
  const RepoId repo{type_of(parts[0]).value_or(RepoType::kModel), join(parts, 1, 3)};
  const std::string path = join(parts, 4, parts.size());
  ScriptedAnswer answer = give_file(request, world_.file(repo, parts[3], path));
  return answer.header("ETag", "\"of-the-content-host\"");
}

}  // namespace hubvfs
