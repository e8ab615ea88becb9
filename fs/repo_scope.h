// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "fs/place.h"
#include "hub/types.h"

namespace hubvfs::fs {

// What a mount of one repo shows: hf://[datasets/|spaces/]ORG/NAME[@REVISION][/FOLDER].
struct RepoScope {
  hub::RepoType type = hub::RepoType::kModel;
  std::string repo;      // "ORG/NAME", or "NAME" for a legacy id: hf://NAME, hf://NAME@REV/FOLDER
  std::string revision;  // "": the default branch
  std::string sub;       // a folder, "a/b"; "": the root of the repo

  // From such a URL. "/" in REVISION is written %2F; FOLDER is taken as it is, a last "/" aside.
  // kInvalidArgument: says what is wrong and shows the form.
  static Result<RepoScope> parse(std::string_view url);
  // The URL again.
  std::string url() const;
  Place place() const { return {repo, revision}; }
};

}  // namespace hubvfs::fs
