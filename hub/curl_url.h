// SPDX-License-Identifier: Apache-2.0
// URLs, read by libcurl's parser only, so that what we check is what libcurl will do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/address_class.h"

namespace hubvfs::hub {

// An absolute http or https URL without userinfo.
struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; IPv6 without brackets; dotted IPv4 in its plain form
  std::uint16_t port = 0;
  std::string path;   // starts with '/', as sent
  std::string query;  // without '?'

  std::string origin() const;  // "https://host:port"
  // As sent. Signed URLs are secrets: never log it.
  std::string text() const;
  // Scheme, host, port and path, escaped: for messages.
  std::string for_log() const;
  bool same_origin(const Url& other) const;
  bool is_secure() const { return scheme == "https"; }
};

// kBadAnswer: not absolute, another scheme, userinfo, a backslash, a blank or control byte, a
// host with bytes outside ASCII, over 16 KiB.
Result<Url> parse_url(std::string_view text);
// `reference` (a Location header) as seen from `base`; the same errors.
Result<Url> resolve_url(const Url& base, std::string_view reference);

// `route`, a path and perhaps a query, below the endpoint's own path.
Url at_route(const Url& endpoint, const std::string& route);

// Where a request of ours may be sent on to (threats 1.2).
struct RedirectPolicy {
  Url endpoint;
  std::vector<std::string> hosts;  // exact, or "*.example.org"; empty: any public host
  // Of the address that the endpoint was last reached at; kNone until then, and behind a proxy.
  AddressClass endpoint_class = AddressClass::kNone;
};
// kBadAnswer, saying why, where the target may not be asked: plain http unless the endpoint is
// plain too and the target is loopback or on its host; a private, loopback or link-local address
// unless the endpoint's is of that kind; a foreign port other than 443 or an internationalised name
// that is not listed; any host not listed where there is a list.
Result<void> check_redirect(const RedirectPolicy& policy, const Url& target);

// The proxy for a URL, from the environment as libcurl reads it: https_proxy, HTTPS_PROXY,
// all_proxy, ALL_PROXY, less no_proxy, NO_PROXY (hosts and all below them, with or without a port;
// addresses; networks as 10.0.0.0/8; "*"). Plain http never takes a proxy: it would read the token.
class ProxySettings {
 public:
  ProxySettings() = default;
  ProxySettings(std::string proxy, const std::string& no_proxy);
  static ProxySettings from_environment();
  // "" for none.
  const std::string& proxy_for(const Url& url) const;

 private:
  std::string proxy_;
  std::string none_;
  std::vector<std::string> exceptions_;
};

}  // namespace hubvfs::hub
