// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_cache.h"

#include <fcntl.h>

#include <chrono>
#include <utility>

#include "base/blocking.h"
#include "cache/cache_folder.h"
#include "cache/disk_blob_store.h"
#include "cache/disk_meta_store.h"
#include "cache/lmdb_meta_index.h"
#include "cache/lmdb_probe.h"

namespace hubvfs::cache {
namespace {

constexpr std::chrono::seconds kProbeLimit{30};
constexpr const char* kIndexName = "index";
constexpr const char* kBadIndexName = "index.bad";
// There while the index is opened. Found at a start: the one before died of it.
constexpr const char* kOpeningName = "index.opening";

// Members are closed in the order opposite to this: stores, index, folder with its lock.
class OpenCache final : public DiskCache {
 public:
  static Result<std::unique_ptr<DiskCache>> open(const DiskCacheOptions& options, Logger& log,
                                                 const Clock& clock) {
    auto folder = CacheFolder::open(options.path, options.block_size);
    if (!folder) return folder.error();
    std::unique_ptr<OpenCache> cache(new OpenCache(std::move(*folder), log));
    if (auto opened = cache->open_directories(); !opened) return opened.error();
    if (auto opened = cache->open_stores(options, clock); !opened) return opened.error();
    return std::unique_ptr<DiskCache>(std::move(cache));
  }

  BlobStore& blobs() override { return *blob_store_; }
  MetaStore& meta() override { return *meta_store_; }

 private:
  OpenCache(std::unique_ptr<CacheFolder> folder, Logger& log)
      : folder_(std::move(folder)), log_(log) {}

  static Result<void> open_directory(const Directory& root, const char* name,
                                     std::unique_ptr<Directory>& into) {
    auto directory = root.make_directory(name);
    if (!directory) return directory.error();
    into = std::make_unique<Directory>(std::move(*directory));
    return {};
  }

  Result<void> open_directories() {
    const Directory& root = folder_->root();
    if (auto opened = open_directory(root, "blobs", blobs_); !opened) return opened;
    return open_directory(root, "meta", meta_);
  }

  // The index, which a child process has read before; one that is damaged is set aside.
  Result<void> open_index() {
    const Directory& root = folder_->root();
    if (auto opened = open_directory(root, kIndexName, index_directory_); !opened) return opened;
    std::string why = "the last start died while it opened it";
    const bool died = root.open_file(kOpeningName, O_RDONLY).has_value();
    if (died || !probe_index(*index_directory_, kProbeLimit, why)) {
      if (auto aside = set_index_aside(why); !aside) return aside;
    }
    // A full disk has no room for the mark; that must not keep the cache from being read.
    (void)root.open_file(kOpeningName, O_WRONLY | O_CREAT).has_value();
    auto index = LmdbMetaIndex::open(*index_directory_);
    if (!index && index.error().code == ErrorCode::kCorrupt) {
      if (auto aside = set_index_aside(index.error().context); !aside) return aside;
      index = LmdbMetaIndex::open(*index_directory_);
    }
    if (!index) return index.error();
    index_ = std::move(*index);
    return {};
  }

  Result<void> set_index_aside(const std::string& why) {
    log_.warning("cache: the index is damaged (" + why + "); it is kept as " + kBadIndexName +
                 " and made anew from the sidecars");
    const Directory& root = folder_->root();
    index_.reset();
    index_directory_.reset();
    if (auto removed = root.remove_directory(kBadIndexName); !removed) return removed;
    if (auto moved = root.rename(kIndexName, kBadIndexName); !moved) return moved;
    return open_directory(root, kIndexName, index_directory_);
  }

  Result<void> open_blob_store(const DiskCacheOptions& options, const Clock& clock) {
    DiskBlobStoreOptions store_options;
    store_options.block_size = folder_->block_size();
    store_options.pending_limit = options.pending_limit;
    store_options.size_limit = options.size_limit;
    store_options.eviction = options.eviction;
    store_options.punch_holes = options.punch_holes;
    auto store = DiskBlobStore::open(*blobs_, *meta_, *index_, store_options, log_, clock);
    if (!store) return store.error();
    blob_store_ = std::move(*store);
    return {};
  }

  Result<void> open_stores(const DiskCacheOptions& options, const Clock& clock) {
    if (auto opened = open_index(); !opened) return opened;
    auto opened = open_blob_store(options, clock);
    if (!opened && opened.error().code == ErrorCode::kCorrupt) {
      if (auto aside = set_index_aside(opened.error().context); !aside) return aside;
      if (auto again = open_index(); !again) return again;
      opened = open_blob_store(options, clock);
    }
    // Whatever came of it, it was no crash.
    if (auto removed = folder_->root().remove_file(kOpeningName); !removed) return removed;
    if (!opened) return opened;
    auto meta = DiskMetaStore::open(*meta_, log_);
    if (!meta) return meta.error();
    meta_store_ = std::move(*meta);
    return {};
  }

  const std::unique_ptr<CacheFolder> folder_;
  Logger& log_;
  std::unique_ptr<Directory> blobs_;
  std::unique_ptr<Directory> meta_;
  std::unique_ptr<Directory> index_directory_;
  std::unique_ptr<LmdbMetaIndex> index_;
  std::unique_ptr<DiskBlobStore> blob_store_;
  std::unique_ptr<DiskMetaStore> meta_store_;
};

}  // namespace

Result<std::unique_ptr<DiskCache>> DiskCache::open(const DiskCacheOptions& options, Logger& log,
                                                   const Clock& clock) {
  assert_may_block("opening the cache");
  return OpenCache::open(options, log, clock);
}

}  // namespace hubvfs::cache
