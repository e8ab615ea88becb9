// SPDX-License-Identifier: Apache-2.0
#include "hub/server/url_signer.h"

#include <sys/random.h>

#include <cerrno>

#include "base/digest.h"
#include "base/text.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::string_view kExpires = "Expires=";
constexpr std::string_view kSignature = "&Signature=";

// Takes the same time wherever the first difference is.
bool same_text(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned>(a[i] ^ b[i]) & 0xffu;
  }
  return difference == 0;
}

}  // namespace

Result<UrlSigner> UrlSigner::create() {
  UrlSigner signer;
  if (::getrandom(signer.key_.data(), signer.key_.size(), 0) !=
      static_cast<ssize_t>(signer.key_.size())) {
    return system_error(errno, "getrandom");
  }
  return signer;
}

std::string UrlSigner::signature(std::string_view signed_part) const {
  return hmac_sha256_hex(key_, as_bytes(signed_part));
}

std::string UrlSigner::sign(std::string_view path, std::string_view query,
                            UnixSeconds expires) const {
  std::string url(path);
  url += '?';
  if (!query.empty()) {
    url += query;
    url += '&';
  }
  url += kExpires;
  url += std::to_string(expires);
  const std::string mac = signature(url);
  url += kSignature;
  url += mac;
  return url;
}

UrlSigner::Verdict UrlSigner::check(std::string_view path, std::string_view query,
                                    UnixSeconds now) const {
  const std::size_t end = query.rfind(kSignature);
  if (end == std::string_view::npos) return Verdict::kForged;
  std::string signed_part(path);
  signed_part += '?';
  signed_part += query.substr(0, end);
  if (!same_text(signature(signed_part), query.substr(end + kSignature.size()))) {
    return Verdict::kForged;
  }
  const std::size_t expires_at = signed_part.rfind(kExpires);
  const auto expires =
      parse_decimal(std::string_view(signed_part).substr(expires_at + kExpires.size()));
  if (!expires || static_cast<UnixSeconds>(*expires) <= now) return Verdict::kExpired;
  return Verdict::kGood;
}

}  // namespace hubvfs::hub::server
