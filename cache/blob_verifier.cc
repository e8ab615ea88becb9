// SPDX-License-Identifier: Apache-2.0
#include "cache/blob_verifier.h"

#include <algorithm>
#include <utility>

#include "base/blocking.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {
constexpr std::size_t kMaxProgress = 4096;  // blobs half hashed
constexpr std::uint64_t kMaxHeld = 64u << 20;
}  // namespace

BlobVerifier::BlobVerifier(StoreContext& context, BlockReader& reader, BlockWriter& writer,
                           IndexCommitter& committer)
    : context_(context), reader_(reader), writer_(writer), committer_(committer) {}

BlobVerifier::~BlobVerifier() { stop(); }

void BlobVerifier::start() {
  thread_ = std::thread([this] { run(); });
}

void BlobVerifier::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool BlobVerifier::stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

void BlobVerifier::look(const EntryPtr& entry) {
  MutexLock lock(mutex_);
  enqueue(entry);
}

void BlobVerifier::take(const EntryPtr& entry, std::uint64_t block, std::uint64_t generation,
                        std::shared_ptr<const Bytes> bytes) {
  MutexLock lock(mutex_);
  if (held_bytes_ + bytes->size() > kMaxHeld) {
    bytes = nullptr;
  } else {
    held_bytes_ += bytes->size();
  }
  enqueue(entry);
  queued_[entry.get()].push_back({block, generation, std::move(bytes)});
}

void BlobVerifier::enqueue(const EntryPtr& entry) {
  if (!queued_.try_emplace(entry.get()).second) return;
  queue_.push_back(entry);
  ++asked_;
  changed_.notify_all();
}

// What changed under a look, for which that look is no verdict.
void BlobVerifier::look_again(const EntryPtr& entry) {
  {
    MutexLock lock(mutex_);
    ++again_;
  }
  look(entry);
}

void BlobVerifier::drain() {
  assert_may_block("the cache's verifier");
  MutexLock lock(mutex_);
  std::uint64_t again = 0;
  do {
    again = again_;
    const std::uint64_t ticket = asked_;
    while (done_ < ticket) changed_.wait(mutex_);
  } while (again_ != again);
}

void BlobVerifier::run() {
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && queue_.empty()) changed_.wait(mutex_);
    if (queue_.empty()) return;
    const EntryPtr entry = std::move(queue_.front());
    queue_.pop_front();
    // Before the look: what comes during it is looked at again.
    Arrivals arrivals = std::move(queued_.extract(entry.get()).mapped());
    mutex_.unlock();
    advance(entry, std::move(arrivals));
    mutex_.lock();
    ++done_;
    changed_.notify_all();
  }
}

void BlobVerifier::let_go(Arrival& arrival) {
  if (arrival.bytes == nullptr) return;
  const std::uint64_t size = arrival.bytes->size();
  arrival.bytes.reset();
  MutexLock lock(mutex_);
  held_bytes_ -= size;
}

void BlobVerifier::let_go(Progress& progress) {
  for (auto& [block, arrival] : progress.arrived) let_go(arrival);
  progress.arrived.clear();
}

// Of half hashed blobs; they are read back when they are whole.
void BlobVerifier::forget_some() {
  for (auto at = progress_.begin(); at != progress_.end();) {
    if (at->second.entry.expired()) {
      let_go(at->second);
      at = progress_.erase(at);
    } else {
      ++at;
    }
  }
  if (progress_.size() < kMaxProgress) return;
  for (auto& [key, progress] : progress_) {
    let_go(progress);
    if (const EntryPtr known = progress.entry.lock()) known->await_none();
  }
  progress_.clear();
}

void BlobVerifier::start_again(Progress& progress, const EntryPtr& entry) {
  let_go(progress);
  entry->await_none();  // what it waited for was for the progress before
  progress = {entry, Digest::for_content(entry->key().content), 0, entry->generation(), {}};
}

BlobVerifier::Progress& BlobVerifier::progress_of(const EntryPtr& entry) {
  if (progress_.size() >= kMaxProgress) forget_some();
  const auto at = progress_.find(entry.get());
  if (at == progress_.end()) {
    Progress fresh{entry, Digest::for_content(entry->key().content), 0, entry->generation(), {}};
    return progress_.emplace(entry.get(), std::move(fresh)).first->second;
  }
  // A retired entry's address may be another's now; and what was hashed may be gone.
  Progress& progress = at->second;
  const std::uint64_t generation = entry->generation();
  if (progress.entry.lock() != entry || progress.generation != generation) {
    start_again(progress, entry);
  }
  return progress;
}

