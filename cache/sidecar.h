// SPDX-License-Identifier: Apache-2.0
// The ".map" beside each data file: what is in it, for when the index is lost.
//
// Header (128 bytes): magic u64, block size u64, algorithm u8, hash (32 bytes), size u64, owner (16
// bytes), zeros, and in its last 8 bytes a checksum of all before. Then 16 bytes for each block:
// state u8, a 24-bit check, length u32, checksum u64. The check covers state, block number, length,
// checksum and, unless the block is trusted, the owner: an entry that an older owner left is none.
// Little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "cache/blob_store.h"
#include "cache/endpoint_id.h"

namespace hubvfs::cache {

struct SidecarHeader {
  ContentId content;
  std::uint64_t block_size = 0;
  EndpointId owner;
};

struct SidecarBlock {
  std::uint64_t block = 0;
  bool trusted = false;
  std::uint32_t length = 0;
  std::uint64_t checksum = 0;
};

inline constexpr std::uint64_t kSidecarHeaderSize = 128;
inline constexpr std::uint64_t kSidecarEntrySize = 16;

Bytes encode_sidecar_header(const SidecarHeader& header);
std::optional<SidecarHeader> decode_sidecar_header(ByteView bytes);

// Writes the header and these blocks' entries, which must be in rising order. `fd`: the sidecar.
Result<void> write_sidecar(int fd, const SidecarHeader& header,
                           std::span<const SidecarBlock> blocks);
// Makes these blocks' entries absent; none is written beyond the end of the file.
Result<void> clear_sidecar(int fd, std::span<const std::uint64_t> blocks);

struct Sidecar {
  SidecarHeader header;
  std::vector<SidecarBlock> blocks;  // those present and sound, in order
};
// kCorrupt: not a sidecar, or of another content than `expected`.
Result<Sidecar> read_sidecar(int fd, const ContentId& expected);

}  // namespace hubvfs::cache
