// SPDX-License-Identifier: Apache-2.0
#include "fs/read_ahead.h"

#include <algorithm>

namespace hubvfs::fs {
namespace {
constexpr std::size_t kCursors = 16;
constexpr std::uint64_t kReach = 1u << 20;
constexpr std::uint64_t kSteadyWindow = 8u << 20;
constexpr std::uint64_t kMaxWindow = 32u << 20;
}  // namespace

ReadAhead::ReadAhead(std::uint64_t blob_size, std::uint64_t block_size, std::uint64_t budget)
    : blob_size_(blob_size),
      block_size_(block_size),
      max_window_(std::max(block_size, std::min(budget, kMaxWindow))) {}

ReadAhead::Cursor& ReadAhead::cursor_for(ByteRange range) {
  for (Cursor& cursor : cursors_) {
    if (range.begin + kReach >= cursor.position && range.begin <= cursor.position + kReach) {
      return cursor;
    }
  }
  const Cursor fresh{.start = range.begin, .position = range.begin};
  if (cursors_.size() < kCursors) return cursors_.emplace_back(fresh);
  return *std::min_element(cursors_.begin(), cursors_.end(), [](const Cursor& a, const Cursor& b) {
    return a.used < b.used;
  }) = fresh;
}

void ReadAhead::widen(Cursor& cursor, bool waited) const {
  if (waited) cursor.window *= 2;
  cursor.window = std::max(cursor.window, std::min(cursor.run / 2, kSteadyWindow));
  cursor.window = std::min(cursor.window, max_window_);
}

ByteRange ReadAhead::on_read(ByteRange range, bool waited, std::uint64_t room) {
  Cursor& cursor = cursor_for(range);
  cursor.used = ++tick_;
  if (range.end > cursor.position) cursor.run += range.end - cursor.position;
  cursor.position = std::max(cursor.position, range.end);
  if (cursor.window == 0) {
    if (cursor.run <= (cursor.start == 0 ? 1 : 3) * block_size_) return {};
    cursor.window = block_size_;
  } else {
    widen(cursor, waited);
  }
  const auto aligned_up = [&](std::uint64_t at) {
    return std::min(blob_size_, (at + block_size_ - 1) / block_size_ * block_size_);
  };
  const std::uint64_t next = aligned_up(cursor.position);
  const std::uint64_t begin = std::max(cursor.asked, next);
  std::uint64_t end = aligned_up(cursor.position + cursor.window);
  if (begin < end && end - begin > room) end = begin + room / block_size_ * block_size_;
  // Half a window at a time, so that requests grow with the window instead of being a block each.
  const std::uint64_t least = std::max(block_size_, cursor.window / 2);
  if (begin >= end || (end - begin < least && end < blob_size_ && begin > next)) return {};
  cursor.asked = end;
  return {begin, end};
}

}  // namespace hubvfs::fs
