// SPDX-License-Identifier: Apache-2.0
#include "hub/curl_url.h"

#include <curl/curl.h>

#include <cstdlib>
#include <memory>

#include "base/text.h"

namespace hubvfs::hub {
namespace {

constexpr std::size_t kMaxUrl = 16u << 10;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using CurlUrl = std::unique_ptr<CURLU, FreeUrl>;

struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};

Error bad(const std::string& what) { return {ErrorCode::kBadAnswer, what}; }

// "" for a part that is not there.
std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, FreeText> owner(text);
  return text;
}

// Also an empty one.
bool has_part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  const bool found = curl_url_get(url, part, &text, 0) == CURLUE_OK;
  curl_free(text);
  return found;
}

// Bytes that parsers disagree about, or that could end a request line.
Result<void> check_bytes(std::string_view text) {
  if (text.empty() || text.size() > kMaxUrl) return bad("URL empty or too long");
  for (char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '\\') {
      return bad("URL with a blank, a control byte or a backslash");
    }
  }
  return {};
}

Result<Url> parts_of(CURLU* handle) {
  Url url;
  url.scheme = part_of(handle, CURLUPART_SCHEME);
  url.host = to_lower(part_of(handle, CURLUPART_HOST));
  const auto port = parse_decimal(part_of(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT));
  url.path = part_of(handle, CURLUPART_PATH);
  url.query = part_of(handle, CURLUPART_QUERY);
  if (url.scheme != "https" && url.scheme != "http") {
    return bad("URL of scheme " + escape_for_log(url.scheme, 16));
  }
  if (has_part(handle, CURLUPART_USER) || has_part(handle, CURLUPART_PASSWORD)) {
    return bad("URL with userinfo");
  }
  if (url.host.size() > 2 && url.host.front() == '[') {
    url.host = url.host.substr(1, url.host.size() - 2);
    if (!part_of(handle, CURLUPART_ZONEID).empty()) return bad("URL with an address zone");
  }
  if (url.host.empty() || !port || *port == 0 || *port > 65535) return bad("URL without a host");
  for (char c : url.host) {
    if (static_cast<unsigned char>(c) >= 0x80 || c == '%') return bad("URL with an odd host");
  }
  url.port = static_cast<std::uint16_t>(*port);
  if (url.path.empty()) url.path = "/";
  return url;
}

// `pattern` is a host, or "*.domain" for all below it.
bool host_matches(const std::string& host, const std::string& pattern) {
  if (pattern.starts_with("*.")) return host.ends_with(pattern.substr(1));
  return host == to_lower(pattern);
}

Result<void> check_foreign(const RedirectPolicy& policy, const Url& target) {
  const std::string where = "redirect to " + target.for_log();
  const bool own_host = target.host == policy.endpoint.host;
  const AddressClass from = policy.endpoint_class != AddressClass::kNone
                                ? policy.endpoint_class
                                : host_class(policy.endpoint.host);
  const AddressClass to = host_class(target.host);
  if (!target.is_secure()) {
    const bool local = own_host || to == AddressClass::kLoopback;
    if (policy.endpoint.is_secure() || !local) return bad(where + " is refused: plain http");
  }
  if (own_host) return {};
  if (!may_redirect_to(from, to)) return bad(where + " is refused: an address of the inside");
  bool listed = false;
  for (const std::string& host : policy.hosts) listed = listed || host_matches(target.host, host);
  if (!policy.hosts.empty() && !listed) return bad(where + " is refused: not in redirect_hosts");
  // What a person takes for another name. Content hosts have plain ones.
  const bool idn =
      target.host.starts_with("xn--") || target.host.find(".xn--") != std::string::npos;
  if (idn && !listed) return bad(where + " is refused: an internationalised name");
  const bool local = from == AddressClass::kLoopback && to == AddressClass::kLoopback;
  if (target.port != 443 && !listed && !local) {
    return bad(where + " is refused: port " + std::to_string(target.port));
  }
  return {};
}

