// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hubvfs::hub::server {

// One shell pattern against one path component: '*', '?', '[...]' with ranges and '!' or '^', '\'.
// Linear in the product of the lengths, whatever the pattern: repos may be hostile.
bool matches_component(std::string_view pattern, std::string_view component);

// Which files of a repo its .gitattributes files mark with filter=lfs (gitattributes(5)): later
// lines win over earlier ones, deeper files over those above. Macros other than filter are ignored.
class GitAttributes {
 public:
  // Adds the file that lies in `directory` ("" is the repo's root). Call from the root downwards.
  void add(std::string_view directory, std::string_view text);
  bool is_lfs(std::string_view path) const;

 private:
  struct Rule {
    std::string directory;                // the file's own, "" or "a/b"
    std::vector<std::string> components;  // of the pattern; one only, and floating, without '/'
    bool floating = false;                // matches the last component at any depth
    bool lfs = false;
  };
  static bool matches(const Rule& rule, std::string_view path);

  std::vector<Rule> rules_;
};

}  // namespace hubvfs::hub::server
