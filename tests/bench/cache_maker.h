// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/blob_store.h"

namespace hubvfs::bench {

struct CacheShape {
  std::uint64_t blocks = 1'000'000;  // of files
  std::uint64_t blobs = 2'000;       // that they make up
  std::uint64_t small_blobs = 20'000;
  std::uint64_t records = 50'000;  // of metadata
  std::uint64_t block_size = 1u << 20;
};

// The blobs of files that a cache of that shape holds, all of about the same size.
std::vector<cache::BlobKey> blob_keys(const CacheShape& shape);

// Makes such a cache in `path`, as a clean stop leaves it. The data files are holes: every byte is
// zero, and `checked_blocks` of each blob, from its first on, have the checksum that goes with it
// (the rest must not be read).
Result<void> make_cache(const std::string& path, const CacheShape& shape,
                        std::uint64_t checked_blocks);

}  // namespace hubvfs::bench
