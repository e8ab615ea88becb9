// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/cache_maker.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "cache/block_checksum.h"
#include "cache/cache_folder.h"
#include "cache/disk_cache.h"
#include "cache/file_stamp.h"
#include "cache/index_records.h"
#include "cache/lmdb_meta_index.h"
#include "cache/names.h"
#include "cache/sidecar.h"
#include "cache/use_clock.h"

namespace hubvfs::bench {
namespace {

using cache::BlobKey;

std::string number_text(std::uint64_t number) { return "bench " + std::to_string(number); }

// The small blobs and the metadata, by the cache's own means.
Result<void> fill_records(const std::string& path, const CacheShape& shape) {
  NullLogger log;
  const SystemClock clock;
  cache::DiskCacheOptions options;
  options.path = path;
  options.size_limit = 4 * shape.blocks * shape.block_size;
  options.block_size = shape.block_size;
  auto opened = cache::DiskCache::open(options, log, clock);
  if (!opened) return opened.error();
  for (std::uint64_t i = 0; i < shape.small_blobs; ++i) {
    std::string content = number_text(i);
    content.resize(1000 + i % 4000, 's');
    const auto id = *ContentId::create(ContentId::Algorithm::kSha256, sha256_hex(as_bytes(content)),
                                       content.size());
    auto blob = (*opened)->blobs().open({"public", id}, "https://bench.example");
    if (!blob) return blob.error();
    const ByteView bytes = as_bytes(content);
    (*blob)->put(0, std::make_shared<const Bytes>(bytes.begin(), bytes.end()));
    if (i % 1000 == 999) {
      if (auto flushed = (*opened)->blobs().flush(); !flushed) return flushed;
    }
  }
  const std::string value(300, 'm');
  for (std::uint64_t i = 0; i < shape.records; ++i) {
    auto put = (*opened)->meta().put("public", number_text(i), as_bytes(value));
    if (!put) return put;
  }
  return (*opened)->blobs().flush();
}

class FileMaker {
 public:
  FileMaker(const cache::Directory& root, const CacheShape& shape, cache::MetaIndex& index,
            std::uint64_t checked_blocks)
      : root_(root), shape_(shape), index_(index), checked_blocks_(checked_blocks) {}

  Result<void> make(const BlobKey& key, std::uint64_t number) {
    auto blobs = root_.make_directory("blobs");
    if (!blobs) return blobs.error();
    auto space = blobs->make_directory("public");
    if (!space) return space.error();
    if (auto made = space->make_directory(key.content.hex().substr(0, 2)); !made) {
      return made.error();
    }
    const std::string name = cache::blob_file_name(key);
    auto file = blobs->open_file(name, O_RDWR | O_CREAT);
    if (!file) return file.error();
    if (::ftruncate(file->get(), static_cast<off_t>(key.content.size())) != 0) {
      return system_error(errno, name);
    }
    auto map = blobs->open_file(name + std::string(cache::kSidecarSuffix), O_RDWR | O_CREAT);
    if (!map) return map.error();
    const cache::SidecarHeader header{key.content, shape_.block_size, {}};
    auto stamp = cache::stamp_of(file->get());  // found right when it looked so
    if (!stamp) return stamp.error();
    const auto blocks = describe(key, number, *stamp);
    if (auto written = cache::write_sidecar(map->get(), header, blocks); !written) return written;
    return apply(false);
  }
  Result<void> finish() { return apply(true); }

 private:
  std::vector<cache::SidecarBlock> describe(const BlobKey& key, std::uint64_t number,
                                            const cache::FileStamp& stamp) {
    constexpr std::uint64_t kTrusted = 1;
    changes_.push_back(
        {cache::blob_index_key(key), encode(cache::BlobRecord{number, {}, kTrusted, stamp})});
    std::vector<cache::SidecarBlock> blocks;
    const std::uint64_t count = cache::block_count(key.content.size(), shape_.block_size);
    for (std::uint64_t block = 0; block < count; ++block) {
      const auto length = static_cast<std::uint32_t>(
          cache::block_length(key.content.size(), shape_.block_size, block));
      zeros_.resize(length);
      const std::uint64_t checksum =
          block < checked_blocks_ ? cache::block_checksum(key, block, zeros_) : block + 1;
      blocks.push_back({block, true, length, checksum});
      changes_.push_back({cache::block_index_key(key.space, number, block),
                          encode(cache::BlockRecord{length, checksum, kTrusted, epoch_++, false})});
    }
    return blocks;
  }
  Result<void> apply(bool all) {
    constexpr std::size_t kAtOnce = 4096;
    std::size_t done = 0;
    while (changes_.size() - done >= (all ? 1 : kAtOnce)) {
      const std::size_t count = std::min(kAtOnce, changes_.size() - done);
      auto applied = index_.apply(std::span(changes_).subspan(done, count));
      if (!applied) return applied;
      done += count;
    }
    changes_.erase(changes_.begin(), changes_.begin() + static_cast<std::ptrdiff_t>(done));
    return {};
  }

  const cache::Directory& root_;
  const CacheShape& shape_;
  cache::MetaIndex& index_;
  const std::uint64_t checked_blocks_;
  std::uint64_t epoch_ = cache::UseClock::at(SystemClock().unix_now() - 3600);
  std::vector<cache::IndexChange> changes_;
  Bytes zeros_;
};

Result<void> make_files(const std::string& path, const CacheShape& shape,
                        std::uint64_t checked_blocks) {
  auto folder = cache::CacheFolder::open(path, shape.block_size);
  if (!folder) return folder.error();
  const cache::Directory& root = (*folder)->root();
  auto directory = root.open_directory("index");
  if (!directory) return directory.error();
  auto index = cache::LmdbMetaIndex::open(*directory);
  if (!index) return index.error();
  FileMaker maker(root, shape, **index, checked_blocks);
  std::uint64_t number = 1'000'000;
  for (const BlobKey& key : blob_keys(shape)) {
    if (auto made = maker.make(key, number++); !made) return made;
  }
  return maker.finish();
}

}  // namespace

std::vector<BlobKey> blob_keys(const CacheShape& shape) {
  std::vector<BlobKey> keys;
  for (std::uint64_t i = 0; i < shape.blobs; ++i) {
    const std::uint64_t blocks =
        shape.blocks / shape.blobs + (i < shape.blocks % shape.blobs ? 1 : 0);
    keys.push_back({"public", *ContentId::create(ContentId::Algorithm::kSha256,
                                                 sha256_hex(as_bytes(number_text(i))),
                                                 blocks * shape.block_size)});
  }
  return keys;
}

Result<void> make_cache(const std::string& path, const CacheShape& shape,
                        std::uint64_t checked_blocks) {
  if (auto filled = fill_records(path, shape); !filled) return filled;
  return make_files(path, shape, checked_blocks);
}

}  // namespace hubvfs::bench
