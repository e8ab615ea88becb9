// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "cache/block_table.h"
#include "cache/endpoint_id.h"
#include "cache/index_records.h"
#include "cache/store_counters.h"

namespace hubvfs::cache {

// What is known of one blob: which of its blocks are where, and whom they may be shown to.
//
// State only: it does no I/O and waits for nothing, so every thread may ask it. A block goes from
// pending (put) to kWritten (by the writer) to kIndexed (by the committer); dropped from any of
// these it is kDropped until its hole is punched (by the writer), then absent. Each block that
// comes in has a fill number; blocks up to `trusted_fill` were part of content found right and are
// everybody's, later ones are the owner's. Thread-safe.
class BlobEntry {
 public:
  BlobEntry(BlobKey key, std::uint64_t number, std::uint64_t block_size, StoreCounters& counters);

  const BlobKey& key() const { return key_; }
  std::uint64_t number() const { return number_; }  // of its file; never used twice
  std::uint64_t size() const { return key_.content.size(); }
  std::uint64_t block_count() const { return block_count_; }
  std::uint64_t block_size() const { return block_size_; }
  std::uint64_t length(std::uint64_t block) const;
  bool small() const { return size() < kSmallBlob; }
  // Whether its data file may exist. Set by the loader and the writer.
  bool on_disk() const { return on_disk_.load(); }
  void set_on_disk(bool value) { on_disk_ = value; }

  void add_handle(const EndpointId& endpoint) EXCLUDES(mutex_);
  // True: that was the last one.
  bool remove_handle(const EndpointId& endpoint) EXCLUDES(mutex_);
  // No handle, no block, nothing pending, nothing waiting to be punched: nobody would miss it.
  bool idle() const EXCLUDES(mutex_);

  // Not evicted while it is.
  void set_pinned(bool pinned) EXCLUDES(mutex_);
  bool pinned() const { return pinned_.load(); }
  // Of the blocks of every endpoint; verified as the index remembers it.
  BlobInfo info() const EXCLUDES(mutex_);

  // What a caller of that endpoint sees.
  bool has(std::uint64_t block, const EndpointId& viewer) const EXCLUDES(mutex_);
  std::uint64_t cached_bytes(const EndpointId& viewer) const EXCLUDES(mutex_);
  bool complete(const EndpointId& viewer) const EXCLUDES(mutex_);
  bool verified() const EXCLUDES(mutex_);
  // Of its file, if it is sealed (Blob::sealed).
  std::optional<FileStamp> seal() const EXCLUDES(mutex_);
  // Whether it ever was: its file may be open or mapped though it is not any more.
  bool was_sealed() const { return was_sealed_.load(); }
  // Its file does not look so any more: it is to be judged again. False: it had no such seal.
  bool break_seal(const FileStamp& seal) EXCLUDES(mutex_);
  // Every block was used just now.
  void use_all() EXCLUDES(mutex_);

  struct Found {
    enum Where { kAbsent, kMemory, kDisk } where = kAbsent;
    std::shared_ptr<const Bytes> bytes;  // kMemory
    std::uint64_t block = 0;             // kDisk, as those below
    std::uint64_t checksum = 0;
    std::uint64_t fill = 0;
    bool checked = false;
    bool synced = false;       // or the kernel may yet fail to write it, and lose pages of it
    bool marked = false;       // as being read
    std::uint64_t doubts = 0;  // mark_all_unchecked() so far
    std::uint64_t generation = 0;
  };
  // A block, marked as used now and, on the disk, as being read: finish_read() must follow. To the
  // store itself (no viewer) it shows everything and marks nothing.
  Found find(std::uint64_t block, const EndpointId* viewer) EXCLUDES(mutex_);
  // A block as it lies on the disk, for the store itself.
  Found peek(std::uint64_t block) const EXCLUDES(mutex_);
  // Ends what find() began. False: the block went away meanwhile or is to be checked again, and
  // what was read may be a hole's. `right`: its checksum was.
  bool finish_read(const Found& found, bool right) EXCLUDES(mutex_);
  // Its next reader looks at its checksum again.
  void mark_unchecked(const Found& found) EXCLUDES(mutex_);
  // Every block's next reader looks at its checksum again; a read under way is made again.
  void mark_all_unchecked() EXCLUDES(mutex_);
  // Changes whenever a block goes away or all are to be checked again.
  std::uint64_t generation() const { return generation_.load(); }

  struct Put {
    enum What { kKnown, kPending, kForeign } what = kKnown;
    std::uint64_t fill = 0;
    std::vector<std::uint64_t> dropped;  // of the owner before, to be punched
    bool whole = false;                  // nothing is missing, and it is not judged yet
    bool in_order = false;               // the one the verifier is to be handed next
    std::uint64_t next = 0;              // in_order: the one to be handed after it; those between
                                         // are here
    bool early = false;                  // one of those soon after in_order
    std::uint64_t generation = 0;        // in which it came
  };
  // kForeign: another endpoint that still has the blob open owns its blocks, so this one will not
  // be stored; it can be read until forget().
  Put put(std::uint64_t block, std::shared_ptr<const Bytes> bytes, const EndpointId& endpoint)
      EXCLUDES(mutex_);

