// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "cache/record_format.h"

namespace hubvfs::cache {

// Walks the records of a log file from its start, past anything that is none.
//
// Before `synced` values are skipped over unread, since they were on disk when that was written
// down (get() checks them); behind it each value's checksum is checked here. Not thread-safe.
class RecordScan {
 public:
  struct Record {
    std::uint64_t offset = 0;
    RecordKind kind = RecordKind::kPut;
    std::string key;
    std::uint32_t value_size = 0;
    std::uint64_t value_checksum = 0;
  };

  RecordScan(int fd, std::uint64_t file_size, std::uint64_t salt, std::uint64_t synced)
      : fd_(fd), file_size_(file_size), salt_(salt), synced_(synced) {}

  // None at the end, or after a failure.
  std::optional<Record> next();

  Result<void> failure() const { return failure_; }
  std::uint64_t skipped_bytes() const { return skipped_bytes_; }
  std::uint64_t skipped_places() const { return skipped_places_; }
  // The first damaged place at or behind `synced`.
  std::optional<std::uint64_t> first_unsynced_damage() const { return first_unsynced_damage_; }

 private:
  std::optional<Record> record_at(std::uint64_t offset);
  // A view of these bytes of the file, valid until the next call; empty past its end.
  ByteView view(std::uint64_t offset, std::uint64_t size);
  void skip();

  const int fd_;
  const std::uint64_t file_size_;
  const std::uint64_t salt_;
  const std::uint64_t synced_;
  std::uint64_t position_ = kLogHeaderSize;
  Bytes window_;
  std::uint64_t window_offset_ = 0;
  bool in_damage_ = false;
  std::uint64_t skipped_bytes_ = 0;
  std::uint64_t skipped_places_ = 0;
  std::optional<std::uint64_t> first_unsynced_damage_;
  Result<void> failure_;
};

}  // namespace hubvfs::cache
