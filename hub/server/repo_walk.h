// SPDX-License-Identifier: Apache-2.0
// Looking at a repo's folder without leaving the served root.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/content_id.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "hub/server/hash_cache.h"
#include "hub/server/repo_settings.h"

namespace hubvfs::hub::server {

FileIdentity identity_of(const struct stat& status);

// A file that is part of a repo's content. Only regular files are, and symlinks that lead to one
// beneath the root; then the identity is the target's.
struct WalkedFile {
  std::string path;  // from the folder that was walked
  FileIdentity identity;
  auto operator<=>(const WalkedFile&) const = default;
};

// What one revision of a repo holds.
struct WalkedFolder {
  std::string name;               // in kRevisionsFolder; "" is the repo's own folder
  std::vector<WalkedFile> files;  // sorted by path
  std::size_t left_out = 0;       // hostile names, special files, symlinks that lead elsewhere
};

struct RepoWalk {
  RepoSettings settings;
  std::vector<WalkedFolder> folders;  // the repo's own first
};

// "ORG/NAME" and "v1" to "ORG/NAME/.hubvfs-revisions/v1".
std::string folder_of_revision(const std::string& repo_folder, const std::string& name);

// The served folder. Every open stays beneath it (openat2 with RESOLVE_BENEATH), whatever symlinks
// or races there are. Thread-safe.
class ServedRoot {
 public:
  // kNotFound, kNotDirectory, kPermissionDenied; kUnsupported on a kernel without openat2.
  static Result<ServedRoot> open(const std::string& path);

  // Names of real directories directly in `folder` ("" is the root), sorted. kNotFound.
  Result<std::vector<std::string>> directories(const std::string& folder) const;
  // Whether `folder` is a real directory, no component of it a symlink.
  bool is_directory(const std::string& folder) const;

  // Everything below a repo's folder, and each real directory in its kRevisionsFolder, those whose
  // names start with a dot left out: they are still being filled. `.git` and, at the top of each,
  // `.cache/huggingface` (what `hf download --local-dir` leaves) and all that starts with
  // kReservedPrefix are no content.
  // kNotFound: no such folder. kInvalidArgument: the settings file is wrong, or there are too many
  // files; the repo must not be served then.
  Result<RepoWalk> walk(const std::string& folder) const;

  // `path` beneath the root for reading, if it is still what `identity` says. kStale: it is not.
  Result<UniqueFd> open_file(const std::string& path, const FileIdentity& identity) const;

 private:
  Result<UniqueFd> open_beneath(const std::string& path, std::uint64_t flags,
                                std::uint64_t resolve) const;
  Result<RepoSettings> read_settings(const std::string& folder) const;
  Result<std::vector<std::string>> revision_folders(const std::string& folder) const;
  Result<WalkedFolder> walk_folder(const std::string& folder, std::size_t most_files) const;
  struct Walker;

  UniqueFd root_;
};

// The devices that are hubvfs mounts, by the kernel's own word (/proc/self/mountinfo).
std::set<std::uint64_t> hubvfs_devices();

// The id that a hubvfs mount gives for an open file of `size` bytes, in place of reading it all.
// Only for a file on one of hubvfs_devices(): elsewhere anyone may set such an attribute.
// kNoAttribute, kInvalidArgument.
Result<ContentId> mounted_content_id(int fd, std::uint64_t size);
// Reads an attribute of the form "sha256:HEX" or "git-sha1:HEX". kInvalidArgument.
Result<ContentId> parse_content_attribute(std::string_view text, std::uint64_t size);

// Whole small file; kInvalidArgument beyond `limit` bytes.
Result<std::string> read_small(int fd, std::size_t limit);

}  // namespace hubvfs::hub::server
