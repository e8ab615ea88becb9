// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/content_id.h"
#include "base/result.h"

namespace hubvfs::cache {

// Who may see something: "public", or "u<uid>" (design, section 4). Nothing of one namespace is
// read for another.
using Namespace = std::string;

struct BlobKey {
  Namespace space;
  ContentId content;
  bool operator==(const BlobKey&) const = default;
};

struct StoreStats {
  std::uint64_t size_limit = 0;  // bytes of blocks the cache may hold
  std::uint64_t bytes_used = 0;  // bytes of blocks it holds or has reserved
  std::uint64_t blobs = 0;
  std::uint64_t blocks = 0;
  std::uint64_t hits = 0;  // block reads served
  std::uint64_t misses = 0;
  std::uint64_t evicted_blocks = 0;
  std::uint64_t corrupt_blocks = 0;  // dropped because their checksum was wrong
  std::uint64_t pending_bytes = 0;   // handed in and not yet on disk
  std::uint64_t unstored_blocks = 0;  // handed in and forgotten: no room, or too many at once
  std::string degraded;  // why the cache is not storing ("disk full: ..."); "" when it is
};

// One blob of the store, open. Thread-safe; shared by all who have it open.
class Blob {
 public:
  virtual ~Blob() = default;
  virtual const BlobKey& key() const = 0;

  // Whether a read of this block would be served now. A hint: eviction may come between.
  virtual bool has(std::uint64_t block) const = 0;
  // Bytes present, for st_blocks.
  virtual std::uint64_t cached_bytes() const = 0;
  virtual bool complete() const = 0;
  // Complete, and its SHA-256 or git SHA-1 was found right.
  virtual bool verified() const = 0;

  // Copies [offset, offset + out.size()), which must lie within the blob. kNotFound: some block of
  // it is not here (or was dropped just now because its checksum was wrong): fetch it. kIo: the
  // disk failed; also treat as absent. Reads the disk, never waits for fsync, for a write or for
  // another thread's work.
  virtual Result<void> read(std::uint64_t offset, std::span<std::byte> out) = 0;

  // Hands in one whole block (block_size() bytes, the last one to the blob's end). Returns at once;
  // the block can be read from memory from then on and is written behind. Never fails: a block that
  // cannot be stored (disk full, limit reached by pinned or open blobs) is forgotten. `bytes` is
  // let go once written or forgotten, so that the caller can bound its memory by it.
  virtual void put(std::uint64_t block, std::shared_ptr<const Bytes> bytes) = 0;

  // Drops every block, for content that proved wrong.
  virtual void drop() = 0;
};

// Blocks of blobs on this host. Thread-safe. Its blobs are released before it.
//
// Knows no Hub and no file names. Until a blob is verified its blocks belong to the endpoint they
// came from and are read for that endpoint only; once verified they are everybody's in its
// namespace.
class BlobStore {
 public:
  // What became of a blob whose last missing block came in: verified, or dropped as kCorrupt (the
  // context has both hashes). Called on the store's thread, with no lock held.
  using OnVerdict = std::function<void(const BlobKey&, Result<void>)>;

  virtual ~BlobStore() = default;
  // Bytes; the same for the life of a cache. A power of two from 256 KiB to 16 MiB.
  virtual std::uint64_t block_size() const = 0;

  // Opens (and on first put creates) a blob for blocks that come from `endpoint`. kIo only for a
  // failing index; an absent blob is simply one without blocks.
  virtual Result<std::shared_ptr<Blob>> open(const BlobKey& key, const std::string& endpoint) = 0;

  virtual void on_verdict(OnVerdict callback) = 0;
  // Waits until everything handed in so far is on disk and indexed (fsync included), or cannot be.
  // Blocks; never on a FUSE thread.
  virtual Result<void> flush() = 0;
  virtual StoreStats stats() const = 0;
};

}  // namespace hubvfs::cache