  // None when that block is not pending.
  std::optional<std::uint64_t> pending_fill(std::uint64_t block) const EXCLUDES(mutex_);
  // The writer's: null when it was dropped meanwhile.
  std::shared_ptr<const Bytes> pending(std::uint64_t block, std::uint64_t fill) const
      EXCLUDES(mutex_);
  enum class Written { kYes, kOverDropped, kGone };
  // Pending to kWritten. kOverDropped: it took the place of a block that was not punched yet.
  // `hot`: it is known to be used again and again.
  Written written(std::uint64_t block, std::uint64_t fill, std::uint64_t checksum, bool hot = false)
      EXCLUDES(mutex_);
  // A block that is on the disk though the index did not say so: kWritten, with the fill it
  // returns; `owner` none: everybody's. None when there is such a block, or its owner is not the
  // others'.
  std::optional<std::uint64_t> take_in(std::uint64_t block, std::uint64_t checksum,
                                       const std::optional<EndpointId>& owner) EXCLUDES(mutex_);
  // Gives up a pending or foreign block that is not going to be stored.
  void forget(std::uint64_t block, std::uint64_t fill) EXCLUDES(mutex_);

  // Takes blocks away from readers; returns those on disk, which the writer has to punch.
  std::vector<std::uint64_t> drop_all() EXCLUDES(mutex_);
  // drop_all(), but for what still waits to be written.
  std::vector<std::uint64_t> drop_stored() EXCLUDES(mutex_);
  // drop_all(), unless something has changed since `generation`.
  std::optional<std::vector<std::uint64_t>> drop_all_if(std::uint64_t generation) EXCLUDES(mutex_);
  // False: it is not the block that was found.
  bool drop_block(const Found& found) EXCLUDES(mutex_);
  // For eviction: drops those of these (block, epoch) that are kIndexed, not used since that epoch
  // and not being read. `all`: all of them or none.
  using Uses = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  std::vector<std::uint64_t> drop_unused(const Uses& blocks, bool all) EXCLUDES(mutex_);
  std::vector<std::uint64_t> still_dropped(std::span<const std::uint64_t> blocks) const
      EXCLUDES(mutex_);
  // kDropped to absent. Returns the bytes of blocks this gives back.
  std::uint64_t punched(std::span<const std::uint64_t> blocks) EXCLUDES(mutex_);

  // The verifier's: the next block it wants. kComing: it was in_order, or before a Put::next, and
  // is being handed over.
  enum class Awaited { kAbsent, kComing, kHere };
  Awaited await_block(std::uint64_t block) EXCLUDES(mutex_);
  // The verifier wants nothing until the blob is whole.
  void await_none() EXCLUDES(mutex_);
  bool all_here() const EXCLUDES(mutex_);
  // Somebody may wait for a verdict, as after the put() that made it whole.
  void expect_verdict() EXCLUDES(mutex_);
  // True once: a verdict was expected, and it is not whole any more.
  bool lost_before_verdict() EXCLUDES(mutex_);
  // The content was found right as of `generation`: its blocks are everybody's. False: it has
  // changed.
  bool trust(std::uint64_t generation) EXCLUDES(mutex_);
  // Verified as the index remembers it, before its file was looked at in this process's life.
  std::optional<FileStamp> stamp_to_check() const EXCLUDES(mutex_);
  void stamp_checked(bool right) EXCLUDES(mutex_);

  // The committer's: those of `blocks` (block, fill) that are kWritten with that fill.
  std::vector<std::uint64_t> committable(
      std::span<const std::pair<std::uint64_t, std::uint64_t>> blocks) const EXCLUDES(mutex_);
  void indexed(std::span<const std::uint64_t> blocks) EXCLUDES(mutex_);
  // Verified, and every block is indexed.
  bool stampable() const EXCLUDES(mutex_);
  // Records what the verified file looks like: it is sealed. False: a block went away meanwhile.
  bool stamp(const FileStamp& stamp, std::uint64_t generation) EXCLUDES(mutex_);
  BlobRecord record() const EXCLUDES(mutex_);
  std::optional<BlockRecord> block_record(std::uint64_t block) const EXCLUDES(mutex_);
  bool has_blocks() const EXCLUDES(mutex_);
  // Indexed blocks used since the index was last told, which they no longer are after this: some of
  // those from `first` on, which is moved behind them; UINT64_MAX: that was the end.
  std::vector<std::uint64_t> take_touched(std::uint64_t& first) EXCLUDES(mutex_);

