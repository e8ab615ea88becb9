// SPDX-License-Identifier: Apache-2.0
#include "cache/arrived_blocks.h"

#include <iterator>
#include <utility>

namespace hubvfs::cache {
namespace {
constexpr std::uint64_t kBlobsHeld = 4;  // the limit of all, in limits of one
// Before so many blocks to be read back, and not more, what is held is soon hashed.
constexpr std::uint64_t kFewToRead = 8;
}  // namespace

bool ArrivedBlocks::may_hold(const Blob& blob, bool early, bool is_hashed,
                             std::uint64_t bytes) const {
  if (held_ + bytes > kBlobsHeld * limit_) return false;
  if (early && blob.early + bytes > limit_ / 4 * 3) return false;
  const bool goes_soon = is_hashed && !early && blob.to_read <= kFewToRead;
  return goes_soon || blob.held + bytes <= limit_;
}

void ArrivedBlocks::add(const EntryPtr& entry, std::uint64_t block, const BlobEntry::Put& put,
                        std::shared_ptr<const Bytes> bytes, bool is_hashed, Time now,
                        Buffers& removed) {
  auto at = blobs_.find(entry.get());
  if (at != blobs_.end() && at->second.entry.lock() != entry) {
    remove(at, removed);
    at = blobs_.end();
  }
  const Blob none;
  const Blob& before = at == blobs_.end() ? none : at->second;
  const bool held = may_hold(before, put.early, is_hashed, bytes->size());
  if (!held) removed.push_back(std::exchange(bytes, nullptr));
  if (!held && !put.in_order) return;
  if (at == blobs_.end()) {
    at = blobs_.try_emplace(entry.get()).first;
    at->second.entry = entry;
  }
  Blob& blob = at->second;
  blob.newest = now;
  set(blob, block, {put.generation, std::move(bytes), put.early}, removed);
  // What is here behind it is in order now, too, though it may not be held or not be added yet.
  for (std::uint64_t next = block + 1; next < put.next; ++next) {
    const auto known = blob.blocks.find(next);
    if (known == blob.blocks.end() || known->second.generation != put.generation) {
      set(blob, next, {put.generation, nullptr, false}, removed);
    } else if (std::exchange(known->second.early, false)) {
      blob.early -= known->second.bytes->size();
    }
  }
}

void ArrivedBlocks::set(Blob& blob, std::uint64_t block, Arrival arrival, Buffers& removed) {
  const auto before = blob.blocks.find(block);
  if (before != blob.blocks.end()) remove(blob, before, removed);
  if (arrival.bytes) {
    held_ += arrival.bytes->size();
    blob.held += arrival.bytes->size();
    if (arrival.early) blob.early += arrival.bytes->size();
  } else {
    ++blob.to_read;
  }
  blob.blocks[block] = std::move(arrival);
}

std::optional<ArrivedBlocks::Arrival> ArrivedBlocks::take(const EntryPtr& entry,
                                                          std::uint64_t block,
                                                          std::uint64_t generation,
                                                          Buffers& removed) {
  const auto at = blobs_.find(entry.get());
  if (at == blobs_.end()) return std::nullopt;
  Blob& blob = at->second;
  const bool is_it = blob.entry.lock() == entry;
  std::optional<Arrival> found;
  while (!blob.blocks.empty() && !found) {
    const auto first = blob.blocks.begin();
    const bool usable = is_it && first->second.generation == generation && first->first >= block;
    if (usable && first->first > block) return std::nullopt;
    if (usable) found = first->second;
    remove(blob, first, removed);
  }
  if (blob.blocks.empty()) blobs_.erase(at);
  return found;
}

void ArrivedBlocks::remove(Blob& blob, Blocks::iterator at, Buffers& removed) {
  Arrival& arrival = at->second;
  if (arrival.bytes) {
    held_ -= arrival.bytes->size();
    blob.held -= arrival.bytes->size();
    if (arrival.early) blob.early -= arrival.bytes->size();
    removed.push_back(std::move(arrival.bytes));
  } else {
    --blob.to_read;
  }
  blob.blocks.erase(at);
}

ArrivedBlocks::Blobs::iterator ArrivedBlocks::remove(Blobs::iterator at, Buffers& removed) {
  Blob& blob = at->second;
  while (!blob.blocks.empty()) remove(blob, blob.blocks.begin(), removed);
  return blobs_.erase(at);
}

void ArrivedBlocks::forget(const EntryPtr& entry, Buffers& removed) {
  if (const auto at = blobs_.find(entry.get()); at != blobs_.end()) remove(at, removed);
}

void ArrivedBlocks::forget_early(Time then, Buffers& removed) {
  for (auto at = blobs_.begin(); at != blobs_.end();) {
    Blob& blob = at->second;
    if (blob.entry.expired()) {
      at = remove(at, removed);
      continue;
    }
    const bool old = blob.newest <= then;
    for (auto block = blob.blocks.begin(); old && blob.early > 0 && block != blob.blocks.end();) {
      const auto next = std::next(block);
      if (block->second.early) remove(blob, block, removed);
      block = next;
    }
    at = blob.blocks.empty() ? blobs_.erase(at) : std::next(at);
  }
}

}  // namespace hubvfs::cache
