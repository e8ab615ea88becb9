// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/types.h"

namespace hubvfs::hub::server {

// What starts like this at the top of a repo's folder, or of a revision's, is no content.
inline constexpr char kReservedPrefix[] = ".hubvfs-";
// The file in a repo's folder that says who may see it and what its refs are.
inline constexpr char kRepoSettingsFile[] = ".hubvfs-repo.json";
// The folder in a repo's folder that holds its other revisions: a folder each, with all its files.
inline constexpr char kRevisionsFolder[] = ".hubvfs-revisions";

inline constexpr char kMainRef[] = "refs/heads/main";

// {"private": bool, "gated": false|"auto"|"manual", "readers": ["USER", ...],
//  "pending": ["USER", ...], "disabled": bool, "aliases": ["OLD/NAME", "NAME", ...],
//  "branches": {"NAME": "FOLDER", ...}, "tags": {"NAME": "FOLDER", ...},
//  "pulls": {"NUMBER": "FOLDER", ...}, "converts": {"NAME": "FOLDER", ...}}, every key optional.
//
// A private repo is visible to its readers only. A gated one is visible to all, but only those with
// a grant get content: its readers and, where it is gated "auto", those in "pending" too, since on
// the Hub asking is all that it takes then. Those in the "pending" of a "manual" one asked and
// wait. A disabled one refuses everybody. Requests for an alias, a name the repo had before, are
// redirected to it. A FOLDER is one in kRevisionsFolder.
struct RepoSettings {
  bool is_private = false;
  Gate gate = Gate::kNone;
  bool disabled = false;
  std::vector<std::string> readers;
  std::vector<std::string> pending;
  std::vector<std::string> aliases;
  // Folders by whole ref: "refs/heads/dev", "refs/tags/v1.0", "refs/pr/1", "refs/convert/parquet".
  // kMainRef is what the repo's folder itself holds, unless it is in here.
  std::map<std::string, std::string> refs;
  bool operator==(const RepoSettings&) const = default;

  bool is_reader(const std::string& user) const;  // "" is nobody
  bool is_pending(const std::string& user) const;
  bool may_see(const std::string& user) const { return !is_private || is_reader(user); }
  // Whether a user who may see the repo gets its content.
  bool has_grant(const std::string& user) const;
};

// kInvalidArgument for anything but that, with what is wrong. Unknown keys included: a mistyped
// "private" must not make a repo public. So is a name that is a branch and a tag.
Result<RepoSettings> parse_repo_settings(std::string_view json);

}  // namespace hubvfs::hub::server
