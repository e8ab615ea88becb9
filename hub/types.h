// SPDX-License-Identifier: Apache-2.0
// What the Hub talks about: repos, revisions, files (hub-protocol sections A to C).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/content_id.h"

namespace hubvfs::hub {

enum class RepoType { kModel, kDataset, kSpace };

// "models", "datasets", "spaces": the {T} of API routes.
const char* api_segment(RepoType type);
// "", "datasets/", "spaces/": the {P} of file routes.
const char* route_prefix(RepoType type);

struct RepoId {
  RepoType type = RepoType::kModel;
  std::string name;  // "ORG/NAME", or "NAME" for a legacy id; checked by is_repo_name
  auto operator<=>(const RepoId&) const = default;
};

enum class Gate { kNone, kAuto, kManual };

struct RepoInfo {
  RepoId id;  // canonical: differs from the id asked for when that was renamed or another case
  std::string commit;  // 40 hex: of the revision asked for
  UnixSeconds last_modified = 0;
  bool is_private = false;
  Gate gate = Gate::kNone;
  bool disabled = false;
};

struct RepoSummary {  // one item of an owner's list
  RepoId id;
  UnixSeconds last_modified = 0;  // 0: not given
  bool is_private = false;
};

struct RepoPage {
  std::vector<RepoSummary> repos;
  std::string next;  // opaque: give it to list_repos for the next page; "" after the last
};

struct Ref {
  std::string name;  // "main", "v1.0", "refs/pr/1" as the Hub names it
  std::string ref;   // "refs/heads/main"
  std::string commit;
};

struct RepoRefs {
  std::vector<Ref> branches;
  std::vector<Ref> tags;
  std::vector<Ref> converts;
  std::vector<Ref> pull_requests;
};

struct TreeEntry {
  enum class Kind { kFile, kDirectory };
  Kind kind = Kind::kFile;
  std::string path;        // from the repo root; not yet checked for hostile components
  std::uint64_t size = 0;  // of the content, also for LFS files; 0 for a directory
  bool is_lfs = false;
  // None for a directory, and for a file whose id is masked (gated and not granted) or malformed.
  std::optional<ContentId> content;
};

// One file of one commit: what a ranged GET needs, and what its answer is checked against.
struct FileRef {
  RepoId repo;
  std::string commit;  // 40 hex
  std::string path;
  bool is_lfs = false;
  ContentId content;   // size included
};

}  // namespace hubvfs::hub
