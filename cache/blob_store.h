// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/content_id.h"
#include "base/result.h"

namespace hubvfs::cache {

// Who may see something: "public", or "u<uid>" (design, section 4). Nothing of one namespace is
// read for another.
using Namespace = std::string;

struct BlobKey {
  Namespace space;
  ContentId content;
  auto operator<=>(const BlobKey&) const = default;
};

// Blobs of fewer bytes live in records, not in files of their own.
inline constexpr std::uint64_t kSmallBlob = 64u << 10;

struct StoreStats {
  std::uint64_t size_limit = 0;  // bytes of blocks the cache may hold
  std::uint64_t bytes_used = 0;  // bytes of blocks it holds or has reserved
  std::uint64_t blobs = 0;
  std::uint64_t blocks = 0;
  std::uint64_t hits = 0;  // block reads served
  std::uint64_t misses = 0;
  std::uint64_t evicted_blocks = 0;
  std::uint64_t corrupt_blocks = 0;   // dropped because their checksum was wrong
  std::uint64_t pending_bytes = 0;    // handed in and not yet on disk
  std::uint64_t unstored_blocks = 0;  // handed in and forgotten: no room, or too many at once
  std::string degraded;  // why the cache is not storing ("disk full: ..."); "" when it is

  std::string policy;                // "lru", "fifo" or "ttl"
  std::uint64_t ttl_seconds = 0;     // of policy "ttl", else 0
  std::uint64_t pinned_bytes = 0;    // of pinned blobs, part of bytes_used
  std::uint64_t min_free = 0;        // bytes of the disk the cache leaves free; 0 without a disk
  std::uint64_t disk_free = 0;       // bytes of the disk that are free now; 0 without a disk
  std::uint64_t expired_blocks = 0;  // part of evicted_blocks: not used for the ttl
  std::uint64_t index_writes = 0;    // transactions of the index; reads cause none
  bool starting = false;     // the index is still being read: most figures are not known yet
  bool whole_blobs = false;  // the disk cannot punch holes: blobs are evicted as a whole
};

// One blob that has blocks here.
struct BlobInfo {
  BlobKey key;
  std::uint64_t bytes = 0;  // of its blocks that are here
  std::uint64_t blocks = 0;
  bool complete = false;
  bool verified = false;
  bool pinned = false;
  UnixSeconds last_used = 0;  // of the block used last
};

struct PruneOptions {
  std::optional<Duration> older_than;     // blocks not used for that long
  std::optional<std::uint64_t> to_bytes;  // then more, in the order of the policy, down to this
};

struct VerifyReport {
  std::uint64_t blobs = 0;  // looked at
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  std::uint64_t bad_blocks = 0;  // unreadable, or their checksum is wrong
  std::uint64_t bad_blobs = 0;   // complete, and their hash is wrong
  // What is wrong, one line each for people; the first 1,000.
  std::vector<std::string> problems;
};

// Of the bytes that a store may be handed before they are written (pending_limit), one part in so
// many may be kept of a blob beyond that, to be hashed: until what is missing before them comes, or
// the hashing of other blobs is done. Of the blob that is being hashed, and of all together, four.
inline constexpr std::uint64_t kHeldShare = 16;

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

  // Verified, and all of it lies synced in a file of its own, which the kernel may read instead of
  // asking here. A small blob never is.
  virtual bool sealed() const = 0;
  // Name of that file beneath the folder of the blobs, which was just found to look as it did when
  // it was sealed; counts as a use of all blocks. To be asked once the opener is counted, see
  // set_passthrough_check. kNotFound: it is not sealed (any more). Reads the disk, never waits.
  virtual Result<std::string> sealed_file() = 0;

  // Copies [offset, offset + out.size()), which must lie within the blob. kNotFound: some block of
  // it is not here (or was dropped just now because its checksum was wrong): fetch it. kIo: the
  // disk failed; also treat as absent. Reads the disk, never waits for fsync, for a write or for
  // another thread's work.
  virtual Result<void> read(std::uint64_t offset, std::span<std::byte> out) = 0;

