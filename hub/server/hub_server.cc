// SPDX-License-Identifier: Apache-2.0
#include "hub/server/hub_server.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "base/text.h"
#include "base/unique_fd.h"
#include "hub/server/access_log.h"
#include "hub/server/content_origin.h"
#include "hub/server/http_listener.h"
#include "hub/server/hub_api.h"
#include "hub/server/repo_catalog.h"
#include "hub/server/route.h"
#include "hub/server/token_file.h"
#include "hub/server/url_signer.h"

namespace hubvfs::hub::server {
namespace {

std::string random_hex(std::size_t bytes) {
  std::vector<std::uint8_t> random(bytes);
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(bytes)) return "";
  return to_hex(random);
}

// "Root=1-TIME-RANDOM;ID", where ID is the caller's trace id, if it is a plain one.
std::string request_id(const HttpRequest& request, UnixSeconds now) {
  const std::string_view given = request.header("x-amzn-trace-id").substr(0, 128);
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '=' || c == '_' || c == '.';
  };
  std::string id(given);
  if (given.empty() || !std::all_of(given.begin(), given.end(), plain)) {
    const std::string hex = random_hex(16);
    id = hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-4" + hex.substr(13, 3) + "-8" +
         hex.substr(17, 3) + "-" + hex.substr(20);
  }
  char time[32];
  std::snprintf(time, sizeof time, "%08llx", static_cast<unsigned long long>(now));
  return std::string("Root=1-") + time + "-" + random_hex(12) + ";" + id;
}

bool is_wildcard(const std::string& address) { return address == "0.0.0.0" || address == "::"; }

// "http://HOST" of a Host header, without its port; "" when it is not a plain one.
std::string host_of(std::string_view header) {
  const std::size_t bracket = header.rfind(']');
  const std::size_t colon = header.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    header = header.substr(0, colon);
  }
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == ':' || c == '[' || c == ']' || c == '_';
  };
  if (header.empty() || header.size() > 255 || !std::all_of(header.begin(), header.end(), plain)) {
    return "";
  }
  return "http://" + std::string(header);
}

// "https://host:8443/x" to "https://host".
std::string without_port(const std::string& url) {
  const std::size_t host = url.find("://") + 3;
  const std::size_t path = std::min(url.find('/', host), url.size());
  const std::size_t bracket = url.find(']', host);
  const std::size_t colon = url.find(':', bracket < path ? bracket : host);
  return url.substr(0, std::min(colon, path));
}

class MicrohttpdHubServer final : public HubServer {
 public:
  MicrohttpdHubServer(const HubServerOptions& options, std::unique_ptr<TokenFile> tokens,
                      UrlSigner signer, AccessLog access_log, std::unique_ptr<RepoCatalog> catalog,
                      Logger& log, const Clock& clock)
      : options_(options),
        tokens_(std::move(tokens)),
        signer_(std::move(signer)),
        access_log_(std::move(access_log)),
        catalog_(std::move(catalog)),
        clock_(clock),
        api_({options.page_size, options.url_lifetime_seconds}, *catalog_, *tokens_, signer_, log,
             clock),
        content_(*catalog_, signer_, log, clock) {}

  Result<void> listen(Logger& log) {
    auto second = HttpListener::start(
        options_.listen, options_.content_port,
        [this](const HttpRequest& request) { return answer_content(request); }, log);
    if (!second) return second.error();
    // In place before the first request to the hub origin can name it.
    content_port_ = (*second)->port();
    content_listener_ = std::move(*second);
    auto first = HttpListener::start(
        options_.listen, options_.port,
        [this](const HttpRequest& request) { return answer_hub(request); }, log);
    if (!first) return first.error();
    port_ = (*first)->port();
    hub_listener_ = std::move(*first);
    return {};
  }

  std::string url() const override { return local_url(port_); }
  std::string content_url() const override { return local_url(content_port_); }

  HubServerCounts counts() const override {
    HubServerCounts counts;
    counts.requests = requests_;
    counts.info = info_;
    counts.tree = tree_;
    counts.lists = lists_;
    counts.resolve = resolve_;
    counts.content = content_requests_;
    counts.body_bytes = body_bytes_;
    return counts;
  }
  Progress progress() const override { return catalog_->progress(); }

 private:
  std::string local_url(std::uint16_t port) const {
    return "http://" + url_host(options_.listen) + ":" + std::to_string(port);
  }

