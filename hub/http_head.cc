// SPDX-License-Identifier: Apache-2.0
#include "hub/http_head.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/text.h"

namespace hubvfs::hub {
namespace {

// The `digits` decimal digits at `text[at...]`, -1 if they are not all there.
int number_at(std::string_view text, std::size_t at, std::size_t digits) {
  if (at + digits > text.size()) return -1;
  const auto value = parse_decimal(text.substr(at, digits));
  return value ? static_cast<int>(*value) : -1;
}

std::optional<UnixSeconds> from_fields(int year, int month, int day, int hour, int minute,
                                       int second) {
  if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 60) {
    return {};
  }
  std::tm fields{};
  fields.tm_year = year - 1900;
  fields.tm_mon = month - 1;
  fields.tm_mday = day;
  fields.tm_hour = hour;
  fields.tm_min = minute;
  fields.tm_sec = second;
  return timegm(&fields);
}

int month_number(std::string_view name) {
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  for (std::size_t i = 0; i < kMonths.size(); ++i) {
    if (kMonths[i] == name) return static_cast<int>(i) + 1;
  }
  return 0;
}

// "20260302T101112Z", the date of older presigned URLs.
std::optional<UnixSeconds> parse_amz_date(std::string_view v) {
  if (v.size() != 16 || v[8] != 'T' || v[15] != 'Z') return {};
  return from_fields(number_at(v, 0, 4), number_at(v, 4, 2), number_at(v, 6, 2), number_at(v, 9, 2),
                     number_at(v, 11, 2), number_at(v, 13, 2));
}

std::string_view unquote(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

// The number of the parameter `name` of `"api";r=497;t=168`.
std::optional<std::uint64_t> number_of(std::string_view value, char name) {
  for (std::string_view part : split(value, ';')) {
    part = trim(part);
    if (part.size() > 2 && part[0] == name && part[1] == '=') return parse_decimal(part.substr(2));
  }
  return {};
}

// Whether the parameters of a link (`; rel="next"; x=y`) name the relation `next`.
bool has_rel_next(std::string_view parameters) {
  for (std::string_view parameter : split(parameters, ';')) {
    const std::size_t equals = parameter.find('=');
    if (equals == std::string_view::npos) continue;
    if (to_lower(trim(parameter.substr(0, equals))) != "rel") continue;
    for (std::string_view rel : split(unquote(trim(parameter.substr(equals + 1))), ' ')) {
      if (to_lower(rel) == "next") return true;
    }
  }
  return false;
}

struct Field {
  std::string_view name;
  std::string HttpHead::*member;
};

// All but Link and X-HF-Warning are single: two different values are a broken or a hostile answer.
constexpr std::array<Field, 16> kFields = {{
    {"location", &HttpHead::location},
    {"link", &HttpHead::link},
    {"etag", &HttpHead::etag},
    {"x-linked-etag", &HttpHead::linked_etag},
    {"x-linked-size", &HttpHead::linked_size},
    {"x-repo-commit", &HttpHead::repo_commit},
    {"x-error-code", &HttpHead::error_code},
    {"x-error-message", &HttpHead::error_message},
    {"content-range", &HttpHead::content_range},
    {"content-length", &HttpHead::content_length},
    {"content-encoding", &HttpHead::content_encoding},
    {"content-type", &HttpHead::content_type},
    {"ratelimit", &HttpHead::rate_limit},
    {"ratelimit-policy", &HttpHead::rate_policy},
    {"retry-after", &HttpHead::retry_after},
    {"x-hf-warning", &HttpHead::warning},
}};

}  // namespace

std::optional<ContentRange> parse_content_range(std::string_view value) {
  value = trim(value);
  if (!value.starts_with("bytes ")) return {};
  value.remove_prefix(6);
  const std::size_t dash = value.find('-');
  const std::size_t slash = value.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return {};
  const auto first = parse_decimal(value.substr(0, dash));
  const auto last = parse_decimal(value.substr(dash + 1, slash - dash - 1));
  const auto total = parse_decimal(value.substr(slash + 1));
  if (!first || !last || !total || *first > *last || *last >= *total) return {};
  return ContentRange{{*first, *last + 1}, *total};
}

std::string next_link(std::string_view value) {
  while (!value.empty()) {
    const std::size_t open = value.find('<');
    if (open == std::string_view::npos) return {};
    const std::size_t close = value.find('>', open);
    if (close == std::string_view::npos) return {};
    // Commas part links; inside <> they belong to the URL.
    const std::size_t end = std::min(value.find(",", close), value.size());
    if (has_rel_next(value.substr(close + 1, end - close - 1))) {
      return std::string(value.substr(open + 1, close - open - 1));
    }
    value.remove_prefix(end);
  }
  return {};
}

std::string normalize_etag(std::string_view value) {
  value = trim(value);
  if (value.starts_with("W/")) value.remove_prefix(2);
  return std::string(unquote(value));
}

std::optional<RateLimit> parse_rate_limit(std::string_view value) {
  const auto remaining = number_of(value, 'r');
  const auto reset = number_of(value, 't');
  if (!remaining || !reset) return {};
  return RateLimit{std::string(unquote(trim(split(value, ';')[0]))), *remaining, *reset};
}

std::optional<RatePolicy> parse_rate_policy(std::string_view value) {
  const auto requests = number_of(value, 'q');
  const auto window = number_of(value, 'w');
  if (!requests || !window) return {};
  return RatePolicy{*requests, *window};
}

std::optional<UnixSeconds> parse_http_date(std::string_view v) {
  v = trim(v);
  if (v.size() != 29 || v[3] != ',' || !v.ends_with(" GMT") || v[19] != ':' || v[22] != ':') {
    return {};
  }
  return from_fields(number_at(v, 12, 4), month_number(v.substr(8, 3)), number_at(v, 5, 2),
                     number_at(v, 17, 2), number_at(v, 20, 2), number_at(v, 23, 2));
}

std::optional<UnixSeconds> parse_iso_date(std::string_view v) {
  if (v.size() < 20 || v[4] != '-' || v[7] != '-' || v[10] != 'T' || v[13] != ':' || v[16] != ':' ||
      v.back() != 'Z') {
    return {};
  }
  return from_fields(number_at(v, 0, 4), number_at(v, 5, 2), number_at(v, 8, 2),
                     number_at(v, 11, 2), number_at(v, 14, 2), number_at(v, 17, 2));
}

std::optional<std::uint64_t> parse_retry_after(std::string_view value, UnixSeconds now) {
  value = trim(value);
  if (const auto seconds = parse_decimal(value)) return seconds;
  const auto date = parse_http_date(value);
  if (!date) return {};
  return *date > now ? static_cast<std::uint64_t>(*date - now) : 0;
}

std::optional<UnixSeconds> url_expiry(std::string_view query) {
  std::optional<UnixSeconds> amz_date;
  std::optional<std::uint64_t> amz_expires;
  for (std::string_view pair : split(query, '&')) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = pair.substr(0, equals);
    const std::string_view value = pair.substr(equals + 1);
    if (name == "X-Amz-Date") amz_date = parse_amz_date(value);
    const auto number = parse_decimal(value);
    if (!number || *number > UINT32_MAX * std::uint64_t{256}) continue;
    if (name == "Expires") return static_cast<UnixSeconds>(*number);
    if (name == "X-Amz-Expires") amz_expires = number;
  }
  if (!amz_date || !amz_expires) return {};
  return *amz_date + static_cast<UnixSeconds>(*amz_expires);
}

bool HttpHead::add_line(std::string_view line) {
  bytes_ += line.size();
  if (bytes_ > kMaxBytes) return false;
  if (line.starts_with("HTTP/")) {
    const std::size_t bytes = bytes_;
    clear();
    bytes_ = bytes;  // counted over all: endless 1xx answers end here too
    const std::size_t space = line.find(' ');
    status = space == std::string_view::npos ? 0 : std::max(0, number_at(line, space + 1, 3));
    return true;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  const std::string name = to_lower(line.substr(0, colon));
  for (const Field& field : kFields) {
    if (field.name != name) continue;
    std::string& member = this->*field.member;
    const std::string_view value = trim(line.substr(colon + 1));
    // A list: a second line goes on where the first ended.
    if ((name == "link" || name == "x-hf-warning") && !member.empty()) {
      member += ", ";
      member += value;
      return true;
    }
    if (!member.empty() && member != value) return false;
    member = value;
    return true;
  }
  return true;
}

}  // namespace hubvfs::hub