  // Hands in one whole block (block_size() bytes, the last one to the blob's end). Returns at once;
  // the block can be read from memory from then on and is written behind. Never fails: a block that
  // cannot be stored (disk full, limit reached by pinned or open blobs) is forgotten. `bytes` is
  // let go once written or forgotten, but for what is kept to be hashed (kHeldShare), so that the
  // caller can bound its memory by it. True: the blob is whole and not judged yet, so that a
  // verdict follows.
  virtual bool put(std::uint64_t block, std::shared_ptr<const Bytes> bytes) = 0;

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
  // What became of a blob whose last missing block came in: verified, dropped as kCorrupt (the
  // context has both hashes), or not judged, since it lost a block before that (kNotFound). Called
  // on the store's thread, with no lock held.
  using OnVerdict = std::function<void(const BlobKey&, Result<void>)>;

  virtual ~BlobStore() = default;
  // Bytes; the same for the life of a cache. A power of two from 256 KiB to 16 MiB.
  virtual std::uint64_t block_size() const = 0;

  // Opens (and on first put creates) a blob for blocks that come from `endpoint`. kIo only for a
  // failing index; an absent blob is simply one without blocks.
  virtual Result<std::shared_ptr<Blob>> open(const BlobKey& key, const std::string& endpoint) = 0;

  // Of these three setters: once one returns, what was set before is not being called any more.
  // They may wait for that; never on a FUSE thread, nor from within a call.
  virtual void on_verdict(OnVerdict callback) = 0;
  // A blob is sealed from now on. Called on the store's thread, with no lock held.
  using OnSealed = std::function<void(const BlobKey&)>;
  virtual void on_sealed(OnSealed callback) = 0;
  // Waits until everything handed in so far is on disk and indexed (fsync included), or cannot be.
  // Blocks; never on a FUSE thread.
  virtual Result<void> flush() = 0;
  virtual StoreStats stats() const = 0;

  // The rest is for commands. Each of these calls may wait for the disk and for the store's own
  // threads: never on a FUSE thread, nor on the Hub's.

  // Every blob that has a block here, in no order, small ones included. No lock is held during
  // `visit`, which may call the store.
  virtual void for_each_blob(const std::function<void(const BlobInfo&)>& visit) const = 0;

  // Which blobs are pinned, here already or not: replaces the set before. A pinned blob is not
  // evicted, expired or pruned, whatever the policy. Not remembered across a restart.
  virtual void set_pinned(const std::vector<BlobKey>& keys) = 0;

  // Tells blobs whose file the kernel reads by itself, open in passthrough: they are not evicted
  // and their file is not touched. `check` is called on the store's threads with no lock held and
  // must not wait. Who opens a file in passthrough counts it first and then asks
  // Blob::sealed_file(): so either he sees that the blob is being evicted, or the store sees him.
  // Nor is a file touched that anybody else has open or mapped, by a mount that is gone too: that
  // the store finds out by itself.
  using InPassthrough = std::function<bool(const BlobKey&)>;
  virtual void set_passthrough_check(InPassthrough check) = 0;

  // Drops every block of it; bytes freed, 0 for an absent one. kBusy: pinned (whether here or not),
  // or open in passthrough.
  virtual Result<std::uint64_t> evict(const BlobKey& key) = 0;

  // Drops blocks that are neither pinned nor open in passthrough; bytes freed. What is in the way
  // of `to_bytes` is no error: stats() tell how much is left.
  virtual Result<std::uint64_t> prune(const PruneOptions& options) = 0;

  // Reads every block again, checks its checksum, and the hash of each complete blob. `repair`
  // drops what is wrong. `progress` is called after each block; false stops it (kCancelled).
  using VerifyProgress = std::function<bool(std::uint64_t bytes_done, std::uint64_t bytes_total)>;
  virtual Result<VerifyReport> verify(bool repair, const VerifyProgress& progress) = 0;
};

}  // namespace hubvfs::cache
