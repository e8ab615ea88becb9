// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/content_id.h"
#include "hub/server/hash_cache.h"
#include "hub/server/repo_walk.h"
#include "hub/types.h"

namespace hubvfs::hub::server {

// A file or directory of one commit.
struct SnapshotEntry {
  std::string path;  // from the repo's root
  bool is_directory = false;
  std::string oid;     // git's: blob, LFS pointer or tree
  std::string sha256;  // of the content, for an LFS file only
  std::uint64_t size = 0;
  FileIdentity identity;        // of the file that holds the content
  std::size_t subtree_end = 0;  // index behind the last entry below this one

  bool is_lfs() const { return !sha256.empty(); }
};

// One commit of a repo: everything in it and its ids. Never changes once made.
class RepoSnapshot {
 public:
  // Of what `folder`, a path from the served root, holds. `files` and `ids` go together, sorted by
  // path; a kSha256 id means an LFS file.
  static std::shared_ptr<const RepoSnapshot> make(const RepoId& repo, const std::string& folder,
                                                  std::vector<WalkedFile> files,
                                                  const std::vector<ContentId>& ids);

  const RepoId& repo() const { return repo_; }
  const std::string& folder() const { return folder_; }
  const std::string& commit() const { return commit_; }
  const std::string& tree_oid() const { return tree_oid_; }
  UnixSeconds last_modified() const { return last_modified_; }  // newest and oldest file's
  UnixSeconds created() const { return created_; }

  // Depth first; in each directory its directories before its files, both in git's order.
  const std::vector<SnapshotEntry>& entries() const { return entries_; }
  // None for "" too: the root has no entry.
  const SnapshotEntry* find(std::string_view path) const;
  // What the folder held.
  const std::vector<WalkedFile>& files() const { return files_; }

 private:
  RepoSnapshot() = default;
  std::string add_directory(std::size_t first, std::size_t last, std::size_t prefix,
                            const std::vector<ContentId>& ids);

  RepoId repo_;
  std::string folder_;
  std::string commit_;
  std::string tree_oid_;
  UnixSeconds last_modified_ = 0;
  UnixSeconds created_ = 0;
  std::vector<WalkedFile> files_;
  std::vector<SnapshotEntry> entries_;
  std::unordered_map<std::string_view, std::size_t> by_path_;  // views into entries_
};

}  // namespace hubvfs::hub::server
