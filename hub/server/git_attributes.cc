// SPDX-License-Identifier: Apache-2.0
#include "hub/server/git_attributes.h"

#include <optional>

#include "base/text.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::size_t kMaxPattern = 1024;

// Whether `c` is in the bracket expression at pattern[at] ('['); moves `at` behind it. None when
// it has no end: then '[' is an ordinary character.
std::optional<bool> match_bracket(std::string_view pattern, std::size_t& at, char c) {
  std::size_t i = at + 1;
  const bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (negated) ++i;
  bool found = false;
  for (bool first = true; i < pattern.size(); first = false) {
    if (pattern[i] == ']' && !first) {
      at = i + 1;
      return found != negated;
    }
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    const auto low = static_cast<unsigned char>(pattern[i++]);
    auto high = low;
    if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
      high = static_cast<unsigned char>(pattern[i + 1]);
      i += 2;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= low && byte <= high) found = true;
  }
  return {};
}

// Whether the pattern's element at `at` (not a '*') takes `c`; moves `at` behind the element.
bool match_one(std::string_view pattern, std::size_t& at, char c) {
  if (pattern[at] == '[') {
    if (const auto found = match_bracket(pattern, at, c)) return *found;
  } else if (pattern[at] == '?') {
    ++at;
    return true;
  } else if (pattern[at] == '\\' && at + 1 < pattern.size()) {
    ++at;
  }
  return pattern[at++] == c;
}

// Components against components, where "**" takes any number of them.
bool matches_path(const std::vector<std::string>& pattern,
                  const std::vector<std::string_view>& path) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = pattern.size();  // the last "**" met, and what it took up to
  std::size_t taken = 0;
  while (t < path.size()) {
    if (p < pattern.size() && pattern[p] == "**") {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && matches_component(pattern[p], path[t])) {
      ++p;
      ++t;
    } else if (star < pattern.size()) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  // A trailing "/**" means everything inside, so it must have taken something: it has, since the
  // path was not used up before it.
  return p == pattern.size();
}

// The pattern at the start of `line`, which may be quoted as in C; moves `line` behind it.
std::string take_pattern(std::string_view& line) {
  std::string pattern;
  std::size_t i = 0;
  if (line[0] != '"') {
    while (i < line.size() && line[i] != ' ' && line[i] != '\t') ++i;
    pattern = line.substr(0, i);
  } else {
    for (i = 1; i < line.size() && line[i] != '"'; ++i) {
      if (line[i] == '\\' && i + 1 < line.size()) ++i;
      pattern += line[i];
    }
    if (i < line.size()) ++i;
  }
  line.remove_prefix(i);
  return pattern;
}

// What the attributes say about filter: true is lfs, false is unset or another, none is silence.
std::optional<bool> lfs_filter(std::string_view attributes) {
  std::optional<bool> lfs;
  for (std::string_view word : split(attributes, ' ')) {
    for (std::string_view attribute : split(word, '\t')) {
      if (attribute == "filter=lfs") {
        lfs = true;
      } else if (attribute.starts_with("filter=") || attribute == "filter" ||
                 attribute == "-filter" || attribute == "!filter") {
        lfs = false;
      }
    }
  }
  return lfs;
}

}  // namespace

bool matches_component(std::string_view pattern, std::string_view component) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t taken = 0;
  while (t < component.size()) {
    std::size_t next = p;
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && match_one(pattern, next, component[t])) {
      p = next;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

void GitAttributes::add(std::string_view directory, std::string_view text) {
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line[0] == '#') continue;
    std::string pattern = take_pattern(line);
    const std::optional<bool> lfs = lfs_filter(line);
    // git ignores negative patterns here, and a pattern that ends in '/' matches no file.
    if (!lfs || pattern.empty() || pattern[0] == '!' || pattern.back() == '/' ||
        pattern.size() > kMaxPattern) {
      continue;
    }
    Rule rule;
    rule.directory = directory;
    rule.lfs = *lfs;
    rule.floating = pattern.find('/') == std::string::npos;
    if (pattern[0] == '/') pattern.erase(0, 1);
    for (std::string_view part : split(pattern, '/')) rule.components.emplace_back(part);
    rules_.push_back(std::move(rule));
  }
}

bool GitAttributes::matches(const Rule& rule, std::string_view path) {
  if (!rule.directory.empty()) {
    if (path.size() <= rule.directory.size() || path[rule.directory.size()] != '/' ||
        !path.starts_with(rule.directory)) {
      return false;
    }
    path.remove_prefix(rule.directory.size() + 1);
  }
  if (rule.floating) {
    const std::size_t slash = path.rfind('/');
    return matches_component(rule.components[0],
                             slash == std::string_view::npos ? path : path.substr(slash + 1));
  }
  return matches_path(rule.components, split(path, '/'));
}

bool GitAttributes::is_lfs(std::string_view path) const {
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    if (matches(*rule, path)) return rule->lfs;
  }
  return false;
}

}  // namespace hubvfs::hub::server
