// SPDX-License-Identifier: Apache-2.0
#include "cache/memory_store_core.h"

#include <algorithm>

#include "base/blocking.h"
#include "base/digest.h"
#include "cache/names.h"

namespace hubvfs::cache {

MemoryStoreCore::MemoryStoreCore(std::uint64_t block_size, std::uint64_t size_limit,
                                 const Clock& clock)
    : block_size_(block_size), size_limit_(size_limit), clock_(clock) {
  thread_ = std::thread([this] { run(); });
}

void MemoryStoreCore::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void MemoryStoreCore::opened(const BlobKey& key, const std::string& endpoint) {
  MutexLock lock(mutex_);
  if (key.content.size() != 0 || is_verified(key)) return;
  const VariantKey name(key.space, key.content, endpoint);
  variants_[name];
  schedule(name);
}

bool MemoryStoreCore::has(const BlobKey& key, const std::string& endpoint,
                          std::uint64_t block) const {
  MutexLock lock(mutex_);
  return find_block(key, endpoint, block) != nullptr;
}

MemoryStoreCore::Block MemoryStoreCore::take(const BlobKey& key, const std::string& endpoint,
                                             std::uint64_t block) {
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

bool MemoryStoreCore::put(const BlobKey& key, const std::string& endpoint, std::uint64_t block,
                          Block bytes) {
  const std::set<BlobKey> untouched = kept();
  const VariantKey name(key.space, key.content, endpoint);
  MutexLock lock(mutex_);
  if (find_block(key, endpoint, block) != nullptr) return whole(name) && !is_verified(key);
  Variant& variant = variants_[name];
  used_ += bytes->size();
  variant.bytes += bytes->size();
  variant.blocks.emplace(block, std::move(bytes));
  touch(name, block);
  evict_while(untouched, [&](UnixSeconds)
                             REQUIRES(mutex_) { return size_limit_ != 0 && used_ > size_limit_; });
  // What may not go is in its way: then it is the new block that is not kept.
  if (size_limit_ != 0 && used_ > size_limit_) remove({name, block});
  schedule(name);
  return whole(name);
}

void MemoryStoreCore::drop(const BlobKey& key, const std::string& endpoint) {
  MutexLock lock(mutex_);
  drop_variant({key.space, key.content, endpoint});
  drop_variant({key.space, key.content, ""});
}

std::uint64_t MemoryStoreCore::cached_bytes(const BlobKey& key, const std::string& endpoint) const {
  MutexLock lock(mutex_);
  return bytes_of(key, endpoint);
}

bool MemoryStoreCore::complete(const BlobKey& key, const std::string& endpoint) const {
  MutexLock lock(mutex_);
  return bytes_of(key, endpoint) == key.content.size();
}

bool MemoryStoreCore::verified(const BlobKey& key) const {
  MutexLock lock(mutex_);
  return is_verified(key);
}

void MemoryStoreCore::flush() {
  assert_may_block("the memory store's verdicts");
  MutexLock lock(mutex_);
  while (!to_verify_.empty() || verifying_) changed_.wait(mutex_);
}

StoreStats MemoryStoreCore::stats() const {
  MutexLock lock(mutex_);
  StoreStats stats;
  stats.size_limit = size_limit_;
  stats.bytes_used = used_;
  for (const auto& [name, variant] : variants_) {
    if (!variant.blocks.empty()) ++stats.blobs;
    if (pinned_.contains(key_of(name))) stats.pinned_bytes += variant.bytes;
  }
  stats.blocks = where_.size();
  stats.hits = hits_;
  stats.misses = misses_;
  stats.evicted_blocks = evicted_;
  stats.policy = "lru";
  return stats;
}

std::vector<BlobInfo> MemoryStoreCore::blobs() const {
  MutexLock lock(mutex_);
  std::map<BlobKey, BlobInfo> found;
  for (const auto& [name, variant] : variants_) {
    if (variant.blocks.empty()) continue;
    const BlobKey key = key_of(name);
    BlobInfo& info = found[key];
    info.key = key;
    info.bytes += variant.bytes;
    info.blocks += variant.blocks.size();
    const std::string& owner = std::get<2>(name);
    const std::uint64_t seen = owner.empty() ? variant.bytes : bytes_of(key, owner);
    info.complete = info.complete || seen == key.content.size();
    info.verified = is_verified(key);
    info.pinned = pinned_.contains(key);
  }
  for (const Used& used : order_) {
    BlobInfo& info = found[key_of(used.place.first)];
    info.last_used = std::max(info.last_used, used.at);
  }
  std::vector<BlobInfo> all;
  all.reserve(found.size());
  for (auto& [key, info] : found) all.push_back(std::move(info));
  return all;
}

void MemoryStoreCore::set_pinned(const std::vector<BlobKey>& keys) {
  MutexLock lock(mutex_);
  pinned_ = {keys.begin(), keys.end()};
}

// What may not be evicted now. Asks the passthrough check with no lock held.
std::set<BlobKey> MemoryStoreCore::kept() {
  std::set<BlobKey> keys;
  std::set<BlobKey> candidates;
  {
    MutexLock lock(mutex_);
    keys = pinned_;
    for (const auto& [name, variant] : variants_) candidates.insert(key_of(name));
  }
  for (const BlobKey& key : candidates) {
    if (in_passthrough_(key)) keys.insert(key);
  }
  return keys;
}

Result<std::uint64_t> MemoryStoreCore::evict(const BlobKey& key) {
  const std::set<BlobKey> untouched = kept();
  MutexLock lock(mutex_);
  if (untouched.contains(key)) {
    return {ErrorCode::kBusy, key.content.to_string() + " is pinned or open"};
  }
  const std::uint64_t before = used_;
  for (const auto& [name, variant] : std::map(variants_)) {
    if (key_of(name) == key) drop_variant(name);
  }
  return before - used_;
}

std::uint64_t MemoryStoreCore::prune(const PruneOptions& options) {
  const std::set<BlobKey> untouched = kept();
  MutexLock lock(mutex_);
  std::uint64_t freed = 0;
  if (options.older_than) {
    const UnixSeconds oldest =
        clock_.unix_now() - std::chrono::ceil<std::chrono::seconds>(*options.older_than).count();
    freed += evict_while(untouched, [&](UnixSeconds at) { return at <= oldest; });
  }
  if (options.to_bytes) {
    freed += evict_while(untouched,
                         [&](UnixSeconds) REQUIRES(mutex_) { return used_ > *options.to_bytes; });
  }
  return freed;
}

Result<VerifyReport> MemoryStoreCore::verify(bool repair,
                                             const BlobStore::VerifyProgress& progress) {
  std::map<VariantKey, Variant> all;
  std::uint64_t total = 0;
  {
    MutexLock lock(mutex_);
    all = variants_;
    total = used_;
  }
  VerifyReport report;
  for (const auto& [name, variant] : all) {
    if (variant.blocks.empty()) continue;
    const ContentId& content = std::get<1>(name);
    Digest digest = Digest::for_content(content);
    for (const auto& [block, bytes] : variant.blocks) {
      digest.update(*bytes);
      ++report.blocks;
      report.bytes += bytes->size();
      if (progress && !progress(report.bytes, total)) {
        return {ErrorCode::kCancelled, "stopped before everything was looked at"};
      }
    }
    ++report.blobs;
    if (variant.bytes != content.size()) continue;
    const std::string found = digest.finish_hex();
    if (found == content.hex()) continue;
    ++report.bad_blobs;
    report.problems.push_back(wrong_hash(content, found).context);
    MutexLock lock(mutex_);
    if (repair && variants_[name].generation == variant.generation) drop_variant(name);
  }
  return report;
}

const MemoryStoreCore::Block* MemoryStoreCore::find_block(const BlobKey& key,
                                                          const std::string& endpoint,
                                                          std::uint64_t block) const {
  for (const std::string& owner : {std::string(), endpoint}) {
    const auto at = variants_.find({key.space, key.content, owner});
    if (at == variants_.end()) continue;
    const auto found = at->second.blocks.find(block);
    if (found != at->second.blocks.end()) return &found->second;
  }
  return nullptr;
}

std::uint64_t MemoryStoreCore::bytes_of(const BlobKey& key, const std::string& endpoint) const {
  std::uint64_t bytes = 0;
  for (const std::string& owner : {std::string(), endpoint}) {
    const auto at = variants_.find({key.space, key.content, owner});
    if (at != variants_.end()) bytes += at->second.bytes;
  }
  return bytes;
}

bool MemoryStoreCore::is_verified(const BlobKey& key) const {
  const auto at = variants_.find({key.space, key.content, ""});
  return at != variants_.end() && at->second.verified && at->second.bytes == key.content.size();
}

void MemoryStoreCore::touch(const VariantKey& variant, std::uint64_t block) {
  const Place place(variant, block);
  const auto at = where_.find(place);
  if (at != where_.end()) order_.erase(at->second);
  order_.push_front({place, clock_.unix_now()});
  where_[place] = order_.begin();
}

void MemoryStoreCore::remove(const Place place) {
  Variant& variant = variants_[place.first];
  const auto at = variant.blocks.find(place.second);
  used_ -= at->second->size();
  variant.bytes -= at->second->size();
  variant.blocks.erase(at);
  ++variant.generation;
  order_.erase(where_[place]);
  where_.erase(place);
}

template <typename More>
std::uint64_t MemoryStoreCore::evict_while(const std::set<BlobKey>& kept, More&& more) {
  const std::uint64_t before = used_;
  for (auto at = order_.end(); at != order_.begin();) {
    const auto used = std::prev(at);
    if (!more(used->at)) break;
    if (kept.contains(key_of(used->place.first))) {
      at = used;
      continue;
    }
    remove(used->place);
    ++evicted_;
  }
  return before - used_;
}

void MemoryStoreCore::drop_variant(const VariantKey& name) {
  const auto at = variants_.find(name);
  if (at == variants_.end()) return;
  while (!at->second.blocks.empty()) remove({name, at->second.blocks.begin()->first});
  at->second.verified = false;
}

void MemoryStoreCore::schedule(const VariantKey& name) {
  if (!whole(name)) return;
  to_verify_.push_back(name);
  changed_.notify_all();
}

bool MemoryStoreCore::whole(const VariantKey& name) const {
  return bytes_of(key_of(name), std::get<2>(name)) == std::get<1>(name).size();
}

void MemoryStoreCore::run() {
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && to_verify_.empty()) changed_.wait(mutex_);
    if (stopping_) return;
    const VariantKey name = to_verify_.front();
    to_verify_.pop_front();
    verifying_ = true;
    mutex_.unlock();
    hash(name);
    mutex_.lock();
    verifying_ = false;
    changed_.notify_all();
  }
}

