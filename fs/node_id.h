// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hubvfs::fs {

// Which part of the tree a node is in: repos by their path, or one type's repos in .hf-cache.
enum class View : std::uint8_t { kTree, kHfModels, kHfDatasets, kHfSpaces };

// A FUSE node id (design, section 4): 1 bit mode, 31 bits serial (2 of them the view), 32 bits
// entry. Nothing in it depends on this process, so ids survive the worker and FORGET needs no
// table.
//
// Serial 0 holds what is no repo's content: the root, owners, symlinks and .hubvfs
// (fs/name_table), or the folders of a view of .hf-cache (fs/hf_view); any other serial is one
// snapshot at one path of the tree, and the entry its position in the stored listing (0: its root).
// Serials are those of the catalog of the view's repo type; each view shows one at one path.
struct NodeId {
  static constexpr int kSerialBits = 29;
  static constexpr std::uint32_t kMaxSerial = (1u << kSerialBits) - 1;

  bool passthrough = false;
  std::uint32_t serial = 0;
  std::uint32_t entry = 0;
  View view = View::kTree;

  static NodeId from_raw(std::uint64_t raw) {
    return {raw >> 63 != 0, static_cast<std::uint32_t>(raw >> 32) & kMaxSerial,
            static_cast<std::uint32_t>(raw), static_cast<View>(raw >> (32 + kSerialBits) & 3)};
  }
  std::uint64_t raw() const { return static_cast<std::uint64_t>(passthrough) << 63 | ino(); }
  // st_ino: the same for both modes of a file.
  std::uint64_t ino() const {
    return static_cast<std::uint64_t>(view) << (32 + kSerialBits) |
           static_cast<std::uint64_t>(serial) << 32 | entry;
  }
  bool operator==(const NodeId&) const = default;
};

// Fixed entries of serial 0. Named ones start at kFirstName.
inline constexpr std::uint32_t kRootEntry = 1;        // FUSE_ROOT_ID
inline constexpr std::uint32_t kControlDirEntry = 2;  // .hubvfs
inline constexpr std::uint32_t kStatusEntry = 3;      // .hubvfs/status.json
inline constexpr std::uint32_t kVersionEntry = 4;     // .hubvfs/version
inline constexpr std::uint32_t kHfCacheEntry = 5;     // .hf-cache
inline constexpr std::uint32_t kFirstName = 16;

}  // namespace hubvfs::fs
