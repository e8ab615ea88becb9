// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/types.h"

namespace hubvfs::hub::server {

// The file in a repo's folder that says who may see it. It is not part of the repo's content.
inline constexpr char kRepoSettingsFile[] = ".hubvfs-repo.json";

// {"private": bool, "gated": false|"auto"|"manual", "readers": ["USER", ...],
//  "pending": ["USER", ...], "disabled": bool, "aliases": ["OLD/NAME", "NAME", ...]}, every key
// optional.
//
// A private repo is visible to its readers only. A gated one is visible to all, but only its
// readers get content; those in "pending" asked and wait. A disabled one refuses everybody.
// Requests for an alias, a name the repo had before, are redirected to it.
struct RepoSettings {
  bool is_private = false;
  Gate gate = Gate::kNone;
  bool disabled = false;
  std::vector<std::string> readers;
  std::vector<std::string> pending;
  std::vector<std::string> aliases;
  bool operator==(const RepoSettings&) const = default;
};

// kInvalidArgument for anything but that, unknown keys included: a mistyped "private" must not
// make a repo public.
Result<RepoSettings> parse_repo_settings(std::string_view json);

// The users that may call with a token: a file of lines "TOKEN USER"; blank lines and lines that
// start with '#' are skipped. Only hashes of the tokens are kept.
class TokenUsers {
 public:
  TokenUsers() = default;
  // kInvalidArgument names the line that is wrong, never what it holds.
  static Result<TokenUsers> parse(std::string_view text);
  // "" when nobody has this token.
  std::string user_of(std::string_view token) const;

 private:
  std::map<std::string, std::string, std::less<>> users_;  // by SHA-256 of the token
};

}  // namespace hubvfs::hub::server
