// SPDX-License-Identifier: Apache-2.0
// The part of ReaderCore that has blocks fetched, in order of need and within its memory.
#include <algorithm>
#include <cstring>

#include "base/digest.h"
#include "cache/names.h"
#include "fs/reader_core.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kFirstBackoff = std::chrono::seconds(1);
constexpr Duration kMaxBackoff = std::chrono::seconds(30);
constexpr Duration kMaxDenial = std::chrono::seconds(10);  // a grant comes without notice
constexpr std::size_t kRememberedFailures = 256;

}  // namespace

void ReaderCore::enqueue(const Parts& parts) {
  if (parts.empty()) return;
  {
    MutexLock lock(mutex_);
    for (const PartPtr& part : parts) {
      const auto behind = [&](const PartPtr& other) {
        return other->priority.load() > part->priority.load();
      };
      queued_.insert(std::find_if(queued_.begin(), queued_.end(), behind), part);
    }
  }
  start_queued();
}

// Starts what the memory budget allows, in order: no part overtakes one that waits for memory. Of a
// content that comes faster than the store takes it nothing is started: it would fill the budget.
void ReaderCore::start_queued() {
  for (;;) {
    PartPtr part;
    {
      MutexLock lock(mutex_);
      const auto next = std::find_if(queued_.begin(), queued_.end(), [this](const PartPtr& queued) {
        return *queued->blob->kept < kept_limit();
      });
      if (next == queued_.end()) return;
      const std::uint64_t bytes = (*next)->bytes;
      // A part that nobody waits for leaves half to those that somebody will.
      const bool prefetch = (*next)->priority.load() >= hub::Priority::kPrefetch;
      const std::uint64_t budget = options_.memory_budget / (prefetch ? 2 : 1);
      if (reserved_ != 0 && reserved_ + bytes > budget) return;
      reserved_ += bytes;
      part = *next;
      queued_.erase(next);
    }
    start(part);
  }
}

// With its head, which needs no memory of its own: in the queue it might wait for memory that is
// given back when it has come.
void ReaderCore::start(const PartPtr& part) {
  OpenBlob& blob = *part->blob;
  PartPtr head;
  hub::FetchRequest request;
  request.file = blob.file;
  request.range = part->range;
  request.hedged = part->hedged;
  request.deadline = clock_.now() + options_.read_deadline;
  request.on_bytes = [self = shared_from_this(), part](std::uint64_t offset, ByteView bytes) {
    self->on_bytes(*part, offset, bytes);
  };
  request.on_done = [self = shared_from_this(), part](const Result<void>& result) {
    self->on_done(*part, result);
  };
  {
    MutexLock lock(blob.mutex);
    for (const BlockFetchPtr& fetch : part->blocks) {
      if (!fetch->data) fetch->data = reserved_buffer(blob.block_length(fetch->block));
    }
    const BlockFetch& first = *part->blocks.front();
    if (part != first.head) head = first.head;
    request.priority = part->priority;
    part->progress = clock_.awake();
  }
  const hub::Priority asked = request.priority;
  const hub::FetchId id = blob.hub.fetch(std::move(request));
  {
    MutexLock lock(blob.mutex);
    part->id = id;
  }
  // Whoever made it urgent meanwhile found neither an id nor a place in the queue.
  if (part->priority != asked) blob.hub.raise_priority(id, part->priority);
  if (head) start(head);
}

void ReaderCore::make_urgent(const PartPtr& part, std::optional<hub::FetchId> id) {
  if (id) return part->blob->hub.raise_priority(*id, hub::Priority::kDemand);
  MutexLock lock(mutex_);
  const auto it = std::find(queued_.begin(), queued_.end(), part);
  if (it == queued_.end()) return;
  queued_.erase(it);
  queued_.push_front(part);
}

