// SPDX-License-Identifier: Apache-2.0
#include "cache/memory_cache.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <list>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "base/blocking.h"
#include "base/digest.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {

using Block = std::shared_ptr<const Bytes>;
// A blob as one endpoint gave it, or ("", trusted) as it was verified.
using VariantKey = std::tuple<Namespace, ContentId, std::string>;

struct Variant {
  std::map<std::uint64_t, Block> blocks;
  std::uint64_t bytes = 0;
  std::uint64_t generation = 0;  // changes whenever a block goes away
  bool verified = false;
};

}  // namespace

class MemoryBlobStore::Core {
 public:
  Core(std::uint64_t block_size, std::uint64_t size_limit)
      : block_size_(block_size), size_limit_(size_limit) {
    thread_ = std::thread([this] { run(); });
  }

  // No verdict is given after it returns; what is held can still be read.
  void stop() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

  std::uint64_t block_size() const { return block_size_; }

  bool has(const BlobKey& key, const std::string& endpoint, std::uint64_t block) const {
    MutexLock lock(mutex_);
    return find_block(key, endpoint, block) != nullptr;
  }

  // The block, touched; null when absent.
  Block take(const BlobKey& key, const std::string& endpoint, std::uint64_t block) {
    MutexLock lock(mutex_);
    Block found;
    for (const std::string& owner : {std::string(), endpoint}) {
      const VariantKey variant(key.space, key.content, owner);
      const auto at = variants_.find(variant);
      if (at == variants_.end() || !at->second.blocks.contains(block)) continue;
      found = at->second.blocks[block];
      touch(variant, block);
      break;
    }
    ++(found != nullptr ? hits_ : misses_);
    return found;
  }

  void put(const BlobKey& key, const std::string& endpoint, std::uint64_t block, Block bytes) {
    MutexLock lock(mutex_);
    if (find_block(key, endpoint, block) != nullptr) return;
    const VariantKey name(key.space, key.content, endpoint);
    Variant& variant = variants_[name];
    used_ += bytes->size();
    variant.bytes += bytes->size();
    variant.blocks.emplace(block, std::move(bytes));
    touch(name, block);
    while (size_limit_ != 0 && used_ > size_limit_ && !order_.empty()) {
      evict(order_.back());
      ++evicted_;
    }
    schedule(name);
  }

  // Hashes what is complete and not verified yet: a blob of no bytes has no block that would start
  // it.
  void opened(const BlobKey& key, const std::string& endpoint) {
    MutexLock lock(mutex_);
    if (key.content.size() != 0 || is_verified(key)) return;
    const VariantKey name(key.space, key.content, endpoint);
    variants_[name];
    schedule(name);
  }

  std::uint64_t cached_bytes(const BlobKey& key, const std::string& endpoint) const {
    MutexLock lock(mutex_);
    return bytes_of(key, endpoint);
  }

  bool complete(const BlobKey& key, const std::string& endpoint) const {
    MutexLock lock(mutex_);
    return bytes_of(key, endpoint) == key.content.size();
  }

  bool verified(const BlobKey& key) const {
    MutexLock lock(mutex_);
    return is_verified(key);
  }

  void drop(const BlobKey& key, const std::string& endpoint) {
    MutexLock lock(mutex_);
    drop_variant({key.space, key.content, endpoint});
    drop_variant({key.space, key.content, ""});
  }

  void on_verdict(OnVerdict callback) {
    MutexLock lock(mutex_);
    on_verdict_ = std::make_shared<const OnVerdict>(std::move(callback));
  }

  void flush() {
    assert_may_block("the memory store's verdicts");
    MutexLock lock(mutex_);
    while (!to_verify_.empty() || verifying_) changed_.wait(mutex_);
  }

  StoreStats stats() const {
    MutexLock lock(mutex_);
    StoreStats stats;
    stats.size_limit = size_limit_;
    stats.bytes_used = used_;
    for (const auto& [name, variant] : variants_) stats.blobs += variant.blocks.empty() ? 0u : 1u;
    stats.blocks = where_.size();
    stats.hits = hits_;
    stats.misses = misses_;
    stats.evicted_blocks = evicted_;
    return stats;
  }

