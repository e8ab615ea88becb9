// SPDX-License-Identifier: Apache-2.0
// The Hub's answers, read and checked for form (hub-protocol A to C, E; threats 1.2).
//
// Every function fails with kBadAnswer when the text is not what the protocol says, and never
// trusts a size, a date or an id that it has not checked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/types.h"

namespace hubvfs::hub {

inline constexpr std::size_t kMaxPageBytes = 32u << 20;
inline constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 44;  // ext4's limit

// One repo. `type` is what was asked for: the answer does not say. A repo without the word
// "private" is taken for private.
Result<RepoInfo> parse_repo_info(std::string_view text, RepoType type);
// Refs that can be asked for: a name or commit of another form is left out.
Result<RepoRefs> parse_repo_refs(std::string_view text);
// One page of a tree; entries that are neither file nor directory are left out.
Result<std::vector<TreeEntry>> parse_tree_page(std::string_view text);
// One page of a list of repos; `next` is not filled in. Names not of the right form are left out.
Result<RepoPage> parse_repo_page(std::string_view text, RepoType type);

}  // namespace hubvfs::hub
