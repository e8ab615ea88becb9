// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "cache/callback_slot.h"

namespace hubvfs::cache {

// What MemoryBlobStore and its blobs share. Thread-safe; stop() comes before its end.
class MemoryStoreCore {
 public:
  using Block = std::shared_ptr<const Bytes>;

  MemoryStoreCore(std::uint64_t block_size, std::uint64_t size_limit, const Clock& clock);
  // No verdict is given after it returns; what is held can still be read.
  void stop() EXCLUDES(mutex_);

  std::uint64_t block_size() const { return block_size_; }

  // Hashes what is complete and not verified yet: a blob of no bytes has no block that would start
  // it.
  void opened(const BlobKey& key, const std::string& endpoint) EXCLUDES(mutex_);
  bool has(const BlobKey& key, const std::string& endpoint, std::uint64_t block) const
      EXCLUDES(mutex_);
  // The block, touched; null when absent.
  Block take(const BlobKey& key, const std::string& endpoint, std::uint64_t block) EXCLUDES(mutex_);
  // As Blob::put.
  bool put(const BlobKey& key, const std::string& endpoint, std::uint64_t block, Block bytes)
      EXCLUDES(mutex_);
  void drop(const BlobKey& key, const std::string& endpoint) EXCLUDES(mutex_);
  std::uint64_t cached_bytes(const BlobKey& key, const std::string& endpoint) const
      EXCLUDES(mutex_);
  bool complete(const BlobKey& key, const std::string& endpoint) const EXCLUDES(mutex_);
  bool verified(const BlobKey& key) const EXCLUDES(mutex_);

  void on_verdict(BlobStore::OnVerdict callback) { on_verdict_.set(std::move(callback)); }
  void flush() EXCLUDES(mutex_);
  StoreStats stats() const EXCLUDES(mutex_);

  std::vector<BlobInfo> blobs() const EXCLUDES(mutex_);
  void set_pinned(const std::vector<BlobKey>& keys) EXCLUDES(mutex_);
  void set_passthrough_check(BlobStore::InPassthrough check) {
    in_passthrough_.set(std::move(check));
  }
  Result<std::uint64_t> evict(const BlobKey& key) EXCLUDES(mutex_);
  std::uint64_t prune(const PruneOptions& options) EXCLUDES(mutex_);
  Result<VerifyReport> verify(bool repair, const BlobStore::VerifyProgress& progress)
      EXCLUDES(mutex_);

 private:
  // A blob as one endpoint gave it, or ("", trusted) as it was verified.
  using VariantKey = std::tuple<Namespace, ContentId, std::string>;
  using Place = std::pair<VariantKey, std::uint64_t>;

  struct Variant {
    std::map<std::uint64_t, Block> blocks;
    std::uint64_t bytes = 0;
    std::uint64_t generation = 0;  // changes whenever a block goes away
    bool verified = false;
  };
  struct Used {
    Place place;
    UnixSeconds at = 0;
  };

  static BlobKey key_of(const VariantKey& name) { return {std::get<0>(name), std::get<1>(name)}; }

  const Block* find_block(const BlobKey& key, const std::string& endpoint,
                          std::uint64_t block) const REQUIRES(mutex_);
  std::uint64_t bytes_of(const BlobKey& key, const std::string& endpoint) const REQUIRES(mutex_);
  bool is_verified(const BlobKey& key) const REQUIRES(mutex_);
  void touch(const VariantKey& variant, std::uint64_t block) REQUIRES(mutex_);
  void remove(Place place) REQUIRES(mutex_);
  // Removes least recently used blocks that may go, as long as `more(block's last use)`. Bytes.
  template <typename More>
  std::uint64_t evict_while(const std::set<BlobKey>& kept, More&& more) REQUIRES(mutex_);
  std::set<BlobKey> kept() EXCLUDES(mutex_);
  void drop_variant(const VariantKey& name) REQUIRES(mutex_);
  void schedule(const VariantKey& name) REQUIRES(mutex_);
  void run() EXCLUDES(mutex_);
  void hash(const VariantKey& name) EXCLUDES(mutex_);
  bool whole(const VariantKey& name) const REQUIRES(mutex_);
  std::uint64_t generation_of(const VariantKey& name) REQUIRES(mutex_);
  void trust(const VariantKey& name) REQUIRES(mutex_);

  const std::uint64_t block_size_;
  const std::uint64_t size_limit_;
  const Clock& clock_;

  std::thread thread_;

  CallbackSlot<void(const BlobKey&, Result<void>)> on_verdict_;
  CallbackSlot<bool(const BlobKey&)> in_passthrough_;

  mutable Mutex mutex_;  // Lock rank: leaf.
  CondVar changed_;
  std::map<VariantKey, Variant> variants_ GUARDED_BY(mutex_);
  std::list<Used> order_ GUARDED_BY(mutex_);  // most recently used first
  std::map<Place, std::list<Used>::iterator> where_ GUARDED_BY(mutex_);
  std::set<BlobKey> pinned_ GUARDED_BY(mutex_);
  std::deque<VariantKey> to_verify_ GUARDED_BY(mutex_);
  bool verifying_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::uint64_t used_ GUARDED_BY(mutex_) = 0;
  std::uint64_t hits_ GUARDED_BY(mutex_) = 0;
  std::uint64_t misses_ GUARDED_BY(mutex_) = 0;
  std::uint64_t evicted_ GUARDED_BY(mutex_) = 0;
};

}  // namespace hubvfs::cache