// Copies the blocks' owners out, so that hashing holds no lock.
void MemoryStoreCore::hash(const VariantKey& name) {
  const BlobKey key = key_of(name);
  const std::string& endpoint = std::get<2>(name);
  const Error lost{ErrorCode::kNotFound, "it lost a block before it was judged"};
  std::vector<Block> blocks;
  std::uint64_t generation = 0;
  bool is_whole = false;
  {
    MutexLock lock(mutex_);
    if (is_verified(key)) return;
    is_whole = whole(name);
    generation = generation_of(name);
    const std::uint64_t count = is_whole ? block_count(key.content.size(), block_size_) : 0;
    for (std::uint64_t i = 0; i < count; ++i) blocks.push_back(*find_block(key, endpoint, i));
  }
  if (!is_whole) return on_verdict_(key, lost);
  Digest digest = Digest::for_content(key.content);
  for (const Block& block : blocks) digest.update(*block);
  const std::string found = digest.finish_hex();

  const bool right = found == key.content.hex();
  bool changed = false;
  {
    MutexLock lock(mutex_);
    changed = generation_of(name) != generation;
    if (changed && whole(name)) return;  // it is to be hashed again
    if (!changed && right) {
      trust(name);
    } else if (!changed) {
      drop_variant(name);
      drop_variant({key.space, key.content, ""});
    }
  }
  if (changed) return on_verdict_(key, lost);
  on_verdict_(key, right ? Result<void>() : wrong_hash(key.content, found));
}

std::uint64_t MemoryStoreCore::generation_of(const VariantKey& name) {
  VariantKey trusted = name;
  std::get<2>(trusted).clear();
  return variants_[name].generation + variants_[trusted].generation;
}

// Moves an endpoint's blocks to everybody.
void MemoryStoreCore::trust(const VariantKey& name) {
  VariantKey trusted = name;
  std::get<2>(trusted).clear();
  for (const auto& [block, bytes] : std::map(variants_[name].blocks)) {
    remove({name, block});
    if (!variants_[trusted].blocks.emplace(block, bytes).second) continue;
    variants_[trusted].bytes += bytes->size();
    used_ += bytes->size();
    touch(trusted, block);
  }
  variants_[trusted].verified = true;
  variants_.erase(name);
}

}  // namespace hubvfs::cache
