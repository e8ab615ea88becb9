// SPDX-License-Identifier: Apache-2.0
#include "hub/server/hub_api.h"

#include <algorithm>

#include "base/digest.h"
#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::hub::server {
namespace {

constexpr char kBadCredentials[] = "Invalid username or password.";

using Kind = Route::Kind;

const char* kind_word(RepoType type) {
  switch (type) {
    case RepoType::kModel:
      return "model";
    case RepoType::kDataset:
      return "dataset";
    case RepoType::kSpace:
      return "space";
  }
  return "model";
}

}  // namespace

std::string url_path(std::string_view path) {
  std::string url;
  for (char c : path) {
    const bool plain = std::string_view("/%!$&'()*+,;=:@").find(c) != std::string_view::npos;
    url += plain ? std::string(1, c) : percent_encode({&c, 1});
  }
  return url;
}

HubApi::HubApi(const Options& options, RepoCatalog& catalog, TokenFile& tokens,
               const UrlSigner& signer, Logger& log, const Clock& clock)
    : options_(options),
      catalog_(catalog),
      tokens_(tokens),
      signer_(signer),
      log_(log),
      clock_(clock) {}

bool HubApi::Call::flag(std::string_view name) const {
  const std::string value = to_lower(parameter(parameters, name).value_or(""));
  return value == "true" || value == "1";
}

HttpAnswer HubApi::answer(const HttpRequest& request, const Route& route, const PublicUrls& urls) {
  Call call{request, route, urls, parse_parameters(request.query), "", {}, false, {}};
  HttpAnswer answer = dispatch(call);
  answer.add("X-Powered-By", "hubvfs/" HUBVFS_VERSION);
  answer.add("Access-Control-Expose-Headers",
             "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,"
             "Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash");
  // No quota is enforced: the figures say so in the Hub's own form.
  const char* bucket = route.is_file() ? "resolvers" : "api";
  answer.add("RateLimit", std::string("\"") + bucket +
                              "\";r=999999;t=" + std::to_string(300 - clock_.unix_now() % 300));
  answer.add("RateLimit-Policy",
             std::string("\"fixed window\";\"") + bucket + "\";q=1000000;w=300");
  return answer;
}

HttpAnswer HubApi::dispatch(Call& call) {
  const std::string_view authorization = call.request.header("authorization");
  if (call.request.has_header("authorization")) {
    const bool bearer = to_lower(authorization.substr(0, 7)) == "bearer ";
    if (bearer) call.user = tokens_.user_of(trim(authorization.substr(7)));
    if (call.user.empty()) {
      return error(call, 401, "", "Invalid credentials in Authorization header");
    }
  }
  const bool post = call.route.kind == Kind::kPathsInfo;
  const bool known_method = post ? call.request.method == "POST"
                                 : call.request.method == "GET" || call.request.method == "HEAD";
  if (call.route.kind == Kind::kMalformed) return error(call, 400, "", "Malformed URL");
  if (call.route.kind == Kind::kUnknown || !known_method) {
    return error(call, 404, "", "Sorry, we can't find the page you are looking for.");
  }
  if (call.route.kind == Kind::kList) return list(call);
  if (call.route.kind == Kind::kWhoami) {
    if (call.user.empty()) return error(call, 401, "", kBadCredentials);
    return json(call, whoami_json(call.user));
  }
  return about_repo(call);
}

HttpAnswer HubApi::about_repo(Call& call) {
  const auto repo = catalog_.find(call.route.repo);
  if (!repo || !repo->settings->may_see(call.user)) {
    if (auto redirect = repo ? std::nullopt : redirect_to_canonical(call))
      return std::move(*redirect);
    if (call.user.empty()) return error(call, 401, "", kBadCredentials);
    return error(call, 404, "RepoNotFound", "Repository not found");
  }
  call.repo = *repo;
  call.granted = repo->settings->has_grant(call.user);
  call.snapshot = repo->revisions->find(call.route.revision);
  if (repo->settings->disabled) {
    return error(call, 403, "", "Access to this resource is disabled.");
  }
  if (call.route.is_file()) return file(call);
  if (call.route.kind == Kind::kAuthCheck) {
    if (!call.granted) return gate_error(call);
    HttpAnswer ok;
    ok.text = "OK";
    ok.add("Content-Type", "text/plain; charset=utf-8");
    return ok;
  }
  if (call.route.kind == Kind::kRefs) {
    return json(call, refs_json(*call.repo.revisions, call.flag("include_prs")));
  }
  return call.snapshot ? about_revision(call) : unknown_revision(call);
}

