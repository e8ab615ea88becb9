// SPDX-License-Identifier: Apache-2.0
#include "cache/memory_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/blocking.h"
#include "cache/memory_store_core.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {

const Clock& system_clock() {
  static const SystemClock kClock;
  return kClock;
}

}  // namespace

class MemoryBlobStore::Handle final : public Blob {
 public:
  Handle(std::shared_ptr<MemoryStoreCore> core, BlobKey key, std::string endpoint)
      : core_(std::move(core)), key_(std::move(key)), endpoint_(std::move(endpoint)) {}

  const BlobKey& key() const override { return key_; }
  bool has(std::uint64_t block) const override { return core_->has(key_, endpoint_, block); }
  std::uint64_t cached_bytes() const override { return core_->cached_bytes(key_, endpoint_); }
  bool complete() const override { return core_->complete(key_, endpoint_); }
  bool verified() const override { return core_->verified(key_); }
  bool sealed() const override { return false; }
  Result<std::string> sealed_file() override { return {ErrorCode::kNotFound, "no file"}; }
  void drop() override { core_->drop(key_, endpoint_); }

  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    if (!lies_within(offset, out.size(), key_.content.size())) {
      return {ErrorCode::kInvalidArgument, "read beyond the end of " + key_.content.to_string()};
    }
    while (!out.empty()) {
      const std::uint64_t block = offset / core_->block_size();
      const std::uint64_t within = offset % core_->block_size();
      const auto bytes = core_->take(key_, endpoint_, block);
      if (bytes == nullptr) return {ErrorCode::kNotFound, "block is not in memory"};
      const std::size_t size = std::min<std::size_t>(out.size(), bytes->size() - within);
      std::memcpy(out.data(), bytes->data() + within, size);
      out = out.subspan(size);
      offset += size;
    }
    return {};
  }

  bool put(std::uint64_t block, std::shared_ptr<const Bytes> bytes) override {
    if (!is_whole_block(key_.content, core_->block_size(), block, bytes)) {
      bug("a block of the wrong size for " + key_.content.to_string());
      return false;
    }
    // A copy: whoever handed it in may count its buffers until they are written.
    return core_->put(key_, endpoint_, block, std::make_shared<const Bytes>(*bytes));
  }

 private:
  const std::shared_ptr<MemoryStoreCore> core_;
  const BlobKey key_;
  const std::string endpoint_;
};

MemoryBlobStore::MemoryBlobStore(std::uint64_t block_size, std::uint64_t size_limit)
    : MemoryBlobStore(block_size, size_limit, system_clock()) {}

MemoryBlobStore::MemoryBlobStore(std::uint64_t block_size, std::uint64_t size_limit,
                                 const Clock& clock)
    : core_(std::make_shared<MemoryStoreCore>(block_size, size_limit, clock)) {}

MemoryBlobStore::~MemoryBlobStore() { core_->stop(); }

std::uint64_t MemoryBlobStore::block_size() const { return core_->block_size(); }

Result<std::shared_ptr<Blob>> MemoryBlobStore::open(const BlobKey& key,
                                                    const std::string& endpoint) {
  if (!is_namespace(key.space)) return {ErrorCode::kInvalidArgument, "no namespace: " + key.space};
  if (endpoint.empty()) return {ErrorCode::kInvalidArgument, "a blob without an endpoint"};
  core_->opened(key, endpoint);
  return std::shared_ptr<Blob>(std::make_shared<Handle>(core_, key, endpoint));
}

void MemoryBlobStore::on_verdict(OnVerdict callback) { core_->on_verdict(std::move(callback)); }

Result<void> MemoryBlobStore::flush() {
  core_->flush();
  return {};
}

StoreStats MemoryBlobStore::stats() const { return core_->stats(); }

void MemoryBlobStore::for_each_blob(const std::function<void(const BlobInfo&)>& visit) const {
  assert_may_block("the list of cached blobs");
  for (const BlobInfo& info : core_->blobs()) visit(info);
}

void MemoryBlobStore::set_pinned(const std::vector<BlobKey>& keys) { core_->set_pinned(keys); }

void MemoryBlobStore::set_passthrough_check(InPassthrough check) {
  core_->set_passthrough_check(std::move(check));
}

Result<std::uint64_t> MemoryBlobStore::evict(const BlobKey& key) {
  assert_may_block("evicting a blob");
  return core_->evict(key);
}

Result<std::uint64_t> MemoryBlobStore::prune(const PruneOptions& options) {
  assert_may_block("pruning the cache");
  return core_->prune(options);
}

Result<VerifyReport> MemoryBlobStore::verify(bool repair, const VerifyProgress& progress) {
  assert_may_block("verifying the cache");
  return core_->verify(repair, progress);
}

}  // namespace hubvfs::cache
