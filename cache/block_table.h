// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
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
  BlockState state = BlockState::kAbsent;
  bool checked = false;  // its checksum was found right in this process's life
  bool touched = false;  // its epoch is newer than the index's

  bool present() const { return state == BlockState::kWritten || state == BlockState::kIndexed; }
};

// The blocks of one blob that have a state: memory follows what is cached, not what a listing
// claims the size to be. Not thread-safe.
class BlockTable {
 public:
  const BlockSlot* find(std::uint64_t block) const {
    const auto at = chunks_.find(block / kChunk);
    return at == chunks_.end() ? nullptr : &(*at->second)[block % kChunk];
  }
  BlockSlot* find(std::uint64_t block) {
    return const_cast<BlockSlot*>(std::as_const(*this).find(block));
  }
  BlockSlot& at(std::uint64_t block) {
    auto& chunk = chunks_[block / kChunk];
    if (chunk == nullptr) chunk = std::make_unique<Chunk>();
    return (*chunk)[block % kChunk];
  }
  // visit(block, slot) for each that is not absent, in order.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [number, chunk] : chunks_) {
      for (std::size_t i = 0; i < kChunk; ++i) {
        BlockSlot& slot = (*chunk)[i];
        if (slot.state != BlockState::kAbsent) visit(number * kChunk + i, slot);
      }
    }
  }

 private:
  static constexpr std::size_t kChunk = 64;
  using Chunk = std::array<BlockSlot, kChunk>;
  std::map<std::uint64_t, std::unique_ptr<Chunk>> chunks_;
};

}  // namespace hubvfs::cache
