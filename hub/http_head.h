// SPDX-License-Identifier: Apache-2.0
// The head of an HTTP answer: what the client needs of it, and how its fields are read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"

namespace hubvfs::hub {

// A Content-Range of the form "bytes A-B/T" as the half-open [A, B+1) of T.
struct ContentRange {
  ByteRange range;
  std::uint64_t total = 0;
  bool operator==(const ContentRange&) const = default;
};
// None unless exactly "bytes A-B/T" with A <= B < T, decimal, fitting 64 bits.
std::optional<ContentRange> parse_content_range(std::string_view value);

// The URL of the first link with rel="next" (RFC 8288), "" when there is none.
std::string next_link(std::string_view value);

// Without a leading W/ and the quotes (hub-protocol D.6).
std::string normalize_etag(std::string_view value);

// `RateLimit: "api";r=497;t=168`: the quota's name, what is left, seconds to its reset.
struct RateLimit {
  std::string quota;
  std::uint64_t remaining = 0;
  std::uint64_t reset_seconds = 0;
};
std::optional<RateLimit> parse_rate_limit(std::string_view value);
// `RateLimit-Policy: "fixed window";"api";q=500;w=300`: so many requests in so many seconds.
struct RatePolicy {
  std::uint64_t requests = 0;
  std::uint64_t window_seconds = 0;
};
std::optional<RatePolicy> parse_rate_policy(std::string_view value);

// "Tue, 24 Nov 2026 02:00:00 GMT" (RFC 9110's preferred form); none otherwise.
std::optional<UnixSeconds> parse_http_date(std::string_view value);
// "2026-03-02T10:11:12.000Z"; none otherwise.
std::optional<UnixSeconds> parse_iso_date(std::string_view value);
// Seconds to wait as Retry-After says, as a number or a date; none when negative or malformed.
std::optional<std::uint64_t> parse_retry_after(std::string_view value, UnixSeconds now);

// When a signed URL ends, from its query: Expires, else X-Amz-Date with X-Amz-Expires.
std::optional<UnixSeconds> url_expiry(std::string_view query);

// Of one answer. Fed line by line; fields it does not know are dropped, so it stays small.
class HttpHead {
 public:
  static constexpr std::size_t kMaxBytes = 64u << 10;

  // One header line as libcurl gives it, CRLF included; a status line starts afresh (1xx answers,
  // a proxy's). False: too much, or a field that must be single came twice with another value.
  bool add_line(std::string_view line);
  void clear() { *this = HttpHead(); }

  int status = 0;
  std::string location;
  std::string link;
  std::string etag;         // as sent
  std::string linked_etag;  // X-Linked-ETag, as sent
  std::string linked_size;  // X-Linked-Size, as sent
  std::string repo_commit;  // X-Repo-Commit
  std::string error_code;   // X-Error-Code
  std::string error_message;
  std::string content_range;
  std::string content_length;
  std::string content_encoding;
  std::string content_type;
  std::string rate_limit;
  std::string rate_policy;
  std::string retry_after;
  std::string warning;  // X-HF-Warning

 private:
  std::size_t bytes_ = 0;
};

}  // namespace hubvfs::hub
