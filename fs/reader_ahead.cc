// SPDX-License-Identifier: Apache-2.0
// The part of ReaderCore that decides what is fetched beyond what is read.
#include <algorithm>
#include <optional>

#include "fs/reader_core.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kWindow = 32u << 20;  // what one reader may have under way on any link
constexpr std::uint64_t kShare = 3;
constexpr std::uint64_t kMaxLooked = 4096;  // blocks that one read looks at for a missing one

}  // namespace

// Each blob may have three times as much under way as is left for all: the only one read has most
// of the budget, each of many its share, and there is always some for one more.
std::uint64_t ReaderCore::ahead_room(std::uint64_t under_way) {
  std::uint64_t left = 0;
  {
    MutexLock lock(mutex_);
    left = ahead_budget() - std::min(ahead_budget(), reserved_);
  }
  return (kShare * left - std::min(kShare * left, under_way)) / (kShare + 1);
}

void ReaderCore::plan_read_ahead(const std::shared_ptr<OpenBlob>& blob, const ReadSeen& read) {
  // Of a file that is all here the next one may still be to begin: it came faster than it is read.
  if (blob->one_block() || (blob->stored->complete() && !blob->has_next)) return;
  if (blob->layout_needs != 0) learn_layout(*blob);
  const hub::FetchAdvice advice = blob->hub.advice();
  ReadAhead::Means means;
  means.piece = part_bytes(advice);
  means.window = std::max(kWindow, 2 * advice.part_bytes * static_cast<unsigned>(advice.parallel));
  means.window = std::min(means.window, ahead_budget());
  means.kept = *blob->kept;
  means.fast = advice.fast;
  Parts parts;
  std::optional<hub::FileRef> next;
  {
    MutexLock lock(blob->mutex);
    means.under_way = blob->fetching.size() * blob->block_size;
    means.room = ahead_room(means.under_way);
    const ReadAhead::Plan plan = blob->read_ahead.on_read(read, means);
    add_missing(blob, plan.ahead, parts);
    if (plan.sweep && !layout_comes(*blob)) sweep(blob, *plan.sweep, parts);
    if (plan.ends_soon) {
      next.swap(blob->next);
      blob->has_next = false;
    }
  }
  enqueue(parts);
  if (next) begin_next(*blob, *next);
}

// With the blob's mutex held.
void ReaderCore::add_missing(const std::shared_ptr<OpenBlob>& blob, ByteRange range,
                             Parts& parts) NO_THREAD_SAFETY_ANALYSIS {
  for (std::uint64_t at = range.begin; at < range.end; at += blob->block_size) {
    const std::uint64_t block = at / blob->block_size;
    if (blob->fetching.contains(block) || blob->stored->has(block)) continue;
    add_block(blob, block, hub::Priority::kReadAhead, parts);
  }
}

// With the blob's mutex held.
void ReaderCore::sweep(const std::shared_ptr<OpenBlob>& blob, const ReadStorm::Sweep& sweep,
                       Parts& parts) NO_THREAD_SAFETY_ANALYSIS {
  const std::uint64_t size = blob->block_size;
  const std::uint64_t blocks = (sweep.within.size() + size - 1) / size;
  const auto priority = sweep.urgent ? hub::Priority::kDemand : hub::Priority::kReadAhead;
  std::uint64_t at = sweep.from;
  std::uint64_t asked = 0;
  for (std::uint64_t i = 0; i < std::min(blocks, kMaxLooked) && asked + size <= sweep.most; ++i) {
    const std::uint64_t block = at / size;
    if (!blob->fetching.contains(block) && !blob->stored->has(block)) {
      add_block(blob, block, priority, parts);
      parts.back()->hedged = !sweep.urgent;  // it is large, and nobody waits for its first byte
      asked += size;
    }
    at = at + size < sweep.within.end ? at + size : sweep.within.begin;
  }
  blob->read_ahead.swept(asked, at);
}

// With the blob's mutex held. Whether it is known in a moment which tensor a storm is in: until
// then the whole file would be what it gets.
bool ReaderCore::layout_comes(const OpenBlob& blob) NO_THREAD_SAFETY_ANALYSIS {
  const std::uint64_t needs = std::min(blob.layout_needs.load(), blob.size);
  for (std::uint64_t at = 0; at < needs; at += blob.block_size) {
    const std::uint64_t block = at / blob.block_size;
    if (!blob.fetching.contains(block) && !blob.stored->has(block)) return false;
  }
  return needs != 0;
}

// From bytes that came for a reader: none is asked for.
void ReaderCore::learn_layout(OpenBlob& blob) {
  const std::uint64_t needs = std::min(blob.layout_needs.load(), blob.size);
  const std::uint64_t blocks = (needs + blob.block_size - 1) / blob.block_size;
  for (std::uint64_t block = 0; block < blocks; ++block) {
    if (!blob.stored->has(block)) return;
  }
  if (blob.learning_layout.exchange(true)) return;
  Bytes head(std::min(blocks * blob.block_size, blob.size));
  TensorLayout::Outcome found{nullptr, needs};
  if (blob.stored->read(0, head)) found = TensorLayout::parse(*blob.format, head, blob.size);
  if (found.layout) {
    MutexLock lock(blob.mutex);
    blob.read_ahead.set_layout(found.layout);
  }
  blob.layout_needs = found.needs;
  blob.learning_layout = false;
}

// The first window of what is read next, as much as there is room for.
void ReaderCore::begin_next(OpenBlob& blob, const hub::FileRef& next) {
  const auto opened = find_or_make(blob.stored->key().space, next, blob.hub);
  if (!opened) return;
  const std::uint64_t first = std::min({(*opened)->size, kWindow, ahead_room(0)});
  Parts parts;
  {
    MutexLock lock((*opened)->mutex);
    if (!(*opened)->refused) add_missing(*opened, {0, first}, parts);
  }
  enqueue(parts);
}

}  // namespace hubvfs::fs
