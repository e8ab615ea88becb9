// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "fs/snapshot.h"

namespace hubvfs::fs {

// The listing of a commit as it is kept: one of all its files, or of those of its directories that
// were listed one each, in any order.
using ListingParts = std::vector<Snapshot>;

// Whether all files of the commit are in them: no directory is named whose part is missing.
bool is_whole(const ListingParts& parts);

// One listing of all that is in them.
Snapshot put_together(const ListingParts& parts);

}  // namespace hubvfs::fs
