// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_errors.h"

#include "base/text.h"

namespace hubvfs::hub {
namespace {

constexpr const char* kDisabled = "Access to this resource is disabled.";  // hub-protocol E.2

std::string seconds_of(Duration time) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

std::string access_hint(const Asked& asked, const std::string& token) {
  std::string hint = "ask for access";
  if (!asked.page.empty()) hint += " at " + asked.page;
  if (token.empty()) hint += ", and set HF_TOKEN";
  return hint;
}

std::string denial_hint(const HttpHead& head, const std::string& token) {
  if (is_disabled(head)) return "the Hub has disabled this repo, for everybody: ask its owner";
  if (token.empty()) return "set HF_TOKEN to a token that may";
  return token + " was refused: log in anew (hf auth login) or set one that may";
}

// Without the user and password that may stand before its host.
std::string without_userinfo(const std::string& proxy) {
  const std::size_t scheme = proxy.find("://");
  const std::size_t start = scheme == std::string::npos ? 0 : scheme + 3;
  const std::size_t at = proxy.rfind('@');
  const bool has_userinfo = at != std::string::npos && at >= start;
  return escape_for_log(has_userinfo ? proxy.substr(0, start) + proxy.substr(at + 1) : proxy, 100);
}

}  // namespace

Error error_of_answer(const HttpHead& head, const Asked& asked, const Url& url,
                      const std::string& token) {
  std::string why = asked.what + ": HTTP " + std::to_string(head.status);
  if (!head.error_code.empty()) why += " " + escape_for_log(head.error_code, 64);
  if (!head.error_message.empty()) why += " \"" + escape_for_log(head.error_message, 200) + "\"";
  why += " from " + url.origin() + ": ";
  const bool gated = head.error_code == "GatedRepo";
  switch (head.status) {
    case 401:
      if (gated) return {ErrorCode::kGated, why + access_hint(asked, token)};
      if (!token.empty()) return {ErrorCode::kPermissionDenied, why + denial_hint(head, token)};
      return {ErrorCode::kNotFound, why + "there is no such thing, or it takes a token (HF_TOKEN)"};
    case 403:
      if (gated) return {ErrorCode::kGated, why + access_hint(asked, token)};
      return {ErrorCode::kPermissionDenied, why + denial_hint(head, token)};
    case 404:
      if (!head.error_code.empty()) return {ErrorCode::kNotFound, why + "check its name"};
      return {ErrorCode::kBadAnswer,
              why + "no X-Error-Code, so this is no Hub: check the endpoint"};
    case 429:
      return {ErrorCode::kRateLimited, why + "too many requests, ask again later"};
    default:
      if (head.status < 500 && head.status != 408) {
        return {ErrorCode::kBadAnswer, why + "not what a Hub says to a GET: check the endpoint"};
      }
      return {ErrorCode::kUnavailable, why + "it is in trouble, ask again later",
              "HTTP " + std::to_string(head.status) + " " + url.origin()};
  }
}

bool is_disabled(const HttpHead& head) { return head.error_message == kDisabled; }

Error error_of_bad_answer(const Asked& asked, const Url& url, const std::string& why) {
  return {ErrorCode::kBadAnswer, asked.what + ": " + why + ", from " + url.origin() +
                                     ": check the endpoint, and what is in between"};
}

Error error_of_content_host(const HttpHead& head, const Asked& asked, const Url& url) {
  const bool denied = head.status == 401 || head.status == 403;
  // What it says to files of some 100 GB, which only Xet gives (hub-protocol D.4).
  const char* hint = head.status == 400
                         ? "it may be too large for plain HTTP, and hubvfs has no Xet yet"
                         : "ask again later, or check for a firewall in between";
  return {denied ? ErrorCode::kPermissionDenied : ErrorCode::kBadAnswer,
          asked.what + ": HTTP " + std::to_string(head.status) + " from the content host " +
              url.origin() + ", with a fresh URL: " + hint};
}

std::string limit_of(const HttpHead& head) {
  const auto limit = parse_rate_limit(head.rate_limit);
  const auto policy = parse_rate_policy(head.rate_policy);
  std::string text = "the limit of ";
  if (policy) text += std::to_string(policy->requests) + " ";
  text += limit && !limit->quota.empty() ? "\"" + escape_for_log(limit->quota, 32) + "\" requests"
                                         : std::string("requests");
  if (policy) text += " in " + std::to_string(policy->window_seconds) + " s";
  return text + " is used up";
}

Error error_of_limit(const Asked& asked, const Url& url, const std::string& limit, Duration reset,
                     bool token_helps) {
  return {ErrorCode::kRateLimited, asked.what + ": HTTP 429 from " + url.origin() + ", " + limit +
                                       ": wait " + seconds_of(reset) + " for its reset" +
                                       (token_helps ? ", or set HF_TOKEN for a higher one" : "")};
}

Error error_of_transfer(const TransferEnd& end, const Asked& asked, const Url& url,
                        const std::string& proxy) {
  const ErrorCode code = end.bad_answer ? ErrorCode::kBadAnswer : ErrorCode::kUnavailable;
  const std::string start = asked.what + ": ";
  const std::string detail = " (" + end.failure + "): ";
  const auto error = [&](const std::string& cause, const char* next_step) {
    return Error{code, start + cause + detail + next_step, cause};
  };
  switch (end.hop) {
    case Hop::kName:
      return error("DNS has no address for " + url.host,
                   "check the network and the endpoint's name");
    case Hop::kProxy:
      return error("the proxy " + without_userinfo(proxy) + " does not lead to " + url.origin(),
                   "check HTTPS_PROXY and NO_PROXY");
    case Hop::kConnect:
      return error("cannot connect to " + url.origin(),
                   "check the network, and that the server is up");
    case Hop::kTls:
      return error("TLS with " + url.origin() + " failed",
                   end.untrusted ? "check the clock, or name its CA in SSL_CERT_FILE"
                                 : "check for a proxy or firewall in between");
    case Hop::kAnswer:
      break;
  }
  return error(url.origin() + (end.bad_answer ? " answered" : " broke off"),
               end.bad_answer ? "check the endpoint" : "check the network");
}

Error offline_error(const std::string& because) {
  if (because.empty()) return {ErrorCode::kOffline, "offline: the Hub is not asked"};
  return {ErrorCode::kOffline, "offline because of " + because +
                                   ": the Hub is not asked; mount without it to go online"};
}

}  // namespace hubvfs::hub