 private:
  using Place = std::pair<VariantKey, std::uint64_t>;

  const Block* find_block(const BlobKey& key, const std::string& endpoint,
                          std::uint64_t block) const REQUIRES(mutex_) {
    for (const std::string& owner : {std::string(), endpoint}) {
      const auto at = variants_.find({key.space, key.content, owner});
      if (at == variants_.end()) continue;
      const auto found = at->second.blocks.find(block);
      if (found != at->second.blocks.end()) return &found->second;
    }
    return nullptr;
  }

  std::uint64_t bytes_of(const BlobKey& key, const std::string& endpoint) const REQUIRES(mutex_) {
    std::uint64_t bytes = 0;
    for (const std::string& owner : {std::string(), endpoint}) {
      const auto at = variants_.find({key.space, key.content, owner});
      if (at != variants_.end()) bytes += at->second.bytes;
    }
    return bytes;
  }

  bool is_verified(const BlobKey& key) const REQUIRES(mutex_) {
    const auto at = variants_.find({key.space, key.content, ""});
    return at != variants_.end() && at->second.verified && at->second.bytes == key.content.size();
  }

  void touch(const VariantKey& variant, std::uint64_t block) REQUIRES(mutex_) {
    const Place place(variant, block);
    const auto at = where_.find(place);
    if (at != where_.end()) order_.erase(at->second);
    order_.push_front(place);
    where_[place] = order_.begin();
  }

  void evict(const Place place) REQUIRES(mutex_) {
    Variant& variant = variants_[place.first];
    const auto at = variant.blocks.find(place.second);
    used_ -= at->second->size();
    variant.bytes -= at->second->size();
    variant.blocks.erase(at);
    ++variant.generation;
    order_.erase(where_[place]);
    where_.erase(place);
  }

  void drop_variant(const VariantKey& name) REQUIRES(mutex_) {
    const auto at = variants_.find(name);
    if (at == variants_.end()) return;
    while (!at->second.blocks.empty()) evict({name, at->second.blocks.begin()->first});
    at->second.verified = false;
  }

  void schedule(const VariantKey& name) REQUIRES(mutex_) {
    const BlobKey key{std::get<0>(name), std::get<1>(name)};
    if (bytes_of(key, std::get<2>(name)) != key.content.size()) return;
    to_verify_.push_back(name);
    changed_.notify_all();
  }

  void run() {
    MutexLock lock(mutex_);
    while (true) {
      while (!stopping_ && to_verify_.empty()) changed_.wait(mutex_);
      if (stopping_) return;
      const VariantKey name = to_verify_.front();
      to_verify_.pop_front();
      verifying_ = true;
      mutex_.unlock();
      verify(name);
      mutex_.lock();
      verifying_ = false;
      changed_.notify_all();
    }
  }

  // Copies the blocks' owners out, so that hashing holds no lock.
  void verify(const VariantKey& name) EXCLUDES(mutex_) {
    const BlobKey key{std::get<0>(name), std::get<1>(name)};
    const std::string& endpoint = std::get<2>(name);
    std::vector<Block> blocks;
    std::uint64_t generation = 0;
    {
      MutexLock lock(mutex_);
      if (bytes_of(key, endpoint) != key.content.size() || is_verified(key)) return;
      generation = generation_of(name);
      const std::uint64_t count = block_count(key.content.size(), block_size_);
      for (std::uint64_t i = 0; i < count; ++i) blocks.push_back(*find_block(key, endpoint, i));
    }
    Digest digest = Digest::for_content(key.content);
    for (const Block& block : blocks) digest.update(*block);
    const std::string found = digest.finish_hex();

    std::shared_ptr<const OnVerdict> callback;
    const bool right = found == key.content.hex();
    {
      MutexLock lock(mutex_);
      if (generation_of(name) != generation) return;
      if (right) {
        trust(name);
      } else {
        drop_variant(name);
        drop_variant({key.space, key.content, ""});
      }
      callback = on_verdict_;
    }
    if (callback == nullptr || !*callback) return;
    (*callback)(key, right ? Result<void>() : wrong_hash(key.content, found));
  }