// `exception`: "*", a host, a domain, an address or network, each but the last perhaps with a port.
bool is_exception(const Url& url, const std::string& exception) {
  if (exception == "*" || is_in_network(url.host, exception)) return true;
  std::string host = exception;
  const std::size_t colon = exception.rfind(':');
  const bool one_colon = colon != std::string::npos && exception.find(':') == colon;
  if (one_colon || (colon != std::string::npos && colon > 0 && exception[colon - 1] == ']')) {
    if (parse_decimal(exception.substr(colon + 1)) != url.port) return false;
    host.resize(colon);
  }
  return url.host == host || "[" + url.host + "]" == host || url.host.ends_with("." + host);
}

}  // namespace

std::string Url::origin() const {
  const bool six = host.find(':') != std::string::npos;
  return scheme + "://" + (six ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Url::text() const {
  const bool usual = port == (is_secure() ? 443 : 80);
  std::string start = origin();
  if (usual) start.resize(start.rfind(':'));
  return start + path + (query.empty() ? "" : "?" + query);
}

std::string Url::for_log() const { return escape_for_log(origin() + path, 300); }

bool Url::same_origin(const Url& other) const {
  return scheme == other.scheme && host == other.host && port == other.port;
}

Result<Url> parse_url(std::string_view text) {
  if (const auto checked = check_bytes(text); !checked) return checked.error();
  const CurlUrl handle(curl_url());
  if (!handle) return Error{ErrorCode::kOutOfMemory, "URL parser"};
  const CURLUcode code = curl_url_set(handle.get(), CURLUPART_URL, std::string(text).c_str(),
                                      CURLU_PATH_AS_IS | CURLU_NON_SUPPORT_SCHEME);
  if (code != CURLUE_OK) return bad(std::string("malformed URL: ") + curl_url_strerror(code));
  return parts_of(handle.get());
}

Result<Url> resolve_url(const Url& base, std::string_view reference) {
  if (const auto checked = check_bytes(reference); !checked) return checked.error();
  const CurlUrl handle(curl_url());
  if (!handle) return Error{ErrorCode::kOutOfMemory, "URL parser"};
  CURLUcode code = curl_url_set(handle.get(), CURLUPART_URL, base.text().c_str(), CURLU_PATH_AS_IS);
  if (code == CURLUE_OK) {
    code = curl_url_set(handle.get(), CURLUPART_URL, std::string(reference).c_str(),
                        CURLU_PATH_AS_IS | CURLU_NON_SUPPORT_SCHEME);
  }
  if (code != CURLUE_OK) return bad(std::string("malformed Location: ") + curl_url_strerror(code));
  return parts_of(handle.get());
}

Url at_route(const Url& endpoint, const std::string& route) {
  Url url = endpoint;
  const std::size_t mark = route.find('?');
  url.path += route.substr(0, mark);
  if (mark != std::string::npos) url.query = route.substr(mark + 1);
  return url;
}

Result<void> check_redirect(const RedirectPolicy& policy, const Url& target) {
  if (target.same_origin(policy.endpoint)) return {};
  return check_foreign(policy, target);
}

ProxySettings::ProxySettings(std::string proxy, const std::string& no_proxy)
    : proxy_(std::move(proxy)) {
  std::string list = no_proxy;
  for (char& c : list) {
    if (c == ' ') c = ',';
  }
  for (std::string_view part : split(list, ',')) {
    if (part.starts_with("*.")) part.remove_prefix(1);
    if (part.starts_with('.')) part.remove_prefix(1);
    if (!part.empty()) exceptions_.push_back(to_lower(part));
  }
}

ProxySettings ProxySettings::from_environment() {
  const auto first = [](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      const char* value = std::getenv(name);
      if (value != nullptr && *value != '\0') return std::string(value);
    }
    return std::string();
  };
  return {first({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}),
          first({"no_proxy", "NO_PROXY"})};
}

const std::string& ProxySettings::proxy_for(const Url& url) const {
  if (!url.is_secure() || host_class(url.host) == AddressClass::kLoopback) return none_;
  for (const std::string& exception : exceptions_) {
    if (is_exception(url, exception)) return none_;
  }
  return proxy_;
}

}  // namespace hubvfs::hub
