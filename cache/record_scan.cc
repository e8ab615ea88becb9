// SPDX-License-Identifier: Apache-2.0
#include "cache/record_scan.h"

#include <algorithm>

#include "cache/directory.h"
#include "cache/record_log.h"

namespace hubvfs::cache {
namespace {
constexpr std::uint64_t kWindow = 256u << 10;
}  // namespace

ByteView RecordScan::view(std::uint64_t offset, std::uint64_t size) {
  if (!failure_ || offset > file_size_ || size > file_size_ - offset) return {};
  if (offset < window_offset_ || offset + size > window_offset_ + window_.size()) {
    window_.resize(std::min(std::max(kWindow, size), file_size_ - offset));
    window_offset_ = offset;
    failure_ = read_fully(fd_, window_, offset);
    if (!failure_) {
      window_.clear();
      return {};
    }
  }
  return ByteView(window_).subspan(offset - window_offset_, size);
}

std::optional<RecordScan::Record> RecordScan::record_at(std::uint64_t offset) {
  const ByteView head = view(offset, kRecordHeaderSize);
  if (head.empty()) return std::nullopt;
  const auto header = decode_record_header(head);
  if (!header || header->key_size == 0 || header->key_size > RecordLog::kMaxKey ||
      header->value_size > RecordLog::kMaxValue) {
    return std::nullopt;
  }
  const Bytes fields(head.begin(), head.begin() + 24);
  const ByteView key = view(offset + kRecordHeaderSize, header->key_size);
  if (key.empty() || checksum64(salt_, fields, key) != header->header_checksum) return std::nullopt;
  Record record{offset, header->kind, std::string(as_text(key)), header->value_size,
                header->value_checksum};
  const std::uint64_t value_offset = offset + kRecordHeaderSize + header->key_size;
  if (value_offset + header->value_size > file_size_) return std::nullopt;
  if (offset + record_size(header->key_size, header->value_size) > synced_) {
    const ByteView value = view(value_offset, header->value_size);
    if (checksum64(salt_, as_bytes(record.key), value) != header->value_checksum) {
      return std::nullopt;
    }
  }
  return record;
}

void RecordScan::skip() {
  if (!in_damage_) {
    ++skipped_places_;
    if (position_ >= synced_ && !first_unsynced_damage_) first_unsynced_damage_ = position_;
  }
  in_damage_ = true;
  const std::uint64_t step = std::min(kRecordAlignment, file_size_ - position_);
  skipped_bytes_ += step;
  position_ += step;
}

std::optional<RecordScan::Record> RecordScan::next() {
  while (failure_ && position_ < file_size_) {
    if (auto record = record_at(position_)) {
      in_damage_ = false;
      position_ += record_size(record->key.size(), record->value_size);
      return record;
    }
    if (!failure_) break;
    skip();
  }
  return std::nullopt;
}

}  // namespace hubvfs::cache
