// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cache/blob_store.h"
#include "cache/block_reader.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// BlobStore::verify of the disk store. `on_lost` gets dropped blocks, to punch them; none: nothing
// is repaired, but what was found wrong is checked again before anybody reads it.
Result<VerifyReport> verify_store(StoreContext& context, BlockReader& reader,
                                  const BlockReader::OnDamage& on_lost,
                                  const BlobStore::VerifyProgress& progress);

}  // namespace hubvfs::cache
