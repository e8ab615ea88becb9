// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

namespace hubvfs::cache {

enum class BlockState : std::uint8_t {
  kAbsent,
  kWritten,  // in the data file, not in the index yet
  kIndexed,
  kDropped,  // gone for readers; its hole is not punched yet
};

struct BlockSlot {
  std::uint64_t checksum = 0;
  std::uint64_t fill = 0;
  std::uint64_t epoch = 0;
  std::uint32_t entered = 0;  // seconds of the clock that day, when it came in
  BlockState state = BlockState::kAbsent;
  bool checked : 1 = false;  // its checksum was found right, since it is in this state
  bool touched : 1 = false;  // its epoch or `hot` is newer than the index's
  bool hot : 1 = false;      // used again, some time after it had come in
  bool over : 1 = false;     // what was dropped lies below what was written

  bool present() const { return state == BlockState::kWritten || state == BlockState::kIndexed; }
};

// The blocks of one blob that have a state: memory follows what is cached, not what a listing
// claims the size to be. Not thread-safe.
class BlockTable {
 public:
  explicit BlockTable(std::uint64_t block_count) : block_count_(block_count) {}

  const BlockSlot* find(std::uint64_t block) const {
    if (block >= block_count_) return nullptr;
    const auto at = chunks_.find(block / kChunk);
    return at == chunks_.end() ? nullptr : &at->second[block % kChunk];
  }
  BlockSlot* find(std::uint64_t block) {
    return const_cast<BlockSlot*>(std::as_const(*this).find(block));
  }
  // `block` lies within the blob.
  BlockSlot& at(std::uint64_t block) {
    auto& chunk = chunks_[block / kChunk];
    if (chunk == nullptr) chunk = std::make_unique<BlockSlot[]>(chunk_size(block / kChunk));
    return chunk[block % kChunk];
  }
  // visit(block, slot) for each that is not absent, in order.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for_some(0, UINT64_MAX, visit);
  }
  // The same for about `most` blocks from `first` on. Returns where to go on; UINT64_MAX: that was
  // the end.
  template <typename Visit>
  std::uint64_t for_some(std::uint64_t first, std::uint64_t most, Visit&& visit) const {
    std::uint64_t seen = 0;
    for (auto at = chunks_.lower_bound(first / kChunk); at != chunks_.end(); ++at) {
      if (seen >= most) return at->first * kChunk;
      const std::size_t size = chunk_size(at->first);
      for (std::size_t i = 0; i < size; ++i) {
        BlockSlot& slot = at->second[i];
        if (slot.state != BlockState::kAbsent) visit(at->first * kChunk + i, slot);
      }
      seen += size;
    }
    return UINT64_MAX;
  }

 private:
  static constexpr std::uint64_t kChunk = 64;
  // Most blobs have few blocks: they need not have room for 64.
  std::size_t chunk_size(std::uint64_t number) const {
    return static_cast<std::size_t>(std::min(kChunk, block_count_ - number * kChunk));
  }

  const std::uint64_t block_count_;
  std::map<std::uint64_t, std::unique_ptr<BlockSlot[]>> chunks_;
};

}  // namespace hubvfs::cache
