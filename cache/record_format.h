// SPDX-License-Identifier: Apache-2.0
// The bytes of a record log.
//
// File:   magic u64, salt u64, checksum u64 of both; synced size u64, its checksum u64; 24 zero
// bytes. Record: magic u32, kind u32, key size u32, value size u32, checksum u64 of key and value,
// checksum
//         u64 of the fields before and the key; then the key, the value, zeros up to 8 bytes.
// All little-endian. The salt is random and seeds the checksums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "cache/block_checksum.h"

namespace hubvfs::cache {

inline constexpr std::uint64_t kLogMagic = 0x0131'474f'4c56'4248;  // "HBVLOG1\1"
inline constexpr std::size_t kLogHeaderSize = 64;
inline constexpr std::size_t kSyncedOffset = 24;
inline constexpr std::uint32_t kRecordMagic = 0x4352'4248;  // "HBRC"
inline constexpr std::size_t kRecordHeaderSize = 32;
inline constexpr std::uint64_t kRecordAlignment = 8;

enum class RecordKind : std::uint32_t { kPut = 1, kErase = 2 };

struct RecordHeader {
  RecordKind kind = RecordKind::kPut;
  std::uint32_t key_size = 0;
  std::uint32_t value_size = 0;
  std::uint64_t value_checksum = 0;
  std::uint64_t header_checksum = 0;
};

inline std::uint64_t record_size(std::uint64_t key_size, std::uint64_t value_size) {
  const std::uint64_t size = kRecordHeaderSize + key_size + value_size;
  return (size + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

// `head`: kRecordHeaderSize bytes. None when they are no header of ours, whatever they are.
inline std::optional<RecordHeader> decode_record_header(ByteView head) {
  ByteReader reader(head);
  if (reader.integer<std::uint32_t>() != kRecordMagic) return std::nullopt;
  RecordHeader header;
  const auto kind = reader.integer<std::uint32_t>();
  if (kind != static_cast<std::uint32_t>(RecordKind::kPut) &&
      kind != static_cast<std::uint32_t>(RecordKind::kErase)) {
    return std::nullopt;
  }
  header.kind = static_cast<RecordKind>(kind);
  header.key_size = reader.integer<std::uint32_t>();
  header.value_size = reader.integer<std::uint32_t>();
  header.value_checksum = reader.integer<std::uint64_t>();
  header.header_checksum = reader.integer<std::uint64_t>();
  return reader.ok() ? std::optional(header) : std::nullopt;
}

}  // namespace hubvfs::cache
