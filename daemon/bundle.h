// SPDX-License-Identifier: Apache-2.0
// What `hubvfs cache export` writes beside a repo's files: which commit they are of, and their
// sums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fs/snapshot.h"
#include "hub/types.h"

namespace hubvfs::daemon {

inline constexpr const char* kSumsName = "SHA256SUMS";
inline constexpr const char* kSignatureName = "SHA256SUMS.asc";
inline constexpr const char* kManifestName = ".hubvfs-bundle.json";
// Where a file is written until it is whole.
inline constexpr const char* kPartialName = ".hubvfs-partial";
// Of the manifest or the sums: of a commit of a million files.
inline constexpr std::size_t kMostManifest = 512u << 20;

// By path, as sha256sum(1) writes and reads them: lines of 64 hex digits, two blanks and the path;
// a line whose path has a newline or a backslash begins with a backslash, and these are escaped.
using Sums = std::map<std::string, std::string>;
std::string write_sums(const Sums& sums);
// kBadAnswer: names the line that is none of these, or is the second for its path; or there are
// more than a million.
Result<Sums> read_sums(std::string_view text);

// The manifest: a commit with its listing, all of it, whatever part of its files is there.
struct Manifest {
  hub::RepoInfo info;
  std::string revision;  // by which it was asked for; "": the default branch
  std::vector<hub::TreeEntry> files;

  static Manifest of(const hub::RepoInfo& info, const std::string& revision,
                     const fs::Snapshot& snapshot);
  std::string to_json() const;
  // kBadAnswer: not JSON of this form, or names that no repo can have. Paths are as unchecked as
  // those of the Hub's.
  static Result<Manifest> parse(std::string_view json);
};

}  // namespace hubvfs::daemon
