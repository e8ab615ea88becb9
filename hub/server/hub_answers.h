// SPDX-License-Identifier: Apache-2.0
// The JSON of the Hub's answers, as text, from what the catalog knows (hub-protocol A to C).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "hub/server/repo_revisions.h"
#include "hub/server/repo_settings.h"
#include "hub/server/repo_snapshot.h"

namespace hubvfs::hub::server {

// "2026-03-02T10:11:12.000Z"
std::string hub_date(UnixSeconds time);
// 24 hex digits that stand for a repo or user.
std::string internal_id(std::string_view what);

struct InfoWanted {
  bool blobs = false;               // sizes and ids of the siblings
  std::vector<std::string> expand;  // if not empty, these properties only
  bool masked = false;              // LFS ids are not for this caller
};
std::string info_json(const RepoSnapshot& snapshot, const RepoSettings& settings,
                      const InfoWanted& wanted);

struct EntryStyle {
  bool last_commit = false;  // expand=true
  bool masked = false;
};
// Adds the object of one file or directory, as in tree listings and paths-info.
void add_entry(JsonWriter& json, const RepoSnapshot& snapshot, const SnapshotEntry& entry,
               const EntryStyle& style);

// One item of a list of repos. `full` adds sha and siblings.
void add_list_item(JsonWriter& json, const RepoSnapshot& snapshot, const RepoSettings& settings,
                   bool full);

std::string refs_json(const RepoRevisions& revisions, bool pull_requests);
std::string commits_json(const RepoSnapshot& snapshot);
std::string whoami_json(const std::string& user);

// {"paths": [...] or "...", "expand": bool} of a paths-info request, as JSON or as a form.
struct PathsAsked {
  std::vector<std::string> paths;
  bool expand = false;
};
// kInvalidArgument: neither, or more than 2000 paths.
Result<PathsAsked> parse_paths_asked(std::string_view content_type, std::string_view body);

}  // namespace hubvfs::hub::server
