// SPDX-License-Identifier: Apache-2.0
// XXH3-64, seeded with what the bytes are: right bytes in the wrong place are wrong too.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "cache/blob_store.h"

namespace hubvfs::cache {

// Not cryptographic: it finds damage, not forgery.
std::uint64_t checksum64(std::uint64_t seed, ByteView bytes);
// Of `first` followed by `second`, without joining them.
std::uint64_t checksum64(std::uint64_t seed, ByteView first, ByteView second);

// Of a block: covers namespace, content id, block number and length, then the data.
std::uint64_t block_checksum(const BlobKey& key, std::uint64_t block, ByteView bytes);

}  // namespace hubvfs::cache