bool BlobVerifier::hash_next(const EntryPtr& entry, Progress& progress) {
  const auto arrived = progress.arrived.find(progress.next);
  if (arrived != progress.arrived.end()) {
    Arrival arrival = std::move(arrived->second);
    progress.arrived.erase(arrived);
    if (arrival.bytes == nullptr) return read_and_hash(entry, progress);
    progress.digest.update(*arrival.bytes);
    ++progress.next;
    let_go(arrival);
    return true;
  }
  switch (entry->await_block(progress.next)) {
    case BlobEntry::Awaited::kHere:
      return read_and_hash(entry, progress);
    case BlobEntry::Awaited::kComing:
      return false;
    case BlobEntry::Awaited::kAbsent:
      let_go(progress);  // none of it is next
      return false;
  }
  return false;
}

bool BlobVerifier::read_and_hash(const EntryPtr& entry, Progress& progress) {
  buffer_.resize(entry->length(progress.next));
  if (!reader_.read(entry, progress.next, 0, buffer_, nullptr)) {
    entry->await_none();
    return false;
  }
  progress.digest.update(buffer_);
  ++progress.next;
  return true;
}

void BlobVerifier::advance(const EntryPtr& entry, Arrivals arrivals) {
  if (entry->verified()) {
    for (Arrival& arrival : arrivals) let_go(arrival);
    store_if_small(entry);
    return;
  }
  Progress& progress = progress_of(entry);
  for (Arrival& arrival : arrivals) {
    const bool taken = arrival.generation == progress.generation &&
                       arrival.block >= progress.next &&
                       progress.arrived.try_emplace(arrival.block, std::move(arrival)).second;
    if (!taken) let_go(arrival);
  }
  // One that changed once is likely to change again (it may be larger than the cache): wait until
  // it is whole.
  if (progress.next == 0 && progress.generation > 1 && !entry->all_here()) {
    entry->await_none();
    let_go(progress);
    if (!entry->all_here()) return not_judged(entry);
  }
  while (progress.next < entry->block_count()) {
    if (!entry->small() && stopping()) return;
    if (!hash_next(entry, progress)) {
      // It lost a block, and may be whole again before anybody waited for that.
      if (entry->generation() != progress.generation && entry->all_here()) {
        return look_again(entry);
      }
      return not_judged(entry);
    }
  }
  let_go(progress);  // what was read back before it was handed over
  Progress whole = std::move(progress);
  progress_.erase(entry.get());
  entry->await_none();
  judge(entry, std::move(whole));
}

void BlobVerifier::judge(const EntryPtr& entry, Progress progress) {
  const ContentId& content = entry->key().content;
  const std::string found = progress.digest.finish_hex();
  Result<void> verdict;
  if (found == content.hex()) {
    if (!entry->trust(progress.generation)) {
      return entry->all_here() ? look_again(entry) : not_judged(entry);
    }
    committer_.verified(entry);
    store_if_small(entry);
  } else {
    auto dropped = entry->drop_all_if(progress.generation);
    if (!dropped) return entry->all_here() ? look_again(entry) : not_judged(entry);
    entry->lost_before_verdict();  // which is what is told here
    writer_.drop(entry, std::move(*dropped));
    verdict = wrong_hash(content, found);
    context_.log.debug("cache: " + verdict.error().context);  // whoever reads it tells more
  }
  on_verdict_(entry->key(), std::move(verdict));
}

// Whoever waits for a verdict need not, when it lost a block: none will come.
void BlobVerifier::not_judged(const EntryPtr& entry) {
  if (!entry->lost_before_verdict()) return;
  on_verdict_(entry->key(), {ErrorCode::kNotFound, "it lost a block before it was judged"});
}

void BlobVerifier::store_if_small(const EntryPtr& entry) {
  if (!entry->small()) return;
  if (const auto fill = entry->pending_fill(0)) writer_.write(entry, 0, *fill, true);
}

}  // namespace hubvfs::cache
