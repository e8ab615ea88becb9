// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_routes.h"

#include "base/text.h"

namespace hubvfs::hub {
namespace {

std::string api_route(const RepoId& repo) {
  return std::string("/api/") + api_segment(repo.type) + "/" + percent_encode(repo.name, true);
}

}  // namespace

std::string info_route(const RepoId& repo, const std::string& revision) {
  std::string route = api_route(repo);
  // A revision is one segment: its slashes are escaped too (hub-protocol B).
  if (!revision.empty()) route += "/revision/" + percent_encode(revision);
  route += "?expand=sha&expand=lastModified&expand=private&expand=disabled";
  // The Hub refuses a property that the type does not have, and spaces have no gate.
  if (repo.type != RepoType::kSpace) route += "&expand=gated";
  return route;
}

std::string refs_route(const RepoId& repo) { return api_route(repo) + "/refs?include_prs=1"; }

std::string tree_route(const RepoId& repo, const std::string& commit, const std::string& directory,
                       bool recursive) {
  std::string route = api_route(repo) + "/tree/" + percent_encode(commit);
  if (!directory.empty()) route += "/" + percent_encode(directory, true);
  return route + (recursive ? "?recursive=true&expand=false" : "?recursive=false&expand=false");
}

std::string list_route(RepoType type, const std::string& owner) {
  std::string route = std::string("/api/") + api_segment(type) + "?";
  if (owner.empty()) {
    route += "sort=downloads&direction=-1";
  } else {
    route += "author=" + percent_encode(owner);
  }
  return route + "&limit=1000&expand=lastModified&expand=private";
}

std::string resolve_route(const RepoId& repo, const std::string& commit, const std::string& path) {
  return page_route(repo) + "/resolve/" + percent_encode(commit) + "/" + percent_encode(path, true);
}

std::string page_route(const RepoId& repo) {
  return std::string("/") + route_prefix(repo.type) + percent_encode(repo.name, true);
}

}  // namespace hubvfs::hub
