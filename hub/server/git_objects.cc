// SPDX-License-Identifier: Apache-2.0
#include "hub/server/git_objects.h"

#include <algorithm>

#include "base/digest.h"
#include "base/text.h"

namespace hubvfs::hub::server {

std::string git_object_oid(std::string_view kind, std::string_view content) {
  std::string header(kind);
  header += ' ';
  header += std::to_string(content.size());
  header += '\0';
  Digest digest = Digest::sha1();
  digest.update(as_bytes(header));
  digest.update(as_bytes(content));
  return digest.finish_hex();
}

std::string lfs_pointer(std::string_view sha256_hex, std::uint64_t size) {
  std::string text = "version https://git-lfs.github.com/spec/v1\noid sha256:";
  text += sha256_hex;
  text += "\nsize " + std::to_string(size) + "\n";
  return text;
}

std::string lfs_pointer_oid(std::string_view sha256_hex, std::uint64_t size) {
  return git_object_oid("blob", lfs_pointer(sha256_hex, size));
}

std::string git_tree_oid(std::vector<GitTreeEntry> entries) {
  // git orders a directory as if its name ended in '/'.
  for (GitTreeEntry& entry : entries) {
    if (entry.is_directory) entry.name += '/';
  }
  std::sort(entries.begin(), entries.end(),
            [](const GitTreeEntry& a, const GitTreeEntry& b) { return a.name < b.name; });
  std::string content;
  for (GitTreeEntry& entry : entries) {
    if (entry.is_directory) entry.name.pop_back();
    content += entry.is_directory ? "40000 " : "100644 ";
    content += entry.name;
    content += '\0';
    for (std::size_t i = 0; i + 1 < entry.oid.size(); i += 2) {
      content += static_cast<char>(hex_digit(entry.oid[i]) << 4 | hex_digit(entry.oid[i + 1]));
    }
  }
  return git_object_oid("tree", content);
}

std::string commit_oid_of_tree(std::string_view tree_oid) {
  std::string content = "tree ";
  content += tree_oid;
  content +=
      "\nauthor hubvfs <hubvfs@localhost> 0 +0000"
      "\ncommitter hubvfs <hubvfs@localhost> 0 +0000"
      "\n\nServed by hubvfs\n";
  return git_object_oid("commit", content);
}

}  // namespace hubvfs::hub::server
