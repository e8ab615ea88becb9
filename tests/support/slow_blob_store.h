// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "cache/blob_store.h"

namespace hubvfs {

// Another store, but what is put is kept in memory until let_go(), as by one whose disk stands
// still. Thread-safe.
class SlowBlobStore final : public cache::BlobStore {
 public:
  explicit SlowBlobStore(cache::BlobStore& store) : store_(store) {}

  // The disk has taken what was put so far.
  void let_go() { kept_->let_go(); }

  std::uint64_t block_size() const override { return store_.block_size(); }
  Result<std::shared_ptr<cache::Blob>> open(const cache::BlobKey& key,
                                            const std::string& endpoint) override {
    auto blob = store_.open(key, endpoint);
    if (!blob) return blob;
    return std::shared_ptr<cache::Blob>(std::make_shared<SlowBlob>(*blob, kept_));
  }
  void on_verdict(OnVerdict callback) override { store_.on_verdict(std::move(callback)); }
  void on_sealed(OnSealed callback) override { store_.on_sealed(std::move(callback)); }
  Result<void> flush() override { return store_.flush(); }
  cache::StoreStats stats() const override { return store_.stats(); }
  void for_each_blob(const std::function<void(const cache::BlobInfo&)>& visit) const override {
    store_.for_each_blob(visit);
  }
  void set_pinned(const std::vector<cache::BlobKey>& keys) override { store_.set_pinned(keys); }
  void set_passthrough_check(InPassthrough check) override {
    store_.set_passthrough_check(std::move(check));
  }
  Result<std::uint64_t> evict(const cache::BlobKey& key) override { return store_.evict(key); }
  Result<std::uint64_t> prune(const cache::PruneOptions& options) override {
    return store_.prune(options);
  }
  Result<cache::VerifyReport> verify(bool repair, const VerifyProgress& progress) override {
    return store_.verify(repair, progress);
  }

 private:
  using Buffers = std::vector<std::shared_ptr<const Bytes>>;

  class Kept {
   public:
    void keep(std::shared_ptr<const Bytes> bytes) {
      MutexLock lock(mutex_);
      buffers_.push_back(std::move(bytes));
    }
    void let_go() {
      Buffers gone;  // let go of without the lock: whoever counts them puts the next
      MutexLock lock(mutex_);
      gone.swap(buffers_);
    }

   private:
    Mutex mutex_;
    Buffers buffers_ GUARDED_BY(mutex_);
  };

  class SlowBlob final : public cache::Blob {
   public:
    SlowBlob(std::shared_ptr<cache::Blob> blob, std::shared_ptr<Kept> kept)
        : blob_(std::move(blob)), kept_(std::move(kept)) {}
    const cache::BlobKey& key() const override { return blob_->key(); }
    bool has(std::uint64_t block) const override { return blob_->has(block); }
    std::uint64_t cached_bytes() const override { return blob_->cached_bytes(); }
    bool complete() const override { return blob_->complete(); }
    bool verified() const override { return blob_->verified(); }
    bool sealed() const override { return blob_->sealed(); }
    Result<std::string> sealed_file() override { return blob_->sealed_file(); }
    Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
      return blob_->read(offset, out);
    }
    bool put(std::uint64_t block, std::shared_ptr<const Bytes> bytes) override {
      kept_->keep(bytes);
      return blob_->put(block, std::move(bytes));
    }
    void drop() override { blob_->drop(); }

   private:
    const std::shared_ptr<cache::Blob> blob_;
    const std::shared_ptr<Kept> kept_;
  };

  cache::BlobStore& store_;
  const std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

}  // namespace hubvfs
