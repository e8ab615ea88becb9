// SPDX-License-Identifier: Apache-2.0
#include "fs/file_patterns.h"

#include <algorithm>
#include <optional>

namespace hubvfs::fs {
namespace {

// One character of UTF-8 taken off the front; a byte that begins none is one by itself, as to
// Python, which reads such names with surrogateescape.
std::string_view take_character(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  if (size > text.size()) size = 1;
  for (std::size_t i = 1; i < size; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) size = 1;
  }
  const std::string_view taken = text.substr(0, size);
  text.remove_prefix(size);
  return taken;
}

// What stands between the brackets; "]" right behind the first one is one of the characters. None:
// it is never closed. `pattern` begins behind "[", and behind "]" afterwards.
std::optional<std::string_view> take_set(std::string_view& pattern) {
  std::size_t at = pattern.starts_with('!') ? 1 : 0;
  if (at < pattern.size() && pattern[at] == ']') ++at;
  const std::size_t end = pattern.find(']', at);
  if (end == std::string_view::npos) return {};
  const std::string_view set = pattern.substr(0, end);
  pattern.remove_prefix(end + 1);
  return set;
}

// Characters of UTF-8 compare as their bytes do.
bool is_in_set(std::string_view character, std::string_view set) {
  const bool negated = set.starts_with('!');
  if (negated) set.remove_prefix(1);
  bool found = false;
  while (!set.empty() && !found) {
    const std::string_view low = take_character(set);
    std::string_view high = low;
    if (set.size() > 1 && set.front() == '-') {
      set.remove_prefix(1);
      high = take_character(set);
    }
    found = low <= character && character <= high;
  }
  return found != negated;
}

// The character that `pattern` asks for next, which is no "*"; false: `path` has another one.
bool take_match(std::string_view& path, std::string_view& pattern) {
  if (path.empty() || pattern.empty()) return false;
  const std::string_view character = take_character(path);
  const std::string_view wanted = take_character(pattern);
  if (wanted == "?") return true;
  if (wanted == "[") {
    if (const auto set = take_set(pattern)) return is_in_set(character, *set);
  }
  return character == wanted;
}

bool matches_one(std::string_view path, const std::string& pattern) {
  return matches_pattern(path, pattern.ends_with('/') ? pattern + "*" : pattern);
}

}  // namespace

// Without recursion: where it fails the last "*" takes one character more. That is enough, since
// any earlier "*" could only leave less of the path to it.
bool matches_pattern(std::string_view path, std::string_view pattern) {
  std::optional<std::string_view> star;  // the pattern behind the last one
  std::string_view star_path;
  while (true) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      star = pattern;
      star_path = path;
      continue;
    }
    if (path.empty() && pattern.empty()) return true;
    if (take_match(path, pattern)) continue;
    if (!star || star_path.empty()) return false;
    take_character(star_path);
    path = star_path;
    pattern = *star;
  }
}

bool FilePatterns::choose(std::string_view path) const {
  const auto matches = [path](const std::string& pattern) { return matches_one(path, pattern); };
  if (!include.empty() && std::none_of(include.begin(), include.end(), matches)) return false;
  return std::none_of(exclude.begin(), exclude.end(), matches);
}

}  // namespace hubvfs::fs
