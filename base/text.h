// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hubvfs {

bool is_lower_hex(std::string_view text);  // [0-9a-f]*, true for ""
// Value of one lower-case hex digit; only for such a digit.
std::uint8_t hex_digit(char c);
std::string to_hex(std::span<const std::uint8_t> bytes);
// 40 lower-case hex digits: a full commit id, which never moves (hub-protocol B).
bool is_commit_id(std::string_view text);

// A decimal number with nothing around it that fits; otherwise none. No sign, no blanks.
std::optional<std::uint64_t> parse_decimal(std::string_view text);

// Bytes of the valid UTF-8 sequence (RFC 3629) at the start of `text`, 0 if there is none.
std::size_t utf8_length(std::string_view text);
// Valid UTF-8 throughout; true for "".
bool is_utf8(std::string_view text);

// Blanks, tabs, CR and LF removed at both ends.
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);  // ASCII only
std::vector<std::string_view> split(std::string_view text, char separator);

// Untrusted text made safe for a log line or a terminal: control bytes, DEL and bytes that are not
// valid UTF-8 as \xNN, cut with "..." after `limit` bytes.
std::string escape_for_log(std::string_view text, std::size_t limit = 512);

// RFC 3986: every byte outside [A-Za-z0-9._~-] as %XX. `keep_slash` leaves '/' alone.
std::string percent_encode(std::string_view text, bool keep_slash = false);
// None for a malformed escape.
std::optional<std::string> percent_decode(std::string_view text);

// "1.5 GiB", "312 B": for people.
std::string human_bytes(std::uint64_t bytes);
// "512", "64K", "1.5G", "20GiB" (powers of 1024) to bytes; none when malformed.
std::optional<std::uint64_t> parse_bytes(std::string_view text);
// "30", "30s", "5m", "12h", "7d" to seconds; none when malformed.
std::optional<std::uint64_t> parse_seconds(std::string_view text);

}  // namespace hubvfs
