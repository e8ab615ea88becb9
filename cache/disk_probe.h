// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/result.h"
#include "cache/directory.h"
#include "cache/quota.h"

namespace hubvfs::cache {

// Whether the disk would store a block of `block_size` now: writes a small file in `directory`,
// syncs it and removes it. kNoSpace: the block would take what has to stay free. kNotFound:
// somebody removed the directory, and only the next start makes a new one. Blocks.
Result<void> probe_disk(const Directory& directory, const Quota& quota, std::uint64_t block_size);

}  // namespace hubvfs::cache
