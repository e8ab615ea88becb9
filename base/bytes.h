// SPDX-License-Identifier: Apache-2.0
// Byte ranges, and little-endian integers in byte buffers (every format of ours is little-endian).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hubvfs {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

// Half-open: [begin, end).
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - begin; }
  bool empty() const { return begin >= end; }
  bool operator==(const ByteRange&) const = default;
};

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Appends fixed-width little-endian integers and length-prefixed strings to a growing buffer.
class ByteWriter {
 public:
  template <typename Int>
  void integer(Int value) {
    static_assert(std::is_unsigned_v<Int>);
    for (std::size_t i = 0; i < sizeof(Int); ++i) {
      bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
    }
  }
  void raw(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void string(std::string_view text) {
    integer(static_cast<std::uint32_t>(text.size()));
    raw(as_bytes(text));
  }
  const Bytes& bytes() const { return bytes_; }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads what ByteWriter wrote. Past the end every read gives zero or "" and ok() turns false for
// good, so that a damaged record needs one check at its end.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : rest_(bytes) {}
  template <typename Int>
  Int integer() {
    static_assert(std::is_unsigned_v<Int>);
    Int value = 0;
    ByteView bytes = raw(sizeof(Int));
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      value = static_cast<Int>(value | static_cast<Int>(std::to_integer<Int>(bytes[i]) << (8 * i)));
    }
    return value;
  }
  // A view into the buffer, empty when fewer than `size` bytes are left.
  ByteView raw(std::size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  std::string_view string() { return as_text(raw(integer<std::uint32_t>())); }
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }

 private:
  ByteView rest_;
  bool ok_ = true;
};

}  // namespace hubvfs
