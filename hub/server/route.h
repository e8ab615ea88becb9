// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "hub/types.h"

namespace hubvfs::hub::server {

// What a request line asks for (hub-protocol A to D). Split on '/' before anything is decoded, so
// that {rev} is one segment whatever it holds; refs/pr/N and refs/convert/X are taken unencoded
// too.
struct Route {
  enum class Kind {
    kUnknown,    // no such page
    kMalformed,  // a broken %-escape
    kWhoami,
    kList,  // of repos: type
    kInfo,  // revision "" when none was given
    kRefs,
    kTree,
    kPathsInfo,
    kTreeSize,
    kCommits,
    kAuthCheck,
    kResolve,
    kResolveCache,
    kRaw,
  };
  Kind kind = Kind::kUnknown;
  RepoId repo;               // its name is as sent, decoded, not checked
  std::size_t id_begin = 0;  // where that name stands in the raw path
  std::size_t id_end = 0;
  std::string revision;  // decoded
  std::string path;      // decoded, without '/' at its ends; not checked

  // Answers of file routes are plain text, the others' JSON; all but kList and kWhoami are of a
  // repo.
  bool is_file() const {
    return kind == Kind::kResolve || kind == Kind::kResolveCache || kind == Kind::kRaw;
  }
};

// The raw path of the same route for another repo name.
std::string with_repo_name(std::string_view raw_path, const Route& route, const std::string& name);

// `raw_path` as in the request line, without query.
Route parse_route(std::string_view raw_path);

}  // namespace hubvfs::hub::server
