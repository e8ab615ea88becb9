// SPDX-License-Identifier: Apache-2.0
#include "hub/names.h"

#include "base/text.h"

namespace hubvfs::hub {
namespace {

constexpr std::size_t kMaxRepoName = 96;
constexpr std::size_t kMaxRevision = 255;
constexpr std::size_t kMaxComponent = 255;
constexpr std::size_t kMaxPath = 4096;
constexpr std::size_t kMaxComponents = 128;

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

bool contains(std::string_view text, std::string_view what) {
  return text.find(what) != std::string_view::npos;
}

}  // namespace

bool is_repo_name_part(std::string_view part) {
  if (part.empty() || part.size() > kMaxRepoName) return false;
  for (char c : part) {
    if (!is_name_byte(c)) return false;
  }
  const auto edge = [](char c) { return c == '-' || c == '.'; };
  return !edge(part.front()) && !edge(part.back()) && !contains(part, "--") &&
         !contains(part, "..") && !part.ends_with(".git");
}

bool is_repo_name(std::string_view name) {
  if (name.size() > kMaxRepoName) return false;
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return is_repo_name_part(name);
  return is_repo_name_part(name.substr(0, slash)) && is_repo_name_part(name.substr(slash + 1));
}

bool is_revision(std::string_view revision) {
  if (revision.empty() || revision.size() > kMaxRevision || revision.front() == '-') return false;
  for (char c : revision) {
    if (!is_name_byte(c) && c != '/') return false;
  }
  if (contains(revision, "..")) return false;
  for (std::string_view component : split(revision, '/')) {
    if (component.empty() || component == ".") return false;  // also "//" and '/' at an end
  }
  return true;
}

bool is_path_component(std::string_view component) {
  return !component.empty() && component.size() <= kMaxComponent && component != "." &&
         component != ".." && !contains(component, "/") &&
         component.find('\0') == std::string_view::npos;
}

bool is_repo_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPath) return false;
  std::size_t components = 0;
  for (std::string_view component : split(path, '/')) {
    if (++components > kMaxComponents || !is_path_component(component)) return false;
  }
  return true;
}

}  // namespace hubvfs::hub
