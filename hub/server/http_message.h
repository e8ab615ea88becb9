// SPDX-License-Identifier: Apache-2.0
// One HTTP request as it came, and the answer to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace hubvfs::hub::server {

struct HttpRequest {
  std::string method;                                        // "GET", "HEAD", "POST", ...
  std::string path;                                          // as sent: nothing decoded
  std::string query;                                         // as sent, without '?'
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  // "" when absent; `name` in lower case.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
};

// The answer's body is `text`, or, when `file` is open, `range` of that file. The body of an answer
// to HEAD is announced and not sent.
struct HttpAnswer {
  unsigned status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string text;
  UniqueFd file;
  ByteRange range;

  std::uint64_t length() const { return file ? range.size() : text.size(); }
  void add(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
  }
};

// The parameters of a query or of a form: '+' is a blank, %XX decoded, in order. A malformed escape
// is kept as it is.
using HttpParameters = std::vector<std::pair<std::string, std::string>>;
HttpParameters parse_parameters(std::string_view query);
// The first value of `name`; none when it is absent.
std::optional<std::string> parameter(const HttpParameters& parameters, std::string_view name);

// What a Range header asks of `size` bytes (RFC 9110, 14.2).
struct RangeAsked {
  enum class Kind { kWhole, kPart, kUnsatisfiable };
  Kind kind = Kind::kWhole;  // also for a malformed header or several ranges, which are ignored
  ByteRange range;
};
RangeAsked parse_range(std::string_view header, std::uint64_t size);

// Whether an If-None-Match header names `etag`, given without quotes; weak or not, "*" too.
bool names_etag(std::string_view header, std::string_view etag);

// `text` fit for a header value: what is not printable ASCII becomes '?', cut at 512 bytes.
std::string header_text(std::string_view text);

}  // namespace hubvfs::hub::server