  std::uint64_t generation_of(const VariantKey& name) REQUIRES(mutex_) {
    VariantKey trusted = name;
    std::get<2>(trusted).clear();
    return variants_[name].generation + variants_[trusted].generation;
  }

  // Moves an endpoint's blocks to everybody.
  void trust(const VariantKey& name) REQUIRES(mutex_) {
    VariantKey trusted = name;
    std::get<2>(trusted).clear();
    for (const auto& [block, bytes] : std::map(variants_[name].blocks)) {
      evict({name, block});
      if (!variants_[trusted].blocks.emplace(block, bytes).second) continue;
      variants_[trusted].bytes += bytes->size();
      used_ += bytes->size();
      touch(trusted, block);
    }
    variants_[trusted].verified = true;
    variants_.erase(name);
  }

  const std::uint64_t block_size_;
  const std::uint64_t size_limit_;

  std::thread thread_;

  mutable Mutex mutex_;  // Lock rank: leaf.
  CondVar changed_;
  std::map<VariantKey, Variant> variants_ GUARDED_BY(mutex_);
  std::list<Place> order_ GUARDED_BY(mutex_);  // most recently used first
  std::map<Place, std::list<Place>::iterator> where_ GUARDED_BY(mutex_);
  std::deque<VariantKey> to_verify_ GUARDED_BY(mutex_);
  bool verifying_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::uint64_t used_ GUARDED_BY(mutex_) = 0;
  std::uint64_t hits_ GUARDED_BY(mutex_) = 0;
  std::uint64_t misses_ GUARDED_BY(mutex_) = 0;
  std::uint64_t evicted_ GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const OnVerdict> on_verdict_ GUARDED_BY(mutex_);
};

class MemoryBlobStore::Handle final : public Blob {
 public:
  Handle(std::shared_ptr<Core> core, BlobKey key, std::string endpoint)
      : core_(std::move(core)), key_(std::move(key)), endpoint_(std::move(endpoint)) {}

  const BlobKey& key() const override { return key_; }
  bool has(std::uint64_t block) const override { return core_->has(key_, endpoint_, block); }
  std::uint64_t cached_bytes() const override { return core_->cached_bytes(key_, endpoint_); }
  bool complete() const override { return core_->complete(key_, endpoint_); }
  bool verified() const override { return core_->verified(key_); }
  void drop() override { core_->drop(key_, endpoint_); }

  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    if (!lies_within(offset, out.size(), key_.content.size())) {
      return {ErrorCode::kInvalidArgument, "read beyond the end of " + key_.content.to_string()};
    }
    while (!out.empty()) {
      const std::uint64_t block = offset / core_->block_size();
      const std::uint64_t within = offset % core_->block_size();
      const Block bytes = core_->take(key_, endpoint_, block);
      if (bytes == nullptr) return {ErrorCode::kNotFound, "block is not in memory"};
      const std::size_t size = std::min<std::size_t>(out.size(), bytes->size() - within);
      std::memcpy(out.data(), bytes->data() + within, size);
      out = out.subspan(size);
      offset += size;
    }
    return {};
  }

  void put(std::uint64_t block, Block bytes) override {
    if (!is_whole_block(key_.content, core_->block_size(), block, bytes)) {
      bug("a block of the wrong size for " + key_.content.to_string());
      return;
    }
    // A copy: whoever handed it in may count its buffers until they are written.
    core_->put(key_, endpoint_, block, std::make_shared<const Bytes>(*bytes));
  }

 private:
  const std::shared_ptr<Core> core_;
  const BlobKey key_;
  const std::string endpoint_;
};

MemoryBlobStore::MemoryBlobStore(std::uint64_t block_size, std::uint64_t size_limit)
    : core_(std::make_shared<Core>(block_size, size_limit)) {}

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

}  // namespace hubvfs::cache
