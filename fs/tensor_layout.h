// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace hubvfs::fs {

// Where the tensors of a model file lie, as the header of a .safetensors or .gguf file says.
//
// A hint for read-ahead: what a header says is believed in this only, so that a hostile one costs
// bytes that nobody reads and nothing else. Immutable, so thread-safe.
class TensorLayout {
 public:
  enum class Format { kSafetensors, kGguf };
  static constexpr std::uint64_t kMaxHeader = 16u << 20;  // bytes; a larger one gives no layout

  // By the end of the name; none: not a file that has such a header.
  static std::optional<Format> format_of(std::string_view path);

  // What the first bytes of a file tell.
  struct Outcome {
    std::shared_ptr<const TensorLayout> layout;
    std::uint64_t needs = 0;  // bytes of the file's beginning that may tell more; 0: nothing will
  };
  // `head`: the first bytes of a file of `file_size`. A header that is damaged, or says what cannot
  // be (tensors that overlap or lie beyond the end), gives no layout and needs nothing.
  static Outcome parse(Format format, ByteView head, std::uint64_t file_size);

  // The tensor that `offset` lies in, or the header, or a gap between tensors; for an `offset`
  // within the file never empty.
  ByteRange extent_at(std::uint64_t offset) const;
  std::uint64_t header_end() const { return bounds_[1]; }

 private:
  explicit TensorLayout(std::vector<std::uint64_t> bounds) : bounds_(std::move(bounds)) {}
  // `tensors` in any order, with offsets from the file's start, none before `header_end`.
  static Outcome of(std::uint64_t header_end, std::vector<ByteRange> tensors,
                    std::uint64_t file_size);
  static Outcome parse_safetensors(ByteView head, std::uint64_t file_size);
  static Outcome parse_gguf(ByteView head, std::uint64_t file_size);

  std::vector<std::uint64_t> bounds_;  // rising, from 0 to the file's size: where extents meet
};

}  // namespace hubvfs::fs
