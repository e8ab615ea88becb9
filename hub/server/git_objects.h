// SPDX-License-Identifier: Apache-2.0
// The ids that git gives to what a repo folder holds (hub-protocol D.6), all in lower-case hex.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hubvfs::hub::server {

// SHA-1 of "KIND SIZE\0" and the content; KIND is blob, tree or commit.
std::string git_object_oid(std::string_view kind, std::string_view content);

// The text that git stores in place of an LFS file, and its id as a blob.
std::string lfs_pointer(std::string_view sha256_hex, std::uint64_t size);
std::string lfs_pointer_oid(std::string_view sha256_hex, std::uint64_t size);

struct GitTreeEntry {
  std::string name;
  bool is_directory = false;
  std::string oid;  // 40 hex
};
// Of a tree object with these entries, in any order: modes 100644 and 40000.
std::string git_tree_oid(std::vector<GitTreeEntry> entries);

// Of the one commit a served folder has: a git commit object that depends on the tree alone.
std::string commit_oid_of_tree(std::string_view tree_oid);

}  // namespace hubvfs::hub::server
