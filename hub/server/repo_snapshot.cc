// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_snapshot.h"

#include <algorithm>

#include "hub/server/git_objects.h"

namespace hubvfs::hub::server {
namespace {

SnapshotEntry file_entry(const WalkedFile& file, const ContentId& id) {
  SnapshotEntry entry;
  entry.path = file.path;
  entry.identity = file.identity;
  entry.size = file.identity.size;
  if (id.algorithm() == ContentId::Algorithm::kSha256) {
    entry.sha256 = id.hex();
    entry.oid = lfs_pointer_oid(entry.sha256, entry.size);
  } else {
    entry.oid = id.hex();
  }
  return entry;
}

}  // namespace

std::shared_ptr<const RepoSnapshot> RepoSnapshot::make(const RepoId& repo,
                                                       const std::string& folder,
                                                       std::vector<WalkedFile> files,
                                                       const std::vector<ContentId>& ids) {
  std::shared_ptr<RepoSnapshot> made(new RepoSnapshot());
  made->repo_ = repo;
  made->folder_ = folder;
  made->files_ = std::move(files);
  made->entries_.reserve(made->files_.size() + made->files_.size() / 8);
  made->tree_oid_ = made->add_directory(0, made->files_.size(), 0, ids);
  made->commit_ = commit_oid_of_tree(made->tree_oid_);
  for (const WalkedFile& file : made->files_) {
    const UnixSeconds changed = file.identity.mtime_ns / 1'000'000'000;
    made->last_modified_ = std::max(made->last_modified_, changed);
    if (made->created_ == 0 || changed < made->created_) made->created_ = changed;
  }
  for (std::size_t i = 0; i < made->entries_.size(); ++i) {
    made->by_path_.emplace(made->entries_[i].path, i);
  }
  return made;
}

// Adds what lies in the directory whose files are [first, last) and whose path, with its '/', has
// `prefix` bytes. Returns the directory's tree id. Recursion is as deep as the walk allowed.
std::string RepoSnapshot::add_directory(std::size_t first, std::size_t last, std::size_t prefix,
                                        const std::vector<ContentId>& ids) {
  std::vector<GitTreeEntry> tree;
  std::vector<std::size_t> plain;
  for (std::size_t i = first; i < last;) {
    const std::string& path = files_[i].path;
    const std::size_t slash = path.find('/', prefix);
    if (slash == std::string::npos) {
      plain.push_back(i++);
      continue;
    }
    std::size_t end = i;
    while (end < last && files_[end].path.compare(0, slash + 1, path, 0, slash + 1) == 0) ++end;
    const std::size_t at = entries_.size();
    entries_.emplace_back();
    entries_[at].path = path.substr(0, slash);
    entries_[at].is_directory = true;
    const std::string oid = add_directory(i, end, slash + 1, ids);
    entries_[at].oid = oid;
    entries_[at].subtree_end = entries_.size();
    tree.push_back({path.substr(prefix, slash - prefix), true, oid});
    i = end;
  }
  for (const std::size_t i : plain) {
    entries_.push_back(file_entry(files_[i], ids[i]));
    entries_.back().subtree_end = entries_.size();
    tree.push_back({files_[i].path.substr(prefix), false, entries_.back().oid});
  }
  return git_tree_oid(std::move(tree));
}

const SnapshotEntry* RepoSnapshot::find(std::string_view path) const {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : &entries_[found->second];
}

}  // namespace hubvfs::hub::server
