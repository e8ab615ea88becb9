// SPDX-License-Identifier: Apache-2.0
#include "cache/arrived_blocks.h"

#include <iterator>
#include <utility>

namespace hubvfs::cache {
namespace {
constexpr std::uint64_t kBlobsHeld = 4;  // the limit of all, in limits of one
}  // namespace

bool ArrivedBlocks::may_hold(const Blob& blob, bool early, bool is_hashed,
                             std::uint64_t bytes) const {
  if (held_ + bytes > kBlobsHeld * limit_) return false;
  if (early && blob.early + bytes > limit_ / 4 * 3) return false;
  return (is_hashed && !early) || blob.held + bytes <= limit_;
}

void ArrivedBlocks::add(const EntryPtr& entry, std::uint64_t block, const BlobEntry::Put& put,
                        std::shared_ptr<const Bytes> bytes, bool is_hashed, Time now,
                        Buffers& removed) {
  auto at = blobs_.find(entry.get());
  if (at != blobs_.end() && at->second.entry.lock() != entry) {
    remove(at, removed);
    at = blobs_.end();
  }
  const bool held =
      may_hold(at == blobs_.end() ? Blob{} : at->second, put.early, is_hashed, bytes->size());
  if (!held) removed.push_back(std::exchange(bytes, nullptr));
  if (!held && !put.in_order) return;
  if (at == blobs_.end()) at = blobs_.emplace(entry.get(), Blob{entry, now, {}, 0, 0}).first;
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

void ArrivedBlocks::forget_old(Time then, const std::set<const BlobEntry*>& but_for,
                               Buffers& removed) {
  for (auto at = blobs_.begin(); at != blobs_.end();) {
    const bool old = at->second.newest <= then && !but_for.contains(at->first);
    at = old ? remove(at, removed) : std::next(at);
  }
}

}  // namespace hubvfs::cache
