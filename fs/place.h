// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hubvfs::fs {

// A repo at one revision as the tree names it: "ORG/NAME" or "ORG/NAME@REV".
struct Place {
  std::string repo;      // "ORG/NAME", or "NAME" for a legacy id
  std::string revision;  // "" where the name carries none: the default branch

  // From one directory name below `owner` ("" at the root): "NAME" or "NAME@REV" with '/' in REV as
  // %2F. None: the Hub would refuse such a name, so nothing needs to be asked.
  static std::optional<Place> parse(std::string_view owner, std::string_view name);
  std::string text() const { return revision.empty() ? repo : repo + "@" + revision; }
  // The directory name, and the owner it stands in ("" at the root).
  std::string name() const;
  std::string owner() const;
  bool pinned() const;  // names a full commit: never moves
};

// A revision as a name carries it, with '/' as %2F (either case), and back. What is decoded is not
// checked.
std::string encode_revision(std::string_view revision);
std::string decode_revision(std::string_view written);

}  // namespace hubvfs::fs
