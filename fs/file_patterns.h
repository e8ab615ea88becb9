// SPDX-License-Identifier: Apache-2.0
// Which files of a repo are meant, as huggingface_hub's allow_patterns and ignore_patterns say it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hubvfs::fs {

// Python's fnmatch.fnmatchcase, of whole paths: "*" is any text ("/" too), "?" one character,
// "[a-c]" and "[!a-c]" one of those or none of those; a "[" that is never closed is itself. Nothing
// is escaped.
bool matches_pattern(std::string_view path, std::string_view pattern);

struct FilePatterns {
  std::vector<std::string> include;  // none: everything
  std::vector<std::string> exclude;

  // Some pattern of `include` matches and none of `exclude`. One that ends in "/" means all in
  // there.
  bool choose(std::string_view path) const;
};

}  // namespace hubvfs::fs
