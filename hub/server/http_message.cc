// SPDX-License-Identifier: Apache-2.0
#include "hub/server/http_message.h"

#include <algorithm>

#include "base/text.h"

namespace hubvfs::hub::server {
namespace {

std::string decode_parameter(std::string_view text) {
  std::string plain(text);
  std::replace(plain.begin(), plain.end(), '+', ' ');
  return percent_decode(plain).value_or(plain);
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

bool HttpRequest::has_header(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& header) { return header.first == name; });
}

HttpParameters parse_parameters(std::string_view query) {
  HttpParameters parameters;
  for (std::string_view part : split(query, '&')) {
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    parameters.emplace_back(decode_parameter(part.substr(0, equals)), decode_parameter(value));
  }
  return parameters;
}

std::optional<std::string> parameter(const HttpParameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

RangeAsked parse_range(std::string_view header, std::uint64_t size) {
  const RangeAsked whole{RangeAsked::Kind::kWhole, {0, size}};
  if (!to_lower(header.substr(0, 6)).starts_with("bytes=")) return whole;
  const std::string_view spec = trim(header.substr(6));
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos) return whole;
  const auto first = parse_decimal(trim(spec.substr(0, dash)));
  const auto last = parse_decimal(trim(spec.substr(dash + 1)));
  if (trim(spec.substr(0, dash)).empty()) {  // the last N bytes
    if (!last) return whole;
    if (*last == 0 || size == 0) return {RangeAsked::Kind::kUnsatisfiable, {}};
    return {RangeAsked::Kind::kPart, {size - std::min(*last, size), size}};
  }
  const bool to_the_end = trim(spec.substr(dash + 1)).empty();
  if (!first || (!to_the_end && (!last || *last < *first))) return whole;
  if (*first >= size) return {RangeAsked::Kind::kUnsatisfiable, {}};
  const std::uint64_t end = to_the_end ? size : std::min(size - 1, *last) + 1;
  return {RangeAsked::Kind::kPart, {*first, end}};
}

bool names_etag(std::string_view header, std::string_view etag) {
  for (std::string_view item : split(header, ',')) {
    item = trim(item);
    if (item == "*") return true;
    if (item.starts_with("W/")) item.remove_prefix(2);
    if (item.size() >= 2 && item.front() == '"' && item.back() == '"') {
      item = item.substr(1, item.size() - 2);
    }
    if (item == etag && !etag.empty()) return true;
  }
  return false;
}

std::string header_text(std::string_view text) {
  std::string out(text.substr(0, 512));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return out;
}

}  // namespace hubvfs::hub::server
