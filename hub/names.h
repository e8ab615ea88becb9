// SPDX-License-Identifier: Apache-2.0
// Which names may go into a URL or become a file name (hub-protocol A.1, B; threats 1.2).
#pragma once

#include <string>
#include <string_view>

namespace hubvfs::hub {

// A repo id as huggingface_hub accepts it: at most 96 bytes of [A-Za-z0-9_.-] with at most one '/', no "--"
// or "..", neither part starting or ending with '-' or '.', not ending in ".git".
bool is_repo_name(std::string_view name);
// One half of it: an owner, or the repo below the owner.
bool is_repo_name_part(std::string_view part);

// A branch, tag, commit or ref: 1 to 255 bytes of [A-Za-z0-9._/-], no "..", no "//", no leading '-' or '/', no
// trailing '/' and no component that is "." or "..".
bool is_revision(std::string_view revision);

// One path component that may be shown in a directory: 1 to 255 bytes, not "." or "..", no '/' and
// no NUL. Any other byte is allowed: names are bytes.
bool is_path_component(std::string_view component);
// A path in a repo: components joined by single '/', at most 4096 bytes and 128 components.
bool is_repo_path(std::string_view path);

}  // namespace hubvfs::hub
