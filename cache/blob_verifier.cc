// SPDX-License-Identifier: Apache-2.0
#include "cache/blob_verifier.h"

#include <algorithm>
#include <utility>

#include "base/blocking.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {
constexpr std::size_t kMaxProgress = 4096;  // blobs half hashed
constexpr std::chrono::seconds kMaxAge(1);  // of what came early
}  // namespace

BlobVerifier::BlobVerifier(StoreContext& context, BlockReader& reader, BlockWriter& writer,
                           IndexCommitter& committer, std::uint64_t held_limit)
    : context_(context),
      writer_(writer),
      committer_(committer),
      held_limit_(held_limit),
      read_back_(reader) {}

BlobVerifier::~BlobVerifier() { stop(); }

void BlobVerifier::start() {
  read_back_.start();
  thread_ = std::thread([this] { run(); });
}

void BlobVerifier::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  read_back_.stop();
}

bool BlobVerifier::stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

void BlobVerifier::look(const EntryPtr& entry) {
  MutexLock lock(mutex_);
  enqueue(entry);
}

void BlobVerifier::take(const EntryPtr& entry, std::uint64_t block, const BlobEntry::Put& put,
                        std::shared_ptr<const Bytes> bytes) {
  Buffers removed;
  MutexLock lock(mutex_);
  const std::uint64_t most = put.in_order ? held_limit_ : held_limit_ / 4 * 3;
  const bool fits = held_bytes_ + bytes->size() <= most;
  if (!fits) removed.push_back(std::exchange(bytes, nullptr));
  if (fits || put.in_order) {
    if (arrived_.empty()) changed_.notify_all();  // it looks after how old they are
    Arrivals& arrivals = arrived_[entry.get()];
    if (arrivals.entry.lock() != entry) remove_all(arrivals, removed);
    arrivals.entry = entry;
    arrivals.newest = std::chrono::steady_clock::now();
    const auto at = arrivals.blocks.find(block);
    if (at != arrivals.blocks.end()) remove(arrivals, at, removed);
    if (bytes != nullptr) held_bytes_ += bytes->size();
    arrivals.blocks[block] = {put.generation, std::move(bytes)};
  }
  if (put.in_order) enqueue(entry);
}

void BlobVerifier::enqueue(const EntryPtr& entry) {
  if (!queued_.insert(entry.get()).second) return;
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
    while (!stopping_ && queue_.empty()) {
      if (arrived_.empty()) {
        changed_.wait(mutex_);
      } else {
        changed_.wait_for(mutex_, kMaxAge);
        Buffers old = remove_old();
        mutex_.unlock();
        old.clear();
        mutex_.lock();
      }
    }
    if (queue_.empty()) return;
    const EntryPtr entry = std::move(queue_.front());
    queue_.pop_front();
    queued_.erase(entry.get());  // before the look: what comes during it is looked at again
    mutex_.unlock();
    advance(entry);
    mutex_.lock();
    ++done_;
    changed_.notify_all();
  }
}

// What is next of a blob, if it is in memory. What can no longer be used is let go.
std::optional<BlobVerifier::Arrival> BlobVerifier::take_arrival(const EntryPtr& entry,
                                                                const Progress& progress) {
  Buffers removed;
  MutexLock lock(mutex_);
  const auto arrivals = arrived_.find(entry.get());
  if (arrivals == arrived_.end()) return std::nullopt;
  auto& blocks = arrivals->second.blocks;
  std::optional<Arrival> found;
  while (!blocks.empty() && !found) {
    const auto first = blocks.begin();
    const bool usable = arrivals->second.entry.lock() == entry &&
                        first->second.generation == progress.generation &&
                        first->first >= progress.next;
    if (usable && first->first > progress.next) return std::nullopt;
    if (usable) found = first->second;
    remove(arrivals->second, first, removed);
  }
  if (blocks.empty()) arrived_.erase(arrivals);
  return found;
}

void BlobVerifier::remove(Arrivals& arrivals, std::map<std::uint64_t, Arrival>::iterator at,
                          Buffers& removed) {
  if (at->second.bytes) held_bytes_ -= at->second.bytes->size();
  removed.push_back(std::move(at->second.bytes));
  arrivals.blocks.erase(at);
}

void BlobVerifier::remove_all(Arrivals& arrivals, Buffers& removed) {
  while (!arrivals.blocks.empty()) remove(arrivals, arrivals.blocks.begin(), removed);
}

// Of blobs that nothing comes of any more: what came in order was hashed when it came.
BlobVerifier::Buffers BlobVerifier::remove_old() {
  Buffers removed;
  const auto now = std::chrono::steady_clock::now();
  for (auto at = arrived_.begin(); at != arrived_.end();) {
    const bool old = now - at->second.newest >= kMaxAge && !queued_.contains(at->first);
    if (old) remove_all(at->second, removed);
    at = old ? arrived_.erase(at) : std::next(at);
  }
  return removed;
}

void BlobVerifier::forget_arrivals(const EntryPtr& entry) {
  Buffers removed;
  MutexLock lock(mutex_);
  const auto at = arrived_.find(entry.get());
  if (at == arrived_.end()) return;
  remove_all(at->second, removed);
  arrived_.erase(at);
}

// Of half hashed blobs; they are read back when they are whole.
void BlobVerifier::forget_some() {
  for (auto at = progress_.begin(); at != progress_.end();) {
    at = at->second.entry.expired() ? progress_.erase(at) : std::next(at);
  }
  if (progress_.size() < kMaxProgress) return;
  for (const auto& [key, progress] : progress_) {
    if (const EntryPtr known = progress.entry.lock()) known->await_none();
  }
  progress_.clear();
}

void BlobVerifier::start_again(Progress& progress, const EntryPtr& entry) {
  entry->await_none();  // what it waited for was for the progress before
  progress = {entry, Digest::for_content(entry->key().content), 0, entry->generation()};
}

BlobVerifier::Progress& BlobVerifier::progress_of(const EntryPtr& entry) {
  if (progress_.size() >= kMaxProgress) forget_some();
  const auto at = progress_.find(entry.get());
  if (at == progress_.end()) {
    Progress fresh{entry, Digest::for_content(entry->key().content), 0, entry->generation()};
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
  if (const auto arrival = take_arrival(entry, progress)) {
    if (arrival->bytes == nullptr) return read_and_hash(entry, progress);
    progress.digest.update(*arrival->bytes);
    ++progress.next;
    return true;
  }
  return entry->await_block(progress.next) == BlobEntry::Awaited::kHere &&
         read_and_hash(entry, progress);
}

bool BlobVerifier::read_and_hash(const EntryPtr& entry, Progress& progress) {
  const Bytes* bytes = read_back_.read(entry, progress.next);
  if (bytes == nullptr) {
    entry->await_none();
    return false;
  }
  progress.digest.update(*bytes);
  ++progress.next;
  return true;
}

void BlobVerifier::advance(const EntryPtr& entry) {
  if (entry->verified()) {
    forget_arrivals(entry);
    store_if_small(entry);
    return;
  }
  Progress& progress = progress_of(entry);
  // One that changed once is likely to change again (it may be larger than the cache): wait until
  // it is whole.
  if (progress.next == 0 && progress.generation > 1 && !entry->all_here()) {
    entry->await_none();
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
  forget_arrivals(entry);  // what was read back before it was handed over
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
