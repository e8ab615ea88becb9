// SPDX-License-Identifier: Apache-2.0
// The cache folder of huggingface_hub (hub-protocol G.1), read: what commits it has, and which
// files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/importer.h"
#include "daemon/user_folder.h"
#include "hub/types.h"

namespace hubvfs::daemon {

struct HfRepoFolder {
  hub::RepoId repo;
  std::string folder;  // "models--ORG--NAME"
};

// The repos of a cache; none: the folder is no such cache. Folders of other kinds are left out.
Result<std::vector<HfRepoFolder>> hf_repo_folders(const UserFolder& cache);

// What is in one of them. Snapshot entries are files, or links that lead through the repo's blobs
// and, from 2.x on, through the store that all repos share; where they lead is not looked at here.
// What trees/ tells of a commit is its listing. The infos say private, as the cache does not tell:
// so nothing of it is anybody's but this user's, unless the Hub says that it is public.
Result<std::vector<ImportCommit>> hf_commits(const UserFolder& cache, const HfRepoFolder& repo);

// One of trees/<commit>.json. kBadAnswer: not of a form that is known.
Result<std::vector<hub::TreeEntry>> read_hf_tree(std::string_view json);

}  // namespace hubvfs::daemon
