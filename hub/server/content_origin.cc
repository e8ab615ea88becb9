// SPDX-License-Identifier: Apache-2.0
#include "hub/server/content_origin.h"

#include <optional>

#include "base/digest.h"
#include "base/text.h"
#include "hub/server/hub_api.h"

namespace hubvfs::hub::server {
namespace {

HttpAnswer refuse(unsigned status, const std::string& code, const std::string& message) {
  HttpAnswer answer;
  answer.status = status;
  answer.text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + code +
                "</Code><Message>" + message + "</Message></Error>\n";
  answer.add("Content-Type", "text/xml");
  return answer;
}

struct Wanted {
  RepoId repo;
  std::string sha256;
  std::string path;
};

// "/content/{T}/{owner}/{name}/{sha256}/{path}"; its signature was checked before.
std::optional<Wanted> parse_path(std::string_view raw_path) {
  const auto segments = split(raw_path, '/');
  if (segments.size() < 7 || segments[1] != "content") return {};
  Wanted wanted;
  bool known = false;
  for (RepoType type : {RepoType::kModel, RepoType::kDataset, RepoType::kSpace}) {
    if (segments[2] != api_segment(type)) continue;
    wanted.repo.type = type;
    known = true;
  }
  wanted.repo.name = std::string(segments[3]) + "/" + std::string(segments[4]);
  wanted.sha256 = segments[5];
  for (std::size_t i = 6; i < segments.size(); ++i) {
    const auto part = percent_decode(segments[i]);
    if (!part || !known) return {};
    wanted.path += (i == 6 ? "" : "/") + *part;
  }
  return wanted;
}

}  // namespace

HttpAnswer ContentOrigin::answer(const HttpRequest& request) {
  if (request.has_header("authorization")) {
    return refuse(400, "InvalidArgument", "Only one auth mechanism allowed");
  }
  if (request.method != "GET" && request.method != "HEAD") {
    return refuse(405, "MethodNotAllowed", "The specified method is not allowed");
  }
  switch (signer_.check(request.path, request.query, clock_.unix_now())) {
    case UrlSigner::Verdict::kForged:
      return refuse(403, "SignatureDoesNotMatch", "The signature does not match");
    case UrlSigner::Verdict::kExpired:
      return refuse(403, "AccessDenied", "Request has expired");
    case UrlSigner::Verdict::kGood:
      break;
  }
  return content(request);
}

// From whichever revision has it: a branch may have moved since the URL was signed.
HttpAnswer ContentOrigin::content(const HttpRequest& request) {
  const auto wanted = parse_path(request.path);
  const auto repo = wanted ? catalog_.find(wanted->repo) : std::nullopt;
  if (repo) {
    for (const auto& snapshot : repo->revisions->commits()) {
      const SnapshotEntry* entry = snapshot->find(wanted->path);
      if (entry == nullptr || entry->sha256 != wanted->sha256) continue;
      if (auto answer = content_of(request, *snapshot, *entry)) return std::move(*answer);
    }
  }
  return refuse(404, "NoSuchKey", "The specified key does not exist");
}

std::optional<HttpAnswer> ContentOrigin::content_of(const HttpRequest& request,
                                                    const RepoSnapshot& snapshot,
                                                    const SnapshotEntry& entry) {
  // An id of its own, as the Hub's content stores have: not the file's SHA-256.
  HttpAnswer answer =
      range_answer(request, entry.size, sha256_hex(as_bytes("content " + entry.sha256)));
  if (answer.status == 416) {
    answer.add("Content-Type", "text/html");
    return answer;
  }
  auto fd = catalog_.open_content(snapshot, entry);
  if (!fd) {
    if (fd.error().code == ErrorCode::kStale) return {};
    log_.warning("serve: " + fd.error().context);
    return refuse(500, "InternalError", "The file cannot be read");
  }
  answer.file = std::move(*fd);
  answer.add("Content-Type", "application/octet-stream");
  const auto disposition =
      parameter(parse_parameters(request.query), "response-content-disposition");
  if (disposition) answer.add("Content-Disposition", *disposition);
  return answer;
}

}  // namespace hubvfs::hub::server
