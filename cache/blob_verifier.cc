// SPDX-License-Identifier: Apache-2.0
#include "cache/blob_verifier.h"

#include <chrono>
#include <utility>

#include "base/blocking.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {
constexpr std::size_t kMaxProgress = 4096;    // blobs half hashed
constexpr std::chrono::seconds kMaxEarly(1);  // how long what came early is held
}  // namespace

BlobVerifier::BlobVerifier(StoreContext& context, BlockReader& reader, BlockWriter& writer,
                           IndexCommitter& committer, std::uint64_t held_limit)
    : context_(context),
      writer_(writer),
      committer_(committer),
      read_back_(reader),
      arrived_(held_limit) {}

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
  ArrivedBlocks::Buffers removed;
  MutexLock lock(mutex_);
  if (arrived_.empty()) changed_.notify_all();  // it looks after how old they are
  const bool is_hashed = hashing_ == entry.get() ||
                         (hashing_ == nullptr && (queue_.empty() || queue_.front() == entry));
  arrived_.add(entry, block, put, std::move(bytes), is_hashed, std::chrono::steady_clock::now(),
               removed);
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
        changed_.wait_for(mutex_, kMaxEarly);
        ArrivedBlocks::Buffers old;
        forget_early(old);
        mutex_.unlock();
        old.clear();
        mutex_.lock();
      }
    }
    if (queue_.empty()) return;
    const EntryPtr entry = std::move(queue_.front());
    queue_.pop_front();
    queued_.erase(entry.get());  // before the look: what comes during it is looked at again
    hashing_ = entry.get();
    mutex_.unlock();
    advance(entry);
    mutex_.lock();
    hashing_ = nullptr;
    ++done_;
    changed_.notify_all();
  }
}

std::optional<ArrivedBlocks::Arrival> BlobVerifier::take_arrived(const EntryPtr& entry,
                                                                 const Progress& progress) {
  ArrivedBlocks::Buffers removed;
  MutexLock lock(mutex_);
  forget_early(removed);
  return arrived_.take(entry, progress.next, progress.generation, removed);
}

// Also while it hashes another blob, be that for long.
void BlobVerifier::forget_early(ArrivedBlocks::Buffers& removed) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_forgetting_) return;
  next_forgetting_ = now + kMaxEarly / 2;
  arrived_.forget_early(now - kMaxEarly, removed);
}

void BlobVerifier::forget_arrived(const EntryPtr& entry) {
  ArrivedBlocks::Buffers removed;
  MutexLock lock(mutex_);
  arrived_.forget(entry, removed);
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

// Until it is whole.
void BlobVerifier::give_up(const EntryPtr& entry) {
  entry->await_none();
  forget_arrived(entry);
}

bool BlobVerifier::hash_next(const EntryPtr& entry, Progress& progress) {
  if (const auto arrival = take_arrived(entry, progress)) {
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
    give_up(entry);
    return false;
  }
  progress.digest.update(*bytes);
  ++progress.next;
  return true;
}

void BlobVerifier::advance(const EntryPtr& entry) {
  if (entry->verified()) {
    forget_arrived(entry);
    store_if_small(entry);
    return;
  }
  Progress& progress = progress_of(entry);
  // One that changed once is likely to change again (it may be larger than the cache): wait until
  // it is whole.
  if (progress.next == 0 && progress.generation > 1 && !entry->all_here()) {
    give_up(entry);
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
  forget_arrived(entry);  // what was read back before it was handed over
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
