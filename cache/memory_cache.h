// SPDX-License-Identifier: Apache-2.0
// The stores without a disk: what tests use, and what a daemon falls back on when its cache folder
// cannot be used.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "cache/meta_store.h"

namespace hubvfs::cache {

class MemoryStoreCore;

// Blocks in memory, dropped least recently used first beyond the size limit. Verifies like the disk
// store: a complete blob is hashed on a thread of its own, which also gives the verdicts. The
// policy is always lru. Blobs must be released before the store. Thread-safe.
class MemoryBlobStore final : public BlobStore {
 public:
  // `size_limit`: bytes of blocks held; 0: no limit.
  MemoryBlobStore(std::uint64_t block_size, std::uint64_t size_limit);
  // `clock` must outlive it.
  MemoryBlobStore(std::uint64_t block_size, std::uint64_t size_limit, const Clock& clock);
  ~MemoryBlobStore() override;

  std::uint64_t block_size() const override;
  Result<std::shared_ptr<Blob>> open(const BlobKey& key, const std::string& endpoint) override;
  void on_verdict(OnVerdict callback) override;
  void on_sealed(OnSealed) override {}  // there are no files
  // Verdicts on everything handed in so far have been given when it returns.
  Result<void> flush() override;
  StoreStats stats() const override;
  void for_each_blob(const std::function<void(const BlobInfo&)>& visit) const override;
  void set_pinned(const std::vector<BlobKey>& keys) override;
  void set_passthrough_check(InPassthrough check) override;
  Result<std::uint64_t> evict(const BlobKey& key) override;
  Result<std::uint64_t> prune(const PruneOptions& options) override;
  Result<VerifyReport> verify(bool repair, const VerifyProgress& progress) override;

 private:
  class Handle;
  std::shared_ptr<MemoryStoreCore> core_;
};

// Metadata in memory: gone with the process. Thread-safe.
class MemoryMetaStore final : public MetaStore {
 public:
  Result<void> put(const Namespace& space, std::string_view key, ByteView value) override;
  Result<void> erase(const Namespace& space, std::string_view key) override;
  Result<std::optional<Bytes>> get(const Namespace& space, std::string_view key) const override;
  Result<void> for_each(
      const Namespace& space, std::string_view prefix,
      const std::function<void(std::string_view key, ByteView value)>& visit) const override;

 private:
  using Values = std::map<std::string, std::shared_ptr<const Bytes>, std::less<>>;
  mutable Mutex mutex_;  // Lock rank: leaf.
  std::map<Namespace, Values> spaces_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::cache
