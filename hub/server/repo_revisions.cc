// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_revisions.h"

#include <algorithm>

#include "base/text.h"
#include "hub/server/repo_settings.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::size_t kShortestCommit = 7;

}  // namespace

RepoRevisions::RepoRevisions(const std::map<std::string, std::string>& wanted,
                             const Folders& folders, const RepoRevisions* before) {
  if (wanted.count(kMainRef) == 0) add_ref(kMainRef, "", folders, before);
  for (const auto& [ref, folder] : wanted) add_ref(ref, folder, folders, before);
  if (const auto found = refs_.find(kMainRef); found != refs_.end()) main_ = found->second;
  for (const auto& [folder, snapshot] : folders) {
    if (snapshot) commits_.push_back(snapshot);
  }
  for (const auto& [ref, snapshot] : refs_) {
    if (std::find(commits_.begin(), commits_.end(), snapshot) == commits_.end()) {
      commits_.push_back(snapshot);  // kept from before
    }
  }
}

void RepoRevisions::add_ref(const std::string& ref, const std::string& folder,
                            const Folders& folders, const RepoRevisions* before) {
  const auto found = folders.find(folder);
  if (found == folders.end()) {
    missing_.push_back(ref);
    return;
  }
  Snapshot snapshot = found->second;
  if (!snapshot && before != nullptr) {
    const auto kept = before->refs_.find(ref);
    if (kept != before->refs_.end()) snapshot = kept->second;
  }
  if (snapshot) refs_.emplace(ref, std::move(snapshot));
}

RepoRevisions::Snapshot RepoRevisions::find(std::string_view revision) const {
  if (revision.empty() || revision == "HEAD") return main_;
  if (is_commit_id(revision)) return find_commit(revision);
  for (const char* prefix : {"", "refs/heads/", "refs/tags/"}) {
    const auto found = refs_.find(std::string(prefix).append(revision));
    if (found != refs_.end()) return found->second;
  }
  const bool short_id = revision.size() >= kShortestCommit && is_lower_hex(revision);
  return short_id ? find_commit(revision) : nullptr;
}

RepoRevisions::Snapshot RepoRevisions::find_commit(std::string_view start) const {
  Snapshot found;
  for (const Snapshot& snapshot : commits_) {
    if (!snapshot->commit().starts_with(start)) continue;
    if (found && found->commit() != snapshot->commit()) return nullptr;
    if (!found) found = snapshot;
  }
  return found;
}

}  // namespace hubvfs::hub::server