void ReaderCore::on_bytes(Part& part, std::uint64_t offset, ByteView bytes) {
  OpenBlob& blob = *part.blob;
  while (!bytes.empty()) {
    const std::uint64_t block = offset / blob.block_size;
    const BlockFetchPtr fetch = part.blocks.at(block - part.blocks.front()->block);
    const std::size_t length = blob.block_length(block);
    const std::size_t at = offset - block * blob.block_size;
    const ByteView taken = bytes.first(std::min(bytes.size(), length - at));
    if (at == 0 || at == fetch->start) {  // the first of them: of the block, or of one of two parts
      MutexLock lock(blob.mutex);
      if (fetch->data->empty()) *fetch->data = buffers_->take(length);
    }
    std::memcpy(fetch->data->data() + at, taken.data(), taken.size());
    offset += taken.size();
    bytes = bytes.subspan(taken.size());
    bool complete = false;
    bool is_last = false;
    std::vector<Waiter> served;
    {
      MutexLock lock(blob.mutex);
      const bool of_head = &part == fetch->head.get();
      (of_head ? fetch->head_filled : fetch->filled) = at + taken.size();
      complete = fetch->filled == length && fetch->head_filled == fetch->start;
      is_last = complete && !blob.one_block() && blob.stored->cached_bytes() + length == blob.size;
      if (is_last) blob.await_verdict(block, clock_.awake());  // before anybody can have its end
      part.progress = clock_.awake();
      if (!complete && !blob.one_block()) {
        const auto ready =
            std::partition(fetch->waiters.begin(), fetch->waiters.end(),
                           [&](const Waiter& waiter) { return !fetch->has(waiter.range); });
        served.assign(std::make_move_iterator(ready),
                      std::make_move_iterator(fetch->waiters.end()));
        fetch->waiters.erase(ready, fetch->waiters.end());
      }
    }
    deliver(*fetch->data, served);
    if (complete) block_complete(blob, fetch, is_last);
  }
}

void ReaderCore::block_complete(OpenBlob& blob, const BlockFetchPtr& fetch, bool is_last) {
  if (blob.one_block()) {
    Digest digest = Digest::for_content(blob.file.content);
    digest.update(*fetch->data);
    const std::string found = digest.finish_hex();
    if (found != blob.file.content.hex()) {
      on_verdict(blob.stored->key(), cache::wrong_hash(blob.file.content, found));
      return refetch(fetch->part->blob, fetch);
    }
  }
  fetched_.fetch_add(1, std::memory_order_relaxed);
  hand_over(blob, *fetch);
  const bool verdict_follows = blob.stored->put(fetch->block, fetch->data);
  if (is_last && !verdict_follows) release_held(blob, {});  // it, or another, is not kept
  std::vector<Waiter> served;
  {
    MutexLock lock(blob.mutex);
    served.swap(fetch->waiters);
    no_longer_fetching(blob, fetch);
    blob.failed.erase(fetch->block);
  }
  deliver(*fetch->data, served);
}

// Once more, or, when it came wrong twice, an error for those who wait.
void ReaderCore::refetch(const std::shared_ptr<OpenBlob>& blob, const BlockFetchPtr& fetch) {
  Parts parts;
  std::vector<Waiter> waiters;
  std::optional<Error> refused;
  {
    MutexLock lock(blob->mutex);
    waiters.swap(fetch->waiters);
    no_longer_fetching(*blob, fetch);
    refused = blob->refused;
    if (!refused && !waiters.empty()) {
      add_block(blob, fetch->block, hub::Priority::kDemand, parts)->waiters.swap(waiters);
    }
  }
  if (refused) fail_waiters(waiters, *refused);
  enqueue(parts);
}

// With the blob's mutex held. Where one part failed, the block may be on its way once more while
// the other part of the first fetch still comes.
void ReaderCore::no_longer_fetching(OpenBlob& blob,
                                    const BlockFetchPtr& fetch) NO_THREAD_SAFETY_ANALYSIS {
  const auto it = blob.fetching.find(fetch->block);
  if (it == blob.fetching.end() || it->second != fetch) return;
  blob.fetching.erase(it);
  if (blob.fetching.empty()) --blobs_fetched_;
}

