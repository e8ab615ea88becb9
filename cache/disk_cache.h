// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "cache/blob_store.h"
#include "cache/eviction_policy.h"
#include "cache/meta_store.h"

namespace hubvfs::cache {

struct DiskCacheOptions {
  std::string path;              // made (0700) if its parent exists
  std::uint64_t size_limit = 0;  // bytes; 0: 80% of what is free at first use plus what is cached
  std::uint64_t block_size = 1u << 20;  // only for a new cache; an old one keeps its own
  // Of the folder, and in it of blobs/ and blobs/public/; 0: 0700 for what is new. What is private
  // stays 0700 and 0600.
  mode_t mode = 0;
  std::uint64_t pending_limit =
      128u << 20;  // bytes on their way to the disk; beyond it blocks are not kept
  EvictionSettings eviction = {};
  bool punch_holes = true;  // where the disk can; else whole blobs are evicted
  // How long open() waits for the index, which may be large; none: until it is read. After that
  // blobs are read by their sidecars until it is.
  std::optional<Duration> start_patience = std::nullopt;
};

// The cache folder of this host: owner.lock, VERSION, index/, blobs/, meta/ (design, section 4).
//
// One process at a time has it open. Destroying it flushes. Thread-safe.
class DiskCache {
 public:
  // kBusy: another process has it (the context names its pid and `-o cache.path`). kUnsupported: a
  // format or filesystem it cannot be used on. kPermissionDenied: owned by another user, or
  // writable by others. kIo and kNoSpace: the disk.
  static Result<std::unique_ptr<DiskCache>> open(const DiskCacheOptions& options, Logger& log,
                                                 const Clock& clock);
  virtual ~DiskCache() = default;
  virtual BlobStore& blobs() = 0;
  virtual MetaStore& meta() = 0;
};

// Of the cache folder, as its VERSION file names it.
unsigned cache_format();

}  // namespace hubvfs::cache
