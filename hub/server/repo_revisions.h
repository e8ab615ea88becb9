// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hub/server/repo_snapshot.h"

namespace hubvfs::hub::server {

// The commits of a repo and the refs that name them, at one moment. Never changes once made.
//
// A commit is there as long as a folder holds it, whether or not a ref names it: who was given its
// id before a branch moved goes on with it.
class RepoRevisions {
 public:
  using Snapshot = std::shared_ptr<const RepoSnapshot>;
  using Refs = std::map<std::string, Snapshot>;  // by whole ref: "refs/heads/main"

  // What each folder holds, by its name in kRevisionsFolder, "" being the repo's own. An empty
  // pointer: it is there, but not hashed yet.
  using Folders = std::map<std::string, Snapshot>;

  // `wanted` gives the folder of each ref (RepoSettings::refs); `before` may be null. A ref whose
  // folder is not hashed yet stays at the commit it had before.
  RepoRevisions(const std::map<std::string, std::string>& wanted, const Folders& folders,
                const RepoRevisions* before);

  // The default branch. Empty: it is not hashed yet.
  const Snapshot& main() const { return main_; }

  // The commit of a branch, tag or ref, whole or not; a commit's own id, or its first digits (7 at
  // least) where they are no other's. "" and "HEAD" are main. Empty: there is none.
  Snapshot find(std::string_view revision) const;

  const Refs& refs() const { return refs_; }
  // Of all refs and folders; one commit may be there more than once, from different folders.
  const std::vector<Snapshot>& commits() const { return commits_; }
  // The refs whose folder does not exist; they are none.
  const std::vector<std::string>& missing() const { return missing_; }

 private:
  void add_ref(const std::string& ref, const std::string& folder, const Folders& folders,
               const RepoRevisions* before);
  Snapshot find_commit(std::string_view start) const;

  Snapshot main_;
  Refs refs_;
  std::vector<Snapshot> commits_;
  std::vector<std::string> missing_;
};

}  // namespace hubvfs::hub::server
