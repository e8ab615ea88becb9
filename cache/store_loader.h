// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cache/meta_index.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// Fills the table with the small blobs, as if they were used now.
void load_small(StoreContext& context);

// Fills the table from the index: all else, and when the small blobs were used. `believe_stamps`:
// files found verified are so still if they look the same (not after a power loss). kCorrupt: the
// index is damaged, and the table of no use.
Result<void> load_index(MetaIndex& index, StoreContext& context, bool believe_stamps);

// Fills the table from the sidecars and the index from the table: when the index was lost.
Result<void> rebuild_index(MetaIndex& index, StoreContext& context);

}  // namespace hubvfs::cache
