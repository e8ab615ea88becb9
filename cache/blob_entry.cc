// SPDX-License-Identifier: Apache-2.0
#include "cache/blob_entry.h"

#include <algorithm>
#include <utility>

#include "cache/names.h"

namespace hubvfs::cache {
namespace {

// Uses within that time of a block's coming in are one visit, however many processes make it up
// (the workers of a training read the same file at once); a later one makes the block hot.
constexpr std::int64_t kVisitSeconds = 60;
// So far behind the first that is missing is early: several requests are under way.
constexpr std::uint64_t kEarlyBlocks = 64;

std::uint32_t seconds_of(std::uint64_t epoch) {
  return static_cast<std::uint32_t>(UseClock::time_of(epoch));
}

void mark_used(BlockSlot& slot, std::uint64_t epoch) {
  slot.epoch = epoch;
  slot.touched = true;
  if (UseClock::time_of(epoch) >= slot.entered + kVisitSeconds) slot.hot = true;
}

}  // namespace

BlobEntry::BlobEntry(BlobKey key, std::uint64_t number, std::uint64_t block_size,
                     StoreCounters& counters)
    : key_(std::move(key)),
      number_(number),
      block_size_(block_size),
      block_count_(cache::block_count(key_.content.size(), block_size)),
      counters_(counters),
      blocks_(block_count_) {}

std::uint64_t BlobEntry::length(std::uint64_t block) const {
  return block_length(size(), block_size_, block);
}

void BlobEntry::add_handle(const EndpointId& endpoint) {
  MutexLock lock(mutex_);
  ++handles_[endpoint];
}

bool BlobEntry::remove_handle(const EndpointId& endpoint) {
  MutexLock lock(mutex_);
  const auto at = handles_.find(endpoint);
  if (--at->second == 0) handles_.erase(at);
  return handles_.empty();
}

bool BlobEntry::idle() const {
  MutexLock lock(mutex_);
  return handles_.empty() && stored_ == 0 && dropped_ == 0 && pending_.empty() && foreign_.empty();
}

void BlobEntry::set_pinned(bool pinned) {
  MutexLock lock(mutex_);
  if (pinned_.exchange(pinned) == pinned) return;
  if (pinned) {
    counters_.pinned_bytes += total_bytes();
  } else {
    counters_.pinned_bytes -= total_bytes();
  }
}

BlobInfo BlobEntry::info() const {
  MutexLock lock(mutex_);
  BlobInfo info;
  info.key = key_;
  info.bytes = total_bytes();
  info.blocks = stored_ + pending_.size();
  info.complete = total_bytes() == size();
  info.verified = verified_ && info.complete;
  info.pinned = pinned_;
  info.last_used = UseClock::time_of(last_epoch_);
  return info;
}

bool BlobEntry::has(std::uint64_t block, const EndpointId& viewer) const {
  MutexLock lock(mutex_);
  if (const auto at = pending_.find(block); at != pending_.end()) {
    if (visible(at->second.fill, viewer)) return true;
  } else if (const BlockSlot* slot = blocks_.find(block); slot != nullptr && slot->present()) {
    if (visible(slot->fill, viewer)) return true;
  }
  return foreign_.contains({viewer, block});
}

std::uint64_t BlobEntry::cached_bytes(const EndpointId& viewer) const {
  MutexLock lock(mutex_);
  return trusted_bytes_ + (viewer == owner_ ? owned_bytes_ : 0);
}

bool BlobEntry::complete(const EndpointId& viewer) const { return cached_bytes(viewer) == size(); }

bool BlobEntry::verified() const {
  MutexLock lock(mutex_);
  return verified_ && !stamp_unchecked_ && total_bytes() == size();
}

std::optional<FileStamp> BlobEntry::seal() const {
  MutexLock lock(mutex_);
  const bool sealed = verified_ && !stamp_unchecked_ && total_bytes() == size();
  return sealed ? stamp_ : std::nullopt;
}

bool BlobEntry::break_seal(const FileStamp& seal) {
  MutexLock lock(mutex_);
  if (!verified_ || stamp_ != seal) return false;
  verified_ = false;
  verdict_due_ = true;
  stamp_.reset();
  doubt_all();
  return true;
}

void BlobEntry::use_all() {
  MutexLock lock(mutex_);
  const std::uint64_t epoch = last_epoch_ = counters_.uses.tick();
  blocks_.for_each([epoch](std::uint64_t, BlockSlot& slot) {
    if (slot.present()) mark_used(slot, epoch);
  });
}

BlobEntry::Found BlobEntry::find(std::uint64_t block, const EndpointId* viewer) {
  MutexLock lock(mutex_);
  Found found;
  if (const auto at = pending_.find(block); at != pending_.end()) {
    if (viewer == nullptr || visible(at->second.fill, *viewer)) {
      found.where = Found::kMemory;
      found.bytes = at->second.bytes;
      return found;
    }
  } else if (BlockSlot* slot = blocks_.find(block); slot != nullptr && slot->present()) {
    if (viewer == nullptr || visible(slot->fill, *viewer)) {
      if (viewer != nullptr) {
        use(*slot);
        reading_.push_back(block);
      }
      found = found_on_disk(block, *slot);
      found.marked = viewer != nullptr;
      return found;
    }
  }
  if (viewer == nullptr) return found;
  if (const auto at = foreign_.find({*viewer, block}); at != foreign_.end()) {
    found.where = Found::kMemory;
    found.bytes = at->second.bytes;
  }
  return found;
}

BlobEntry::Found BlobEntry::peek(std::uint64_t block) const {
  MutexLock lock(mutex_);
  Found found;
  const BlockSlot* slot = blocks_.find(block);
  return slot == nullptr || !slot->present() ? found : found_on_disk(block, *slot);
}

BlobEntry::Found BlobEntry::found_on_disk(std::uint64_t block, const BlockSlot& slot) const {
  Found found;
  found.where = Found::kDisk;
  found.block = block;
  found.checksum = slot.checksum;
  found.fill = slot.fill;
  found.synced = slot.state == BlockState::kIndexed;
  found.checked = slot.checked && (found.synced || !slot.over);
  found.doubts = doubts_;
  found.generation = generation_.load();
  return found;
}

BlockSlot* BlobEntry::same_slot(const Found& found) {
  BlockSlot* slot = blocks_.find(found.block);
  const bool same = slot != nullptr && slot->present() && slot->fill == found.fill;
  return same && found.doubts == doubts_ ? slot : nullptr;
}

void BlobEntry::use(BlockSlot& slot) {
  last_epoch_ = counters_.uses.tick();
  mark_used(slot, last_epoch_);
}

bool BlobEntry::finish_read(const Found& found, bool right) {
  MutexLock lock(mutex_);
  if (found.marked) {
    const auto at = std::find(reading_.begin(), reading_.end(), found.block);
    *at = reading_.back();
    reading_.pop_back();
  }
  BlockSlot* slot = same_slot(found);
  if (slot != nullptr && right && found.synced == (slot->state == BlockState::kIndexed)) {
    slot->checked = true;
  }
  return slot != nullptr;
}

void BlobEntry::mark_unchecked(const Found& found) {
  MutexLock lock(mutex_);
  if (BlockSlot* slot = same_slot(found); slot != nullptr) slot->checked = false;
}

void BlobEntry::mark_all_unchecked() {
  MutexLock lock(mutex_);
  doubt_all();
}

void BlobEntry::doubt_all() {
  blocks_.for_each([](std::uint64_t, BlockSlot& slot) { slot.checked = false; });
  ++doubts_;
  change_generation();
}

void BlobEntry::count_in(std::uint64_t block, std::uint64_t fill) {
  if (total_bytes() == 0) ++counters_.blobs;
  if (pinned_) counters_.pinned_bytes += length(block);
  (trusted(fill) ? trusted_bytes_ : owned_bytes_) += length(block);
}

void BlobEntry::count_out(std::uint64_t block, std::uint64_t fill) {
  (trusted(fill) ? trusted_bytes_ : owned_bytes_) -= length(block);
  if (total_bytes() == 0) --counters_.blobs;
  if (pinned_) counters_.pinned_bytes -= length(block);
  verified_ = false;
  stamp_unchecked_ = false;
  stamp_.reset();
  change_generation();
}

void BlobEntry::change_generation() {
  ++generation_;
  awaited_ = kNoBlock;  // what was hashed may be gone
}

BlobEntry::Put BlobEntry::put(std::uint64_t block, std::shared_ptr<const Bytes> bytes,
                              const EndpointId& endpoint) {
  Buffers removed;
  MutexLock lock(mutex_);
  Put done;
  done.whole = total_bytes() == size() && !verified_;
  const auto waiting = pending_.find(block);
  const BlockSlot* slot = blocks_.find(block);
  const bool stored = slot != nullptr && slot->present();
  if (waiting != pending_.end() && visible(waiting->second.fill, endpoint)) return done;
  if (waiting == pending_.end() && stored && visible(slot->fill, endpoint)) return done;

  if (endpoint != owner_) {
    const bool owner_is_here = handles_.contains(owner_);
    if (owned_bytes_ > 0 && owner_is_here) {
      done.whole = false;
      done.fill = counters_.fill.fetch_add(1);
      if (foreign_.contains({endpoint, block})) return done;
      counters_.pending_bytes += bytes->size();
      foreign_.emplace(std::pair(endpoint, block), Pending{std::move(bytes), done.fill});
      done.what = Put::kForeign;
      return done;
    }
    done.dropped = drop_where(true, removed);
    owner_ = endpoint;
  }
  done.fill = counters_.fill.fetch_add(1);
  counters_.pending_bytes += bytes->size();
  pending_[block] = Pending{std::move(bytes), done.fill};
  count_in(block, done.fill);
  done.what = Put::kPending;
  done.whole = verdict_due_ = total_bytes() == size();
  done.in_order = block == awaited_;
  done.early = awaited_ != kNoBlock && block > awaited_ && block - awaited_ < kEarlyBlocks;
  if (done.in_order) {
    const std::uint64_t most = std::min(block_count_, block + kEarlyBlocks);
    for (++awaited_; awaited_ < most && is_here(awaited_);) ++awaited_;
    done.next = awaited_;
  }
  done.generation = generation_.load();
  return done;
}

std::optional<std::uint64_t> BlobEntry::pending_fill(std::uint64_t block) const {
  MutexLock lock(mutex_);
  const auto at = pending_.find(block);
  return at == pending_.end() ? std::nullopt : std::optional(at->second.fill);
}

std::shared_ptr<const Bytes> BlobEntry::pending(std::uint64_t block, std::uint64_t fill) const {
  MutexLock lock(mutex_);
  const auto at = pending_.find(block);
  return at != pending_.end() && at->second.fill == fill ? at->second.bytes : nullptr;
}

BlobEntry::Written BlobEntry::written(std::uint64_t block, std::uint64_t fill,
                                      std::uint64_t checksum, bool hot) {
  std::shared_ptr<const Bytes> removed;
  MutexLock lock(mutex_);
  const auto at = pending_.find(block);
  if (at == pending_.end() || at->second.fill != fill) return Written::kGone;
  BlockSlot& slot = blocks_.at(block);
  const bool over = slot.state == BlockState::kDropped;
  if (over) --dropped_;
  last_epoch_ = counters_.uses.tick();
  slot = BlockSlot{checksum,
                   fill,
                   last_epoch_,
                   seconds_of(last_epoch_),
                   BlockState::kWritten,
                   /*checked=*/false,
                   /*touched=*/small(),
                   hot,
                   over};
  ++stored_;
  ++written_;
  counters_.unindexed_bytes += length(block);
  ++counters_.blocks;
  counters_.pending_bytes -= at->second.bytes->size();
  removed = std::move(at->second.bytes);
  pending_.erase(at);
  return over ? Written::kOverDropped : Written::kYes;
}

std::optional<std::uint64_t> BlobEntry::take_in(std::uint64_t block, std::uint64_t checksum,
                                                const std::optional<EndpointId>& owner) {
  MutexLock lock(mutex_);
  BlockSlot& slot = blocks_.at(block);
  if (slot.state != BlockState::kAbsent || pending_.contains(block)) return std::nullopt;
  std::uint64_t fill = 0;
  if (owner) {
    if (owned_bytes_ == 0) owner_ = *owner;
    if (*owner != owner_) return std::nullopt;
    fill = counters_.fill.fetch_add(1);
  }
  last_epoch_ = counters_.uses.tick();
  slot =
      BlockSlot{checksum,          fill, last_epoch_, seconds_of(last_epoch_), BlockState::kWritten,
                /*checked=*/false,
                /*touched=*/false,
                /*hot=*/false};
  ++stored_;
  ++written_;
  counters_.unindexed_bytes += length(block);
  ++counters_.blocks;
  count_in(block, fill);
  return fill;
}

void BlobEntry::forget(std::uint64_t block, std::uint64_t fill) {
  Buffers removed;
  MutexLock lock(mutex_);
  if (const auto at = pending_.find(block); at != pending_.end() && at->second.fill == fill) {
    drop_pending(at, removed);
    return;
  }
  for (auto at = foreign_.begin(); at != foreign_.end(); ++at) {
    if (at->second.fill != fill) continue;
    counters_.pending_bytes -= at->second.bytes->size();
    removed.push_back(std::move(at->second.bytes));
    foreign_.erase(at);
    return;
  }
}

void BlobEntry::drop_pending(std::map<std::uint64_t, Pending>::iterator at, Buffers& removed) {
  counters_.pending_bytes -= at->second.bytes->size();
  count_out(at->first, at->second.fill);
  removed.push_back(std::move(at->second.bytes));
  pending_.erase(at);
}

void BlobEntry::left_written(std::uint64_t block) {
  --written_;
  counters_.unindexed_bytes -= length(block);
}

void BlobEntry::drop_slot(std::uint64_t block, BlockSlot& slot) {
  if (slot.state == BlockState::kWritten) left_written(block);
  slot.state = BlockState::kDropped;
  --stored_;
  ++dropped_;
  --counters_.blocks;
  count_out(block, slot.fill);
}

std::vector<std::uint64_t> BlobEntry::drop_where(bool owned_only, Buffers& removed) {
  for (auto at = pending_.begin(); at != pending_.end();) {
    const auto next = std::next(at);
    if (!owned_only || !trusted(at->second.fill)) drop_pending(at, removed);
    at = next;
  }
  return drop_slots(owned_only);
}

std::vector<std::uint64_t> BlobEntry::drop_slots(bool owned_only) {
  std::vector<std::uint64_t> dropped;
  const std::uint64_t kept = owned_only ? trusted_fill_ : 0;
  blocks_.for_each([&](std::uint64_t block, const BlockSlot& slot) {
    if (slot.present() && (!owned_only || slot.fill > kept)) dropped.push_back(block);
  });
  for (const std::uint64_t block : dropped) drop_slot(block, *blocks_.find(block));
  return dropped;
}

std::vector<std::uint64_t> BlobEntry::drop_all() {
  Buffers removed;
  MutexLock lock(mutex_);
  return drop_where(false, removed);
}

std::vector<std::uint64_t> BlobEntry::drop_stored() {
  MutexLock lock(mutex_);
  return drop_slots(false);
}

std::optional<std::vector<std::uint64_t>> BlobEntry::drop_all_if(std::uint64_t generation) {
  Buffers removed;
  MutexLock lock(mutex_);
  if (generation_.load() != generation) return std::nullopt;
  return drop_where(false, removed);
}

bool BlobEntry::drop_block(const Found& found) {
  MutexLock lock(mutex_);
  BlockSlot* slot = same_slot(found);
  if (slot == nullptr) return false;
  drop_slot(found.block, *slot);
  return true;
}

std::vector<std::uint64_t> BlobEntry::drop_unused(const Uses& blocks, bool all) {
  MutexLock lock(mutex_);
  std::vector<std::uint64_t> unused;
  for (const auto& [block, epoch] : blocks) {
    const BlockSlot* slot = blocks_.find(block);
    if (slot == nullptr || slot->state != BlockState::kIndexed || slot->epoch > epoch) continue;
    if (std::find(reading_.begin(), reading_.end(), block) != reading_.end()) continue;
    unused.push_back(block);
  }
  if (all && unused.size() != blocks.size()) return {};
  for (const std::uint64_t block : unused) drop_slot(block, *blocks_.find(block));
  return unused;
}

std::vector<std::uint64_t> BlobEntry::still_dropped(std::span<const std::uint64_t> blocks) const {
  MutexLock lock(mutex_);
  std::vector<std::uint64_t> still;
  for (const std::uint64_t block : blocks) {
    const BlockSlot* slot = blocks_.find(block);
    if (slot != nullptr && slot->state == BlockState::kDropped) still.push_back(block);
  }
  return still;
}

std::uint64_t BlobEntry::punched(std::span<const std::uint64_t> blocks) {
  MutexLock lock(mutex_);
  std::uint64_t bytes = 0;
  for (const std::uint64_t block : blocks) {
    BlockSlot* slot = blocks_.find(block);
    if (slot == nullptr || slot->state != BlockState::kDropped) continue;
    *slot = BlockSlot{};
    --dropped_;
    bytes += length(block);
  }
  return bytes;
}

BlobEntry::Awaited BlobEntry::await_block(std::uint64_t block) {
  MutexLock lock(mutex_);
  if (awaited_ != kNoBlock && awaited_ > block) return Awaited::kComing;
  const bool here = is_here(block);
  awaited_ = here ? block + 1 : block;
  return here ? Awaited::kHere : Awaited::kAbsent;
}

bool BlobEntry::is_here(std::uint64_t block) const {
  const BlockSlot* slot = blocks_.find(block);
  return pending_.contains(block) || (slot != nullptr && slot->present());
}

void BlobEntry::await_none() {
  MutexLock lock(mutex_);
  awaited_ = kNoBlock;
}

bool BlobEntry::all_here() const {
  MutexLock lock(mutex_);
  return total_bytes() == size();
}

void BlobEntry::expect_verdict() {
  MutexLock lock(mutex_);
  verdict_due_ = true;
}

bool BlobEntry::lost_before_verdict() {
  MutexLock lock(mutex_);
  return total_bytes() != size() && std::exchange(verdict_due_, false);
}

bool BlobEntry::trust(std::uint64_t generation) {
  MutexLock lock(mutex_);
  if (generation_.load() != generation || total_bytes() != size()) return false;
  trusted_fill_ = counters_.fill.load() - 1;  // every fill given so far
  trusted_bytes_ += owned_bytes_;
  owned_bytes_ = 0;
  verified_ = true;
  verdict_due_ = false;
  stamp_unchecked_ = false;
  stamp_.reset();
  return true;
}

std::optional<FileStamp> BlobEntry::stamp_to_check() const {
  MutexLock lock(mutex_);
  return stamp_unchecked_ ? stamp_ : std::nullopt;
}

void BlobEntry::stamp_checked(bool right) {
  MutexLock lock(mutex_);
  if (!stamp_unchecked_) return;
  stamp_unchecked_ = false;
  verified_ = right;
  if (!right) stamp_.reset();
}

std::vector<std::uint64_t> BlobEntry::committable(
    std::span<const std::pair<std::uint64_t, std::uint64_t>> blocks) const {
  MutexLock lock(mutex_);
  std::vector<std::uint64_t> found;
  for (const auto& [block, fill] : blocks) {
    const BlockSlot* slot = blocks_.find(block);
    if (slot == nullptr || slot->state != BlockState::kWritten || slot->fill != fill) continue;
    found.push_back(block);
  }
  return found;
}

void BlobEntry::indexed(std::span<const std::uint64_t> blocks) {
  MutexLock lock(mutex_);
  for (const std::uint64_t block : blocks) {
    BlockSlot* slot = blocks_.find(block);
    if (slot == nullptr || slot->state != BlockState::kWritten) continue;
    slot->state = BlockState::kIndexed;
    slot->checked = false;  // what was checked may have been the page cache's, and not the disk's
    left_written(block);
  }
}

bool BlobEntry::stampable() const {
  MutexLock lock(mutex_);
  return verified_ && !stamp_ && pending_.empty() && written_ == 0 && total_bytes() == size();
}

bool BlobEntry::stamp(const FileStamp& stamp, std::uint64_t generation) {
  MutexLock lock(mutex_);
  if (generation_.load() != generation || !verified_) return false;
  stamp_ = stamp;
  was_sealed_ = true;
  return true;
}

BlobRecord BlobEntry::record() const {
  MutexLock lock(mutex_);
  return {number_, owner_, trusted_fill_, verified_ ? stamp_ : std::nullopt};
}

std::optional<BlockRecord> BlobEntry::block_record(std::uint64_t block) const {
  MutexLock lock(mutex_);
  const BlockSlot* slot = blocks_.find(block);
  if (slot == nullptr || !slot->present()) return std::nullopt;
  return BlockRecord{static_cast<std::uint32_t>(length(block)), slot->checksum, slot->fill,
                     slot->epoch, slot->hot};
}

bool BlobEntry::has_blocks() const {
  MutexLock lock(mutex_);
  return stored_ > 0;
}

std::vector<std::uint64_t> BlobEntry::take_touched(std::uint64_t& first) {
  constexpr std::uint64_t kAtOnce = 1024;
  MutexLock lock(mutex_);
  std::vector<std::uint64_t> touched;
  first = blocks_.for_some(first, kAtOnce, [&](std::uint64_t block, BlockSlot& slot) {
    if (slot.state != BlockState::kIndexed || !slot.touched) return;
    slot.touched = false;
    touched.push_back(block);
  });
  return touched;
}

std::vector<std::uint64_t> BlobEntry::blocks_on_disk() const {
  MutexLock lock(mutex_);
  std::vector<std::uint64_t> found;
  blocks_.for_each([&](std::uint64_t block, const BlockSlot&) { found.push_back(block); });
  return found;
}

void BlobEntry::load(const BlobRecord& record) {
  MutexLock lock(mutex_);
  owner_ = record.owner;
  trusted_fill_ = record.trusted_fill;
  stamp_ = record.verified;
  verified_ = stamp_unchecked_ = stamp_.has_value();
  was_sealed_ = verified_;
}

void BlobEntry::load_verified() {
  MutexLock lock(mutex_);
  verified_ = total_bytes() == size();
}

void BlobEntry::load_use(std::uint64_t block, const UseRecord& record) {
  MutexLock lock(mutex_);
  BlockSlot* slot = blocks_.find(block);
  if (slot == nullptr || !slot->present()) return;
  slot->epoch = last_epoch_ = record.epoch;
  slot->entered = seconds_of(record.epoch);
  slot->hot = record.hot;
}

void BlobEntry::load_block(std::uint64_t block, const BlockRecord& record) {
  MutexLock lock(mutex_);
  BlockSlot& slot = blocks_.at(block);
  if (slot.state != BlockState::kAbsent) return;
  slot = BlockSlot{
      record.checksum,      record.fill,       record.epoch,      seconds_of(record.epoch),
      BlockState::kIndexed, /*checked=*/false, /*touched=*/false, record.hot};
  last_epoch_ = std::max(last_epoch_, record.epoch);
  ++stored_;
  ++counters_.blocks;
  count_in(block, record.fill);
}

}  // namespace hubvfs::cache
