// SPDX-License-Identifier: Apache-2.0
// resolve, resolve-cache and raw (hub-protocol D).
#include <algorithm>
#include <array>

#include "base/text.h"
#include "hub/server/git_objects.h"
#include "hub/server/hub_api.h"

namespace hubvfs::hub::server {
namespace {

constexpr char kPlainText[] = "text/plain; charset=utf-8";

// Readable without a grant in a gated repo, at its root and by /resolve/ only.
bool is_allow_listed(const std::string& path) {
  return path == "README.md" || path == "LICENSE" || path == "LICENSE.md" || path == "LICENSE.txt";
}

const char* content_type(std::string_view path) {
  struct Type {
    std::string_view extension;
    const char* type;
  };
  constexpr std::array<Type, 9> kTypes = {{{".png", "image/png"},
                                           {".jpg", "image/jpeg"},
                                           {".jpeg", "image/jpeg"},
                                           {".gif", "image/gif"},
                                           {".webp", "image/webp"},
                                           {".svg", "image/svg+xml"},
                                           {".pdf", "application/pdf"},
                                           {".wav", "audio/wav"},
                                           {".mp3", "audio/mpeg"}}};
  constexpr std::array<std::string_view, 16> kTexts = {
      ".json", ".jsonl", ".md",  ".txt",   ".py",   ".yaml", ".yml", ".xml",
      ".html", ".csv",   ".tsv", ".jinja", ".toml", ".cfg",  ".sh",  ".gitattributes"};
  const std::string lower = to_lower(path);
  for (const Type& type : kTypes) {
    if (lower.ends_with(type.extension)) return type.type;
  }
  for (std::string_view text : kTexts) {
    if (lower.ends_with(text)) return kPlainText;
  }
  return "application/octet-stream";
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

}  // namespace

std::string content_disposition(std::string_view path, bool attachment) {
  const std::size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  std::string plain = header_text(name);
  std::replace(plain.begin(), plain.end(), '"', '_');
  std::replace(plain.begin(), plain.end(), '\\', '_');
  return std::string(attachment ? "attachment" : "inline") + "; filename*=UTF-8''" +
         percent_encode(name) + "; filename=\"" + plain + "\";";
}

HttpAnswer range_answer(const HttpRequest& request, std::uint64_t size, const std::string& etag) {
  HttpAnswer answer;
  answer.range = {0, size};
  answer.add("ETag", quoted(etag));
  answer.add("Accept-Ranges", "bytes");
  const bool other_wanted =
      request.has_header("if-range") && !names_etag(request.header("if-range"), etag);
  if (!request.has_header("range") || other_wanted) return answer;
  const RangeAsked asked = parse_range(request.header("range"), size);
  if (asked.kind == RangeAsked::Kind::kUnsatisfiable) {
    answer.status = 416;
    answer.range = {};
    answer.text = "Range not satisfiable";
    answer.add("Content-Range", "bytes */" + std::to_string(size));
  } else if (asked.kind == RangeAsked::Kind::kPart) {
    answer.status = 206;
    answer.range = asked.range;
    answer.add("Content-Range", "bytes " + std::to_string(asked.range.begin) + "-" +
                                    std::to_string(asked.range.end - 1) + "/" +
                                    std::to_string(size));
  }
  return answer;
}

HttpAnswer HubApi::file(const Call& call) {
  const std::string& path = call.route.path;
  if (!call.granted && !(call.route.kind == Route::Kind::kResolve && is_allow_listed(path))) {
    return gate_error(call);
  }
  if (!call.snapshot) return unknown_revision(call);
  const SnapshotEntry* entry = call.snapshot->find(path);
  HttpAnswer answer;
  if (entry == nullptr || entry->is_directory) {
    answer = error(call, 404, "EntryNotFound", "Entry not found");
  } else if (call.route.kind == Route::Kind::kRaw) {
    answer = content(call, *entry);
  } else if (const std::string& etag = entry->is_lfs() ? entry->sha256 : entry->oid;
             names_etag(call.request.header("if-none-match"), etag)) {
    answer.status = 304;
    answer.add(entry->is_lfs() ? "X-Linked-ETag" : "ETag", quoted(etag));
    answer.add("Accept-Ranges", "bytes");
  } else if (entry->is_lfs()) {
    answer = redirect_to_content(call, *entry);
  } else if (call.route.kind == Route::Kind::kResolve && !call.repo.settings->is_private &&
             call.repo.settings->gate == Gate::kNone) {
    answer = redirect_to_cache(call, *entry);
  } else {
    answer = content(call, *entry);
  }
  answer.add("X-Repo-Commit", call.snapshot->commit());
  return answer;
}

// Its Content-Length is that of its own text, not the file's.
HttpAnswer HubApi::redirect_to_cache(const Call& call, const SnapshotEntry& entry) const {
  const RepoId& repo = call.route.repo;
  const std::string asked = std::string("/") + route_prefix(repo.type) + repo.name + "/resolve/" +
                            call.route.revision + "/" + entry.path;
  HttpAnswer answer;
  answer.status = 307;
  const std::string location = std::string("/api/resolve-cache/") + api_segment(repo.type) + "/" +
                               repo.name + "/" + call.snapshot->commit() + "/" +
                               percent_encode(entry.path, true) + "?" + percent_encode(asked) +
                               "=&etag=" + percent_encode(quoted(entry.oid));
  answer.text = "Temporary Redirect. Redirecting to " + location;
  answer.add("Location", location);
  answer.add("Content-Type", kPlainText);
  answer.add("Accept-Ranges", "bytes");
  answer.add("Vary", "Origin, Accept");
  return answer;
}

HttpAnswer HubApi::redirect_to_content(const Call& call, const SnapshotEntry& entry) const {
  const RepoId& repo = call.route.repo;
  const std::string path = std::string("/content/") + api_segment(repo.type) + "/" + repo.name +
                           "/" + entry.sha256 + "/" + percent_encode(entry.path, true);
  std::string query;
  if (!call.flag("noContentDisposition")) {
    query = "response-content-disposition=" +
            percent_encode(content_disposition(entry.path, call.flag("download")));
  }
  const UnixSeconds expires =
      clock_.unix_now() + static_cast<UnixSeconds>(options_.url_lifetime_seconds);
  const std::string location = call.urls.content + signer_.sign(path, query, expires);
  HttpAnswer answer;
  answer.status = 302;
  answer.text = "Found. Redirecting to " + location;
  answer.add("Location", location);
  answer.add("X-Linked-Size", std::to_string(entry.size));
  answer.add("X-Linked-ETag", quoted(entry.sha256));
  answer.add("Cache-Control", "no-store");
  answer.add("Content-Type", kPlainText);
  answer.add("Accept-Ranges", "bytes");
  answer.add("Vary", "Origin, Accept");
  return answer;
}

// The bytes themselves: of a regular file, or the pointer of an LFS file (/raw/ alone comes here
// with one).
HttpAnswer HubApi::content(const Call& call, const SnapshotEntry& entry) {
  const std::string pointer = entry.is_lfs() ? lfs_pointer(entry.sha256, entry.size) : "";
  const std::uint64_t size = entry.is_lfs() ? pointer.size() : entry.size;
  HttpAnswer answer = range_answer(call.request, size, entry.oid);
  const bool bytes_wanted = answer.status != 416;
  if (bytes_wanted && entry.is_lfs()) {
    answer.text = pointer.substr(answer.range.begin, answer.range.size());
  } else if (bytes_wanted) {
    auto fd = catalog_.open_content(*call.snapshot, entry);
    if (!fd && fd.error().code == ErrorCode::kStale) {
      // By commit: that commit is gone. By name: there is another one in a moment.
      if (is_commit_id(call.route.revision)) return unknown_revision(call);
      HttpAnswer changing = error(call, 503, "", "The file is changing, ask again");
      changing.add("Retry-After", "1");
      return changing;
    }
    if (!fd) {
      log_.warning("serve: " + fd.error().context);
      return error(call, 500, "", "The file cannot be read");
    }
    answer.file = std::move(*fd);
  }
  answer.add("Content-Type", content_type(entry.path));
  if (!call.flag("noContentDisposition")) {
    answer.add("Content-Disposition", content_disposition(entry.path, call.flag("download")));
  }
  answer.add("Content-Security-Policy", "default-src 'none'; sandbox");
  answer.add("Vary", "Origin");
  return answer;
}

}  // namespace hubvfs::hub::server