  // visit(block, slot) for each indexed block, a thousand at a time so that no reader waits long.
  // Returns whether the blob is complete.
  template <typename Visit>
  bool for_each_evictable(Visit&& visit) const EXCLUDES(mutex_) {
    constexpr std::uint64_t kAtOnce = 1024;
    for (std::uint64_t next = 0; next != UINT64_MAX;) {
      MutexLock lock(mutex_);
      next = blocks_.for_some(next, kAtOnce, [&](std::uint64_t block, const BlockSlot& slot) {
        if (slot.state == BlockState::kIndexed) visit(block, slot);
      });
    }
    return all_here();
  }
  // Dropped ones included.
  std::vector<std::uint64_t> blocks_on_disk() const EXCLUDES(mutex_);

  // At load, before any other thread knows it.
  void load(const BlobRecord& record) EXCLUDES(mutex_);
  void load_block(std::uint64_t block, const BlockRecord& record) EXCLUDES(mutex_);
  void load_use(std::uint64_t block, const UseRecord& record) EXCLUDES(mutex_);
  // For content that is only ever stored after it was found right.
  void load_verified() EXCLUDES(mutex_);

 private:
  // To be let go without the lock: whoever counts them is told, and may ask here.
  using Buffers = std::vector<std::shared_ptr<const Bytes>>;
  struct Pending {
    std::shared_ptr<const Bytes> bytes;
    std::uint64_t fill = 0;
  };

  bool trusted(std::uint64_t fill) const REQUIRES(mutex_) { return fill <= trusted_fill_; }
  bool visible(std::uint64_t fill, const EndpointId& viewer) const REQUIRES(mutex_) {
    return trusted(fill) || viewer == owner_;
  }
  std::uint64_t total_bytes() const REQUIRES(mutex_) { return trusted_bytes_ + owned_bytes_; }
  void count_in(std::uint64_t block, std::uint64_t fill) REQUIRES(mutex_);
  void count_out(std::uint64_t block, std::uint64_t fill) REQUIRES(mutex_);
  void use(BlockSlot& slot) REQUIRES(mutex_);
  void left_written(std::uint64_t block) REQUIRES(mutex_);
  bool is_here(std::uint64_t block) const REQUIRES(mutex_);
  Found found_on_disk(std::uint64_t block, const BlockSlot& slot) const REQUIRES(mutex_);
  BlockSlot* same_slot(const Found& found) REQUIRES(mutex_);
  void change_generation() REQUIRES(mutex_);
  void doubt_all() REQUIRES(mutex_);
  void drop_slot(std::uint64_t block, BlockSlot& slot) REQUIRES(mutex_);
  void drop_pending(std::map<std::uint64_t, Pending>::iterator at, Buffers& removed)
      REQUIRES(mutex_);
  std::vector<std::uint64_t> drop_where(bool owned_only, Buffers& removed) REQUIRES(mutex_);
  std::vector<std::uint64_t> drop_slots(bool owned_only) REQUIRES(mutex_);

  const BlobKey key_;
  const std::uint64_t number_;
  const std::uint64_t block_size_;
  const std::uint64_t block_count_;
  StoreCounters& counters_;

  std::atomic<std::uint64_t> generation_{1};
  std::atomic<bool> on_disk_{false};
  std::atomic<bool> was_sealed_{false};
  std::atomic<bool> pinned_{false};  // changed under the lock, for the count's sake

  mutable Mutex mutex_;  // Lock rank: leaf.
  BlockTable blocks_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, Pending> pending_ GUARDED_BY(mutex_);
  std::map<std::pair<EndpointId, std::uint64_t>, Pending> foreign_ GUARDED_BY(mutex_);
  std::vector<std::uint64_t> reading_ GUARDED_BY(mutex_);  // once for each reader
  std::map<EndpointId, std::uint64_t> handles_ GUARDED_BY(mutex_);
  EndpointId owner_ GUARDED_BY(mutex_);
  std::uint64_t trusted_fill_ GUARDED_BY(mutex_) = 0;
  std::uint64_t trusted_bytes_ GUARDED_BY(mutex_) = 0;  // present or pending
  std::uint64_t owned_bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t stored_ GUARDED_BY(mutex_) = 0;   // blocks kWritten or kIndexed
  std::uint64_t written_ GUARDED_BY(mutex_) = 0;  // of these, kWritten
  std::uint64_t dropped_ GUARDED_BY(mutex_) = 0;  // blocks kDropped
  std::uint64_t last_epoch_ GUARDED_BY(mutex_) = 0;
  std::uint64_t doubts_ GUARDED_BY(mutex_) = 0;
  static constexpr std::uint64_t kNoBlock = UINT64_MAX;
  std::uint64_t awaited_ GUARDED_BY(mutex_) = 0;  // the next to be handed to the verifier
  bool verified_ GUARDED_BY(mutex_) = false;
  bool verdict_due_ GUARDED_BY(mutex_) = false;
  bool stamp_unchecked_ GUARDED_BY(mutex_) = false;
  std::optional<FileStamp> stamp_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::cache
