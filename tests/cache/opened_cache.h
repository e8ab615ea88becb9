// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "cache/disk_cache.h"
#include "cache/index_records.h"
#include "tests/cache/blobs.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {

// A disk cache in a folder of its own, to be closed, damaged and opened again.
class OpenedCache : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open(std::uint64_t size_limit = 1u << 30) {
    close();
    options_.path = path_;
    options_.size_limit = size_limit;
    options_.block_size = kTestBlock;
    auto opened = DiskCache::open(options_, log_, clock_);
    ASSERT_TRUE(opened) << opened.error().context;
    cache_ = std::move(*opened);
  }
  void close() { cache_.reset(); }

  BlobStore& store() { return cache_->blobs(); }
  std::shared_ptr<Blob> blob(const TestBlob& source, const std::string& endpoint = kEndpoint) {
    return std::move(*store().open(source.key, endpoint));
  }
  void flush() { ASSERT_TRUE(store().flush()); }
  // Puts all of it, and waits until it is on disk and judged.
  void fill(const TestBlob& source) {
    put_all(*blob(source), source);
    flush();
  }
  std::string data_file(const TestBlob& source) const {
    return path_ + "/blobs/" + blob_file_name(source.key);
  }
  std::string get(const std::string& key) {
    auto value = cache_->meta().get("public", key);
    return value && *value ? std::string(as_text(**value)) : "<none>";
  }
  void expect_whole(const TestBlob& source) {
    const auto opened = blob(source);
    EXPECT_TRUE(opened->complete());
    EXPECT_EQ(brief(read_text(*opened)), brief(source.content));
  }

  TempDir dir_;
  std::string path_ = dir_ / "cache";
  DiskCacheOptions options_;  // but for what open() sets
  RecordingLogger log_;
  ManualClock clock_;
  std::unique_ptr<DiskCache> cache_;
};

// Changes one byte of a file in its place: nothing but that byte tells.
inline void flip_byte(const std::string& path, std::uint64_t offset) {
  std::string bytes = read_file(path);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const char changed = static_cast<char>(bytes[offset] ^ 0x40);
  ASSERT_EQ(::pwrite(fd.get(), &changed, 1, static_cast<off_t>(offset)), 1);
}

}  // namespace hubvfs::cache
