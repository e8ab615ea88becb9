// SPDX-License-Identifier: Apache-2.0
#include "fs/repo_scope.h"

#include <algorithm>

#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::fs {
namespace {

constexpr std::string_view kScheme = "hf://";
constexpr const char* kForm = "hf://[datasets/|spaces/]ORG/NAME[@REVISION][/FOLDER]";

Error wrong(std::string_view url, const std::string& why) {
  return {ErrorCode::kInvalidArgument, escape_for_log(url) + ": " + why + "; the form is " + kForm};
}

// The part before the next '/', taken off `rest` with that.
std::string_view take_component(std::string_view& rest) {
  const std::size_t slash = rest.find('/');
  const std::string_view component = rest.substr(0, slash);
  rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  return component;
}

}  // namespace

Result<RepoScope> RepoScope::parse(std::string_view url) {
  if (!url.starts_with(kScheme)) return wrong(url, "not a hf:// URL");
  std::string_view rest = url.substr(kScheme.size());
  RepoScope scope;
  for (const hub::RepoType type : {hub::RepoType::kDataset, hub::RepoType::kSpace}) {
    const std::string_view prefix = hub::route_prefix(type);  // "datasets/"
    if (!rest.starts_with(prefix.substr(0, prefix.size() - 1))) continue;
    if (rest.size() >= prefix.size() && !rest.starts_with(prefix)) continue;  // "datasets-fan/x"
    scope.type = type;
    rest.remove_prefix(std::min(prefix.size(), rest.size()));
    break;
  }

  // A legacy id has no owner: its first component is all of the name, or carries the revision.
  std::string_view name = take_component(rest);
  std::string_view owner;
  if (name.empty()) return wrong(url, "it names no repo");
  if (name.find('@') == std::string_view::npos && !rest.empty()) {
    owner = name;
    name = take_component(rest);
  }
  const std::size_t at = name.find('@');
  scope.repo = std::string(name.substr(0, at));
  if (!owner.empty()) scope.repo = std::string(owner) + "/" + scope.repo;
  if (scope.repo.empty()) return wrong(url, "it names no repo");
  if (!hub::is_repo_name(scope.repo)) {
    return wrong(url, "\"" + escape_for_log(scope.repo) + "\" cannot be the name of a repo");
  }
  if (at != std::string_view::npos) {
    scope.revision = decode_revision(name.substr(at + 1));
    // Left as it stands, hf://ORG/NAME@refs/pr/1 would ask for folder pr/1 of a revision "refs".
    if (scope.revision == "refs") return wrong(url, "\"/\" in a revision is written %2F");
    if (!hub::is_revision(scope.revision)) {
      return wrong(url, "\"" + escape_for_log(scope.revision) + "\" cannot be a revision");
    }
  }
  if (rest.size() > 1 && rest.ends_with('/')) rest.remove_suffix(1);
  if (!rest.empty() && !hub::is_repo_path(rest)) {
    return wrong(url, "\"" + escape_for_log(rest) + "\" cannot be a folder of a repo");
  }
  scope.sub = std::string(rest);
  return scope;
}

std::string RepoScope::url() const {
  std::string text = std::string(kScheme) + hub::route_prefix(type) + repo;
  if (!revision.empty()) text += "@" + encode_revision(revision);
  if (!sub.empty()) text += "/" + sub;
  return text;
}

}  // namespace hubvfs::fs
