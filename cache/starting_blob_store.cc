// SPDX-License-Identifier: Apache-2.0
#include "cache/starting_blob_store.h"

#include "base/blocking.h"
#include "base/text.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {
constexpr std::chrono::seconds kRetryAfter{10};
}

StartingBlobStore::StartingBlobStore(const Directory& blobs, const SmallBlobs& small,
                                     const Options& options, MakeStore make, Logger& log)
    : options_(options),
      make_(std::move(make)),
      log_(log),
      context_{blobs, small, options.block_size, options.pending_limit} {
  thread_ = std::thread([this] { run(); });
}

StartingBlobStore::~StartingBlobStore() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void StartingBlobStore::run() {
  while (true) {
    auto made = make_();
    if (made) return take_over(std::move(*made));
    log_.warning("cache: only what is in place can be read: " + made.error().context);
    const auto again_at = std::chrono::steady_clock::now() + kRetryAfter;
    MutexLock lock(mutex_);
    failure_ = made.error();
    changed_.notify_all();
    while (!stopping_ && std::chrono::steady_clock::now() < again_at) {
      changed_.wait_for(mutex_, kRetryAfter);
    }
    if (stopping_) return;
  }
}

void StartingBlobStore::take_over(std::unique_ptr<BlobStore> store) {
  owned_ = std::move(store);
  std::map<std::pair<BlobKey, std::string>, StartingPtr> starting;
  {
    // Under the lock, so that none of these settings is overtaken by a later one.
    MutexLock lock(mutex_);
    owned_->on_verdict(std::move(on_verdict_));
    owned_->on_sealed(std::move(on_sealed_));
    if (pinned_) owned_->set_pinned(*pinned_);
    owned_->set_passthrough_check(std::move(in_passthrough_));
    real_ = owned_.get();
    starting.swap(starting_);
  }
  for (const auto& [name, blob] : starting) {
    if (auto become = blob->become(*owned_); !become) {
      log_.warning("cache: " + become.error().context);
    }
  }
  starting.clear();
  MutexLock lock(mutex_);
  started_ = true;
  failure_.reset();
  changed_.notify_all();
}

Result<void> StartingBlobStore::wait(std::optional<Duration> patience) {
  assert_may_block("the cache's start");
  const auto until = std::chrono::steady_clock::now() + patience.value_or(Duration::zero());
  MutexLock lock(mutex_);
  while (!started_ && !failure_) {
    if (!patience) {
      changed_.wait(mutex_);
      continue;
    }
    const auto left = until - std::chrono::steady_clock::now();
    if (left.count() <= 0) return {};
    changed_.wait_for(mutex_, left);
  }
  return failure_ ? Result<void>(*failure_) : Result<void>();
}

Result<BlobStore*> StartingBlobStore::started() const {
  assert_may_block("the cache's start");
  MutexLock lock(mutex_);
  while (!started_ && !failure_) changed_.wait(mutex_);
  if (failure_) return *failure_;
  return owned_.get();
}

Result<std::shared_ptr<Blob>> StartingBlobStore::open(const BlobKey& key,
                                                      const std::string& endpoint) {
  if (BlobStore* store = real()) return store->open(key, endpoint);
  if (!is_namespace(key.space)) {
    return {ErrorCode::kInvalidArgument, "no namespace: " + escape_for_log(key.space)};
  }
  if (endpoint.empty()) return {ErrorCode::kInvalidArgument, "a blob without an endpoint"};
  // Made before the lock is taken, since it reads the disk.
  auto made = std::make_shared<StartingBlob>(context_, key, endpoint);
  {
    MutexLock lock(mutex_);
    if (real() == nullptr) {
      const auto at = starting_.emplace(std::pair(key, endpoint), std::move(made)).first;
      return std::shared_ptr<Blob>(at->second);
    }
  }
  return real()->open(key, endpoint);
}

// The real store may wait for a call of the one before: not with the lock held.
void StartingBlobStore::on_verdict(OnVerdict callback) {
  {
    MutexLock lock(mutex_);
    if (real() == nullptr) return on_verdict_.swap(callback);
  }
  real()->on_verdict(std::move(callback));
}

void StartingBlobStore::on_sealed(OnSealed callback) {
  {
    MutexLock lock(mutex_);
    if (real() == nullptr) return on_sealed_.swap(callback);
  }
  real()->on_sealed(std::move(callback));
}

void StartingBlobStore::set_pinned(const std::vector<BlobKey>& keys) {
  MutexLock lock(mutex_);
  if (BlobStore* store = real()) return store->set_pinned(keys);
  pinned_ = keys;
}

void StartingBlobStore::set_passthrough_check(InPassthrough check) {
  {
    MutexLock lock(mutex_);
    if (real() == nullptr) return in_passthrough_.swap(check);
  }
  real()->set_passthrough_check(std::move(check));
}

StoreStats StartingBlobStore::stats() const {
  StoreStats stats;
  if (const BlobStore* store = real()) {
    stats = store->stats();
  } else {
    stats.size_limit = options_.size_limit;
    stats.starting = true;
  }
  stats.hits += context_.hits;
  stats.misses += context_.misses;
  stats.pending_bytes += context_.put_bytes;
  MutexLock lock(mutex_);
  if (failure_) stats.degraded = failure_->context;
  return stats;
}

Result<void> StartingBlobStore::flush() {
  auto store = started();
  return store ? (*store)->flush() : Result<void>(store.error());
}

void StartingBlobStore::for_each_blob(const std::function<void(const BlobInfo&)>& visit) const {
  if (auto store = started()) (*store)->for_each_blob(visit);
}

Result<std::uint64_t> StartingBlobStore::evict(const BlobKey& key) {
  auto store = started();
  return store ? (*store)->evict(key) : Result<std::uint64_t>(store.error());
}

Result<std::uint64_t> StartingBlobStore::prune(const PruneOptions& options) {
  auto store = started();
  return store ? (*store)->prune(options) : Result<std::uint64_t>(store.error());
}

Result<VerifyReport> StartingBlobStore::verify(bool repair, const VerifyProgress& progress) {
  auto store = started();
  return store ? (*store)->verify(repair, progress) : Result<VerifyReport>(store.error());
}

}  // namespace hubvfs::cache
