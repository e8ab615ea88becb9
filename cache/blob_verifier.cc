// SPDX-License-Identifier: Apache-2.0
#include "cache/blob_verifier.h"

#include <algorithm>
#include <utility>

#include "base/blocking.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {
constexpr std::size_t kMaxProgress = 4096;  // blobs half hashed
constexpr std::uint64_t kNoBlock = UINT64_MAX;
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

void BlobVerifier::on_verdict(BlobStore::OnVerdict callback) {
  auto shared = std::make_shared<const BlobStore::OnVerdict>(std::move(callback));
  MutexLock lock(mutex_);
  on_verdict_ = std::move(shared);
}

void BlobVerifier::look(const EntryPtr& entry) {
  MutexLock lock(mutex_);
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
    while (!stopping_ && queue_.empty()) changed_.wait(mutex_);
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

BlobVerifier::Progress& BlobVerifier::progress_of(const EntryPtr& entry) {
  if (progress_.size() >= kMaxProgress) {
    std::erase_if(progress_, [](const auto& known) { return known.second.entry.expired(); });
    if (progress_.size() >= kMaxProgress) progress_.clear();  // they are read back when whole
  }
  const BlobEntry& blob = *entry;
  const auto fresh = [&] {
    return Progress{entry, Digest::for_content(blob.key().content), 0, blob.generation()};
  };
  auto at = progress_.find(entry.get());
  if (at == progress_.end()) return progress_.emplace(entry.get(), fresh()).first->second;
  // A retired entry's address may be another's now; and what was hashed may be gone.
  if (at->second.entry.lock().get() != &blob || at->second.generation != blob.generation()) {
    at->second = fresh();
  }
  return at->second;
}

bool BlobVerifier::hash_next(const EntryPtr& entry, Progress& progress) {
  const std::uint64_t block = progress.next;
  if (!entry->await_block(block)) return false;
  buffer_.resize(entry->length(block));
  if (!reader_.read(entry, block, 0, buffer_, nullptr)) return false;
  progress.digest.update(buffer_);
  ++progress.next;
  return true;
}

void BlobVerifier::advance(const EntryPtr& entry) {
  if (entry->verified()) {
    store_if_small(entry);
    return;
  }
  Progress& progress = progress_of(entry);
  // One that changed once is likely to change again (it may be larger than the cache): wait until
  // it is whole.
  if (progress.next == 0 && progress.generation > 1 && !entry->all_here()) {
    entry->await_block(kNoBlock);
    if (!entry->all_here()) return;
  }
  while (progress.next < entry->block_count()) {
    if (!entry->small() && stopping()) return;
    if (!hash_next(entry, progress)) {
      // It lost a block, and may be whole again before anybody waited for that.
      if (entry->generation() != progress.generation && entry->all_here()) look_again(entry);
      return;
    }
  }
  Progress whole = std::move(progress);
  progress_.erase(entry.get());
  entry->await_block(kNoBlock);
  judge(entry, std::move(whole));
}

void BlobVerifier::judge(const EntryPtr& entry, Progress progress) {
  const ContentId& content = entry->key().content;
  const std::string found = progress.digest.finish_hex();
  Result<void> verdict;
  if (found == content.hex()) {
    if (!entry->trust(progress.generation)) {
      if (entry->all_here()) look_again(entry);
      return;
    }
    committer_.verified(entry);
    store_if_small(entry);
  } else {
    auto dropped = entry->drop_all_if(progress.generation);
    if (!dropped) {
      if (entry->all_here()) look_again(entry);
      return;
    }
    writer_.drop(entry, std::move(*dropped));
    verdict = wrong_hash(content, found);
    context_.log.debug("cache: " + verdict.error().context);  // whoever reads it tells more
  }
  std::shared_ptr<const BlobStore::OnVerdict> callback;
  {
    MutexLock lock(mutex_);
    callback = on_verdict_;
  }
  if (callback != nullptr && *callback) (*callback)(entry->key(), std::move(verdict));
}

void BlobVerifier::store_if_small(const EntryPtr& entry) {
  if (!entry->small()) return;
  if (const auto fill = entry->pending_fill(0)) writer_.write(entry, 0, *fill, true);
}

}  // namespace hubvfs::cache
