// SPDX-License-Identifier: Apache-2.0
#include "fs/read_ahead.h"

#include <algorithm>

namespace hubvfs::fs {
namespace {
constexpr std::size_t kCursors = 16;
constexpr std::uint64_t kReach = 1u << 20;
constexpr std::uint64_t kKernelWindow = 1u << 20;  // what one fault may bring: read_ahead_kb
constexpr std::uint64_t kReachAhead = 16u << 20;
constexpr std::uint64_t kSteadyWindow = 8u << 20;
constexpr std::uint64_t kTensorWindow = 32u << 20;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLeastTensorRun = 256u << 10;  // two pages far apart are no reader of it
constexpr int kWideCursors = 3;
constexpr std::uint64_t kRecent = 64;  // reads
}  // namespace

ReadAhead::ReadAhead(std::uint64_t blob_size, std::uint64_t block_size)
    : blob_size_(blob_size),
      block_size_(block_size),
      storm_(blob_size, block_size),
      front_(block_size) {}

std::uint64_t ReadAhead::aligned_up(std::uint64_t at) const {
  return std::min(blob_size_, (at + block_size_ - 1) / block_size_ * block_size_);
}

ReadAhead::Cursor& ReadAhead::cursor_for(const ReadSeen& read) {
  const ByteRange range = read.range;
  Cursor* nearest = nullptr;
  std::uint64_t least = UINT64_MAX;
  for (Cursor& cursor : cursors_) {
    const bool behind = range.begin < cursor.position;
    const std::uint64_t distance =
        behind ? cursor.position - range.begin : range.begin - cursor.position;
    const bool same_thread = read.thread != 0 && read.thread == cursor.thread;
    std::uint64_t reach = same_thread ? kReachOfThread : kReach;
    if (!behind && cursor.window != 0) reach = kReachAhead;
    if (distance > reach || distance >= least) continue;
    nearest = &cursor;
    least = distance;
  }
  if (nearest != nullptr) return *nearest;
  Cursor fresh;
  fresh.number = ++cursors_made_;
  fresh.start = fresh.position = range.begin;
  if (cursors_.size() < kCursors) return cursors_.emplace_back(fresh);
  return *std::min_element(cursors_.begin(), cursors_.end(), [](const Cursor& a, const Cursor& b) {
    return a.used < b.used;
  }) = fresh;
}

// Which tensor a cursor reads, told by what it read first, and whether it reads on in the next.
void ReadAhead::follow_tensors(Cursor& cursor, ByteRange range) const {
  if (!layout_ || cursor.goes_on) return;
  ByteRange& within = cursor.within;
  const ByteRange before = within;
  if (range.begin < layout_->header_end()) {
    within = layout_->extent_at(0);
  } else if (within.empty()) {
    // A fault makes the kernel read around it: what was meant is in the middle's page.
    within = layout_->extent_at(std::min(range.begin + range.size() / 2 + kPage, range.end) - 1);
  } else if (within.begin == 0) {
    within = layout_->extent_at(range.begin);
  } else if (cursor.position > within.end + kKernelAhead) {
    // A small tensor's neighbour may be what is wanted too, and no more than that.
    cursor.goes_on = within.size() >= kKernelAhead || cursor.run >= 4 * kKernelAhead;
    within = layout_->extent_at(range.begin);
  }
  cursor.touches = within == before ? cursor.touches + 1 : 1;
}

std::uint64_t ReadAhead::limit(const Cursor& cursor) const {
  return cursor.within.empty() || cursor.goes_on ? blob_size_ : aligned_up(cursor.within.end);
}

void ReadAhead::widen(Cursor& cursor, bool waited, const Means& means) const {
  const std::uint64_t most = std::max(block_size_, std::min(means.window, cursor.run));
  if (cursor.window == 0) {
    const bool from_start = cursor.start == 0 && !layout_;
    const std::uint64_t least = std::max(block_size_, kKernelWindow);
    if (cursor.run > (from_start ? 1 : 3) * least) cursor.window = block_size_;
  } else {
    if (waited) cursor.window *= 2;
    cursor.window = std::max(cursor.window, std::min(cursor.run / 2, kSteadyWindow));
  }
  const bool in_tensor = !cursor.within.empty() && !cursor.goes_on && cursor.within.begin != 0;
  cursor.window = std::min(cursor.window, most);
  if (in_tensor && cursor.touches > 1 && cursor.run >= kLeastTensorRun) {
    cursor.window = std::max(cursor.window, kTensorWindow);
  }
}

// How far ahead of a cursor to ask. What the store is slow to take would only become more.
std::uint64_t ReadAhead::distance(const Cursor& cursor, const Means& means) {
  const std::uint64_t left = means.window - std::min(means.window, means.kept);
  return std::min(cursor.window, std::max(kSteadyWindow, left));
}

ByteRange ReadAhead::ask(Cursor& cursor, const Means& means) const {
  if (cursor.window == 0) return {};
  const std::uint64_t last = limit(cursor);
  const std::uint64_t next = aligned_up(cursor.position);
  const std::uint64_t begin = std::max(cursor.asked, next);
  std::uint64_t end = std::min(last, aligned_up(cursor.position + distance(cursor, means)));
  if (begin < end && end - begin > means.room) {
    end = begin + means.room / block_size_ * block_size_;
    cursor.window = std::max(std::min(cursor.window, kSteadyWindow), cursor.window / 2);
  }
  // Pieces, so that requests grow with the window instead of being a block each, but not so large
  // that most of the window has been read when the next is asked for.
  const std::uint64_t least = std::max(block_size_, std::min(cursor.window / 2, means.piece));
  if (begin >= end || (end - begin < least && end < last && begin > next)) return {};
  cursor.asked = end;
  return {begin, end};
}

// Where several read in order and somebody began at the start, so that all is likely to be read: to
// where, which is the end of the tensor that all of them are in, or of the blob. 0: nowhere.
std::uint64_t ReadAhead::read_widely_to() const {
  int going_on = 0;
  bool from_start = false;
  std::uint64_t first = blob_size_;
  std::uint64_t last = 0;
  for (const Cursor& cursor : cursors_) {
    if (cursor.run <= 2 * kKernelAhead) continue;
    from_start = from_start || cursor.start <= kKernelAhead;
    if (tick_ - cursor.used >= kRecent) continue;
    ++going_on;
    first = std::min(first, cursor.position - 1);
    last = std::max(last, cursor.position);
  }
  if (!from_start || going_on < kWideCursors) return 0;
  if (!layout_) return blob_size_;
  const std::uint64_t tensor_end = layout_->extent_at(first).end;
  return last <= tensor_end + kKernelAhead ? aligned_up(tensor_end) : blob_size_;
}

void ReadAhead::swept(std::uint64_t bytes, std::uint64_t next) {
  if (wide_) return front_.swept(bytes, next);
  storm_.swept(bytes, next);
}

ReadAhead::Plan ReadAhead::on_read(const ReadSeen& read, const Means& means) {
  const ByteRange range = read.range;
  Cursor& cursor = cursor_for(read);
  cursor.used = ++tick_;
  cursor.thread = read.thread;
  if (range.end > cursor.position) {
    cursor.run += range.end - std::max(cursor.position, range.begin);
  }
  cursor.position = std::max(cursor.position, range.end);
  follow_tensors(cursor, range);
  widen(cursor, read.waited, means);
  Plan plan;
  const std::uint64_t widely_to = means.fast ? read_widely_to() : 0;
  wide_ = widely_to != 0;
  if (!wide_) plan.ahead = ask(cursor, means);
  const std::uint64_t known = std::max(cursor.asked, aligned_up(cursor.position));
  plan.ends_soon = cursor.run >= blob_size_ / 2 && known == blob_size_;
  const std::uint64_t under_way = means.under_way + plan.ahead.size();
  const std::uint64_t spare = means.window - std::min(means.window, under_way);
  const std::uint64_t room = means.room - std::min(means.room, plan.ahead.size());
  const std::uint64_t piece = std::min(means.piece, room);
  const std::uint64_t most = spare < piece ? 0 : piece;
  plan.sweep = storm_.on_read(read, cursor.number, layout_.get(), most);
  if (wide_) plan.sweep = front_.on_read(range, widely_to, most);
  return plan;
}

}  // namespace hubvfs::fs