  // As this caller reaches us: the configured URLs, or the host it used where we listen on all
  // addresses, or the one we listen on.
  PublicUrls urls_for(const HttpRequest& request) const {
    const std::string host = is_wildcard(options_.listen) ? host_of(request.header("host")) : "";
    PublicUrls urls;
    urls.hub = options_.public_url;
    if (urls.hub.empty()) {
      urls.hub = host.empty() ? url() : host + ":" + std::to_string(port_);
    }
    urls.content = options_.public_content_url;
    if (urls.content.empty()) {
      urls.content = without_port(urls.hub) + ":" + std::to_string(content_port_);
    }
    return urls;
  }

  HttpAnswer answer_hub(const HttpRequest& request) {
    const Route route = parse_route(request.path);
    HttpAnswer answer = api_.answer(request, route, urls_for(request));
    switch (route.kind) {
      case Route::Kind::kInfo:
        ++info_;
        break;
      case Route::Kind::kTree:
      case Route::Kind::kPathsInfo:
        ++tree_;
        break;
      case Route::Kind::kList:
        ++lists_;
        break;
      case Route::Kind::kResolve:
      case Route::Kind::kResolveCache:
        ++resolve_;
        break;
      default:
        break;
    }
    finish(request, answer, "hub");
    return answer;
  }

  HttpAnswer answer_content(const HttpRequest& request) {
    HttpAnswer answer = content_.answer(request);
    ++content_requests_;
    finish(request, answer, "content");
    return answer;
  }

  void finish(const HttpRequest& request, HttpAnswer& answer, const char* origin) {
    answer.add("X-Request-Id", request_id(request, clock_.unix_now()));
    ++requests_;
    if (answer.file && request.method != "HEAD") body_bytes_ += answer.length();
    access_log_.write(request, answer, origin);
  }

  const HubServerOptions options_;
  const std::unique_ptr<TokenFile> tokens_;
  const UrlSigner signer_;
  const AccessLog access_log_;
  const std::unique_ptr<RepoCatalog> catalog_;
  const Clock& clock_;
  HubApi api_;
  ContentOrigin content_;

  std::atomic<std::uint16_t> port_ = 0;
  std::atomic<std::uint16_t> content_port_ = 0;
  std::atomic<std::uint64_t> requests_ = 0;
  std::atomic<std::uint64_t> info_ = 0;
  std::atomic<std::uint64_t> tree_ = 0;
  std::atomic<std::uint64_t> lists_ = 0;
  std::atomic<std::uint64_t> resolve_ = 0;
  std::atomic<std::uint64_t> content_requests_ = 0;
  std::atomic<std::uint64_t> body_bytes_ = 0;

  // Last, so that no handler runs while the rest goes away.
  std::unique_ptr<HttpListener> content_listener_;
  std::unique_ptr<HttpListener> hub_listener_;
};

// A URL as `public_url` may be: http or https, a host, no slash at its end.
bool is_base_url(const std::string& url) {
  const bool scheme = url.starts_with("http://") || url.starts_with("https://");
  const auto plain = [](char c) {
    return c > 0x20 && c < 0x7f && c != '<' && c != '>' && c != '"';
  };
  return scheme && url.size() > std::string_view("https://").size() && url.back() != '/' &&
         std::all_of(url.begin(), url.end(), plain);
}

}  // namespace

Result<std::unique_ptr<HubServer>> HubServer::start(const HubServerOptions& options, Logger& log,
                                                    const Clock& clock) {
  for (const std::string& url : {options.public_url, options.public_content_url}) {
    if (!url.empty() && !is_base_url(url)) {
      return {ErrorCode::kInvalidArgument, "public URL " + escape_for_log(url) +
                                               ": not http(s)://HOST[:PORT], no '/' at the end"};
    }
  }
  if (options.page_size == 0) return {ErrorCode::kInvalidArgument, "page_size is 0"};
  auto tokens = TokenFile::open(options.token_file, log, clock);
  if (!tokens) return tokens.error();
  auto signer = UrlSigner::create();
  if (!signer) return signer.error();
  auto access_log = AccessLog::open(options.access_log);
  if (!access_log) return access_log.error();
  auto catalog =
      RepoCatalog::open({options.root, options.state_dir, options.settle_seconds}, log, clock);
  if (!catalog) return catalog.error();
  auto server = std::make_unique<MicrohttpdHubServer>(options, std::move(*tokens),
                                                      std::move(*signer), std::move(*access_log),
                                                      std::move(*catalog), log, clock);
  if (auto listening = server->listen(log); !listening) return listening.error();
  return std::unique_ptr<HubServer>(std::move(server));
}

}  // namespace hubvfs::hub::server