HttpAnswer HubApi::about_revision(const Call& call) const {
  switch (call.route.kind) {
    case Kind::kInfo:
      return info(call);
    case Kind::kTree:
      return tree(call);
    case Kind::kTreeSize:
      return tree_size(call);
    case Kind::kPathsInfo:
      return paths_info(call);
    case Kind::kCommits:
      return commits(call);
    default:
      break;
  }
  return error(call, 404, "", "Sorry, we can't find the page you are looking for.");
}

std::optional<HttpAnswer> HubApi::redirect_to_canonical(const Call& call) {
  const auto canonical = catalog_.canonical(call.route.repo);
  const auto repo = canonical ? catalog_.find(*canonical) : std::nullopt;
  if (!repo || !repo->settings->may_see(call.user)) return {};
  std::string location = url_path(with_repo_name(call.request.path, call.route, canonical->name));
  if (!call.request.query.empty()) location += "?" + call.request.query;
  HttpAnswer answer;
  answer.status = 307;  // a POST must be sent again as a POST
  answer.text = "Temporary Redirect. Redirecting to " + location;
  answer.add("Location", location);
  answer.add("Content-Type", "text/plain; charset=utf-8");
  answer.add("Vary", "Origin, Accept");
  return answer;
}

HttpAnswer HubApi::info(const Call& call) const {
  InfoWanted wanted;
  wanted.blobs = call.flag("blobs");
  wanted.masked = !call.granted;
  for (const auto& [name, value] : call.parameters) {
    if (name == "expand" || name == "expand[]") wanted.expand.push_back(value);
  }
  return json(call, info_json(*call.snapshot, *call.repo.settings, wanted));
}

// A served folder has no history: its revision is one commit.
HttpAnswer HubApi::commits(const Call& call) const {
  HttpAnswer answer = json(call, commits_json(*call.snapshot));
  answer.add("X-Total-Count", "1");
  return answer;
}

HttpAnswer HubApi::json(const Call& call, std::string text) const {
  HttpAnswer answer;
  const std::string tag = sha256_hex(as_bytes(text)).substr(0, 32);
  answer.add("Content-Type", "application/json; charset=utf-8");
  answer.add("ETag", "W/\"" + tag + "\"");
  answer.add("Vary", "Origin");
  if (names_etag(call.request.header("if-none-match"), tag) && call.request.method != "POST") {
    answer.status = 304;
  } else {
    answer.text = std::move(text);
  }
  return answer;
}

HttpAnswer HubApi::error(const Call& call, unsigned status, const char* code,
                         const std::string& message) const {
  HttpAnswer answer;
  answer.status = status;
  if (call.route.is_file()) {
    answer.text = message;
    answer.add("Content-Type", "text/plain; charset=utf-8");
  } else {
    JsonWriter json;
    json.begin_object().key("error").string(message).end_object();
    answer.text = json.text();
    answer.add("Content-Type", "application/json; charset=utf-8");
  }
  if (code[0] != '\0') answer.add("X-Error-Code", code);
  answer.add("X-Error-Message", header_text(message));
  if (status == 401) {
    answer.add("WWW-Authenticate", "Bearer realm=\"Authentication required\", charset=\"UTF-8\"");
  }
  return answer;
}

HttpAnswer HubApi::gate_error(const Call& call) const {
  const RepoId& repo = call.route.repo;
  const std::string what = std::string(kind_word(repo.type)) + " " + repo.name;
  if (call.user.empty()) {
    return error(call, 401, "GatedRepo",
                 "Access to " + what +
                     " is restricted. You must have access to it and be "
                     "authenticated to access it. Please log in.");
  }
  if (call.repo.settings->is_pending(call.user)) {
    return error(call, 403, "GatedRepo",
                 "Your request to access " + what + " is awaiting a review from the repo authors.");
  }
  return error(call, 403, "GatedRepo",
               "Access to " + what +
                   " is restricted and you are not in the authorized list. "
                   "Visit " +
                   call.urls.hub + "/" + route_prefix(repo.type) + repo.name +
                   " to ask for access.");
}

HttpAnswer HubApi::unknown_revision(const Call& call) const {
  return error(call, 404, "RevisionNotFound", "Invalid rev id: " + call.route.revision);
}

}  // namespace hubvfs::hub::server
