// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_cache.h"

#include <utility>

#include "base/blocking.h"
#include "cache/cache_folder.h"
#include "cache/disk_blob_store.h"
#include "cache/disk_index.h"
#include "cache/disk_meta_store.h"
#include "cache/small_blobs.h"
#include "cache/starting_blob_store.h"

namespace hubvfs::cache {
namespace {

// Members are closed in the order opposite to this: stores, index, folder with its lock.
class OpenCache final : public DiskCache {
 public:
  static Result<std::unique_ptr<DiskCache>> open(const DiskCacheOptions& options, Logger& log,
                                                 const Clock& clock) {
    auto folder = CacheFolder::open(options.path, options.block_size, options.mode);
    if (!folder) return folder.error();
    std::unique_ptr<OpenCache> cache(new OpenCache(std::move(*folder), options, log, clock));
    if (auto opened = cache->open_metadata(); !opened) return opened.error();
    if (auto opened = cache->start_blobs(); !opened) return opened.error();
    return std::unique_ptr<DiskCache>(std::move(cache));
  }

  BlobStore& blobs() override { return *blob_store_; }
  MetaStore& meta() override { return *meta_store_; }

 private:
  OpenCache(std::unique_ptr<CacheFolder> folder, const DiskCacheOptions& options, Logger& log,
            const Clock& clock)
      : folder_(std::move(folder)),
        options_(options),
        log_(log),
        clock_(clock),
        index_(folder_->root(), log) {}

  Result<void> open_directory(const char* name, std::unique_ptr<Directory>& into) {
    auto directory = folder_->root().make_directory(name);
    if (!directory) return directory.error();
    into = std::make_unique<Directory>(std::move(*directory));
    return {};
  }

  Result<void> open_metadata() {
    if (auto opened = open_directory("blobs", blobs_); !opened) return opened;
    if (auto opened = open_directory("meta", meta_); !opened) return opened;
    if (auto shared = share_blobs(); !shared) return shared;
    auto meta = DiskMetaStore::open(*meta_, log_);
    if (!meta) return meta.error();
    meta_store_ = std::move(*meta);
    small_ = std::make_unique<SmallBlobs>(*meta_, log_);
    return small_->load();
  }

  Result<void> share_blobs() {
    if (options_.mode == 0) return {};
    if (auto set = set_mode(*blobs_, options_.mode); !set) return set;
    auto everybodys = blobs_->make_directory("public");
    if (everybodys) return set_mode(*everybodys, options_.mode);
    return everybodys.error().code == ErrorCode::kReadOnly ? Result<void>() : everybodys.error();
  }

  Result<void> start_blobs() {
    const StartingBlobStore::Options options{folder_->block_size(), options_.size_limit,
                                             options_.pending_limit};
    blob_store_ = std::make_unique<StartingBlobStore>(
        *blobs_, *small_, options, [this] { return make_store(); }, log_);
    return blob_store_->wait(options_.start_patience);
  }

  // On the thread of the starting store.
  Result<std::unique_ptr<BlobStore>> make_store() {
    auto index = index_.open();
    auto store = index ? open_store(**index) : index.error();
    if (index && !store && store.error().code == ErrorCode::kCorrupt) {
      index = index_.replace(store.error().context);
      store = index ? open_store(**index) : index.error();
    }
    index_.opened();
    return store;
  }

  Result<std::unique_ptr<BlobStore>> open_store(MetaIndex& index) {
    DiskBlobStoreOptions options;
    options.block_size = folder_->block_size();
    options.pending_limit = options_.pending_limit;
    options.size_limit = options_.size_limit;
    options.eviction = options_.eviction;
    options.punch_holes = options_.punch_holes;
    auto store = DiskBlobStore::open(*blobs_, *small_, index, options, log_, clock_);
    if (!store) return store.error();
    return std::unique_ptr<BlobStore>(std::move(*store));
  }

  const std::unique_ptr<CacheFolder> folder_;
  const DiskCacheOptions options_;
  Logger& log_;
  const Clock& clock_;
  std::unique_ptr<Directory> blobs_;
  std::unique_ptr<Directory> meta_;
  DiskIndex index_;  // the starting store's thread's
  std::unique_ptr<DiskMetaStore> meta_store_;
  std::unique_ptr<SmallBlobs> small_;
  std::unique_ptr<StartingBlobStore> blob_store_;
};

}  // namespace

Result<std::unique_ptr<DiskCache>> DiskCache::open(const DiskCacheOptions& options, Logger& log,
                                                   const Clock& clock) {
  assert_may_block("opening the cache");
  return OpenCache::open(options, log, clock);
}

}  // namespace hubvfs::cache
