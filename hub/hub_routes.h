// SPDX-License-Identifier: Apache-2.0
// The Hub's URLs below its endpoint (hub-protocol A to D). Names must have been checked
// (hub/names.h) before; every byte that is not unreserved is percent-encoded here.
#pragma once

#include <string>

#include "hub/types.h"

namespace hubvfs::hub {

// Only the few fields of RepoInfo are asked for: the full answer lists every file of the repo.
std::string info_route(const RepoId& repo, const std::string& revision);
std::string refs_route(const RepoId& repo);
std::string tree_route(const RepoId& repo, const std::string& commit, const std::string& directory,
                       bool recursive);
std::string list_route(RepoType type, const std::string& owner);
std::string resolve_route(const RepoId& repo, const std::string& commit, const std::string& path);
// The page of a repo for people.
std::string page_route(const RepoId& repo);

}  // namespace hubvfs::hub