void ReaderCore::on_done(Part& part, const Result<void>& result) {
  OpenBlob& blob = *part.blob;
  std::vector<Waiter> waiters;
  const Error error =
      result ? Error{ErrorCode::kInternal, "a fetch ended before its last byte"} : result.error();
  std::vector<BlockFetchPtr> ended;  // nothing more comes for them
  std::optional<TimePoint> failed_until;
  {
    MutexLock lock(blob.mutex);
    for (const BlockFetchPtr& fetch : part.blocks) {
      if (--fetch->open_parts == 0) ended.push_back(fetch);
      if (fetch->open_parts > 0 && result) continue;
      no_longer_fetching(blob, fetch);
      if (!fetch->waiters.empty() && error.code != ErrorCode::kCancelled) {
        failed_until = note_failed_block(blob, fetch->block, error);
      }
      std::move(fetch->waiters.begin(), fetch->waiters.end(), std::back_inserter(waiters));
      fetch->waiters.clear();
    }
  }
  for (const BlockFetchPtr& fetch : ended) {  // without the lock: buffers are given back
    fetch->part.reset();                      // they refer to each other
    fetch->head.reset();
    fetch->data.reset();
  }
  part.blocks.clear();
  if (failed_until) keep_failing(part.blob, *failed_until);
  fail_waiters(waiters, error);
}

// With the blob's mutex held.
TimePoint ReaderCore::note_failed_block(OpenBlob& blob, std::uint64_t block,
                                        const Error& error) NO_THREAD_SAFETY_ANALYSIS {
  Failure& failure = blob.failed[block];
  failure.backoff =
      failure.backoff.count() == 0
          ? kFirstBackoff
          : std::min(failure.backoff * 2, is_denial(error.code) ? kMaxDenial : kMaxBackoff);
  failure.error = error;
  failure.until = clock_.now() + failure.backoff;
  return failure.until;
}

// Beyond its last close: a program that opens, fails and closes again and again asks no more often
// than one that reads on.
void ReaderCore::keep_failing(const std::shared_ptr<OpenBlob>& blob, TimePoint until) {
  std::shared_ptr<OpenBlob> oldest;  // let go after the lock
  MutexLock lock(mutex_);
  if (closed_) return;
  failing_.emplace_back(blob, until);
  if (failing_.size() <= kRememberedFailures) return;
  oldest = std::move(failing_.front().first);
  failing_.pop_front();
}

void ReaderCore::let_go_of_failing() {
  std::vector<std::shared_ptr<OpenBlob>> past;
  MutexLock lock(mutex_);
  const TimePoint now = clock_.now();
  std::erase_if(failing_, [&](auto& item) {
    if (!closed_ && item.second > now) return false;
    past.push_back(std::move(item.first));
    return true;
  });
}

void ReaderCore::fail_waiters(const std::vector<Waiter>& waiters, const Error& error) {
  for (const Waiter& waiter : waiters) waiter.job->fail(error);
}

std::shared_ptr<Bytes> ReaderCore::reserved_buffer(std::uint64_t size) {
  return {new Bytes, Reservation{weak_from_this(), buffers_, size, {}}};
}

void ReaderCore::Reservation::operator()(Bytes* bytes) const {
  buffers->give_back(std::move(*bytes));
  delete bytes;
  if (kept) *kept -= size;
  if (const auto alive = core.lock()) alive->release(size);
}

// What is counted as kept until the store, too, has let go of it.
void ReaderCore::hand_over(OpenBlob& blob, const BlockFetch& fetch) {
  *blob.kept += fetch.data->size();
  std::get_deleter<Reservation>(fetch.data)->kept = blob.kept;
}

void ReaderCore::release(std::uint64_t bytes) {
  {
    MutexLock lock(mutex_);
    reserved_ -= bytes;
  }
  if (!closed_) start_queued();
}

void ReaderCore::deliver(const Bytes& data, const std::vector<Waiter>& waiters) {
  for (const Waiter& waiter : waiters) {
    if (waiter.range.empty()) {  // a prefetch takes none of them
      waiter.job->piece_arrived();
    } else {
      waiter.job->piece_arrived(ByteView(data).subspan(waiter.range.begin, waiter.range.size()),
                                waiter.out_offset);
    }
  }
}

bool ReaderCore::is_denial(ErrorCode code) {
  return code == ErrorCode::kNotFound || code == ErrorCode::kGated ||
         code == ErrorCode::kPermissionDenied;
}

}  // namespace hubvfs::fs
