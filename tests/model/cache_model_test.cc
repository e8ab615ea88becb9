// SPDX-License-Identifier: Apache-2.0
// Random use of a disk cache against a plain map. The seed is printed; HUBVFS_TEST_SEED gives it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cache/disk_cache.h"
#include "tests/cache/blobs.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::cache {
namespace {

class CacheModel : public testing::Test {
 protected:
  void SetUp() override {
    const char* given = std::getenv("HUBVFS_TEST_SEED");
    const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given))
                                           : static_cast<unsigned>(std::random_device()());
    std::cout << "seed " << seed << " (HUBVFS_TEST_SEED)\n";
    random_.seed(seed);
    for (unsigned i = 0; i < 12; ++i) {
      const std::vector<std::size_t> sizes = {
          0, 1, 9000, 65535, 65536, kTestBlock, 5 * kTestBlock + 1 + i};
      sources_.push_back(
          make_blob(sizes[i % sizes.size()], 300 + i, i % 5 == 4 ? "u1000" : "public"));
    }
  }
  std::size_t pick(std::size_t below) { return random_() % below; }
  void open(std::uint64_t limit) {
    cache_.reset();
    auto opened = DiskCache::open({dir_ / "cache", limit, kTestBlock}, log_, clock_);
    ASSERT_TRUE(opened) << opened.error().context;
    cache_ = std::move(*opened);
  }

  BlobStore& store() { return cache_->blobs(); }

  std::mt19937 random_;
  std::vector<TestBlob> sources_;
  TempDir dir_;
  NullLogger log_;
  ManualClock clock_;
  std::unique_ptr<DiskCache> cache_;
};

// The first test's model: what is in the cache, and what is pinned.
class CacheModelWithRoom : public CacheModel {
 protected:
  std::uint64_t bytes_of(std::size_t number) {
    std::uint64_t bytes = 0;
    for (const std::uint64_t block : blocks_[number]) {
      bytes += block_length(sources_[number].content.size(), kTestBlock, block);
    }
    return bytes;
  }
  // One of the calls that commands make, on everything flushed.
  void command(std::size_t number) {
    ASSERT_TRUE(store().flush());
    const std::size_t act = pick(100);
    if (act < 30) {
      pinned_.clear();
      for (const TestBlob& source : sources_) {
        if (pick(4) == 0) pinned_.insert(source.key);
      }
      store().set_pinned({pinned_.begin(), pinned_.end()});
    } else if (act < 60) {
      const auto freed = store().evict(sources_[number].key);
      ASSERT_EQ(freed.has_value(), !pinned_.contains(sources_[number].key));
      if (!freed) return;
      ASSERT_EQ(*freed, bytes_of(number));
      blocks_[number].clear();
    } else if (act < 75) {
      const auto freed =
          store().prune({pick(2) == 0 ? std::optional(Duration::zero()) : std::nullopt, 0});
      std::uint64_t expected = 0;
      for (auto& [blob, blocks] : blocks_) {
        if (pinned_.contains(sources_[blob].key)) continue;
        expected += bytes_of(blob);
        blocks.clear();
      }
      ASSERT_EQ(freed.value_or(1), expected);
    } else {
      const auto report = store().verify(pick(2) == 0, {});
      ASSERT_TRUE(report);
      ASSERT_EQ(report->bad_blocks + report->bad_blobs, 0u) << report->problems.at(0);
    }
    std::map<BlobKey, BlobInfo> told;
    store().for_each_blob([&](const BlobInfo& info) { told[info.key] = info; });
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      ASSERT_EQ(told[sources_[i].key].bytes, bytes_of(i));
      ASSERT_EQ(told[sources_[i].key].blocks, blocks_[i].size());
      if (!blocks_[i].empty()) {
        ASSERT_EQ(told[sources_[i].key].pinned, pinned_.contains(sources_[i].key));
      }
    }
  }

  std::map<std::size_t, std::set<std::uint64_t>> blocks_;  // of each blob
  std::set<BlobKey> pinned_;
};

TEST_F(CacheModelWithRoom, ItHoldsExactlyWhatWasPut) {
  open(1u << 30);
  for (int step = 0; step < 1500; ++step) {
    const std::size_t number = pick(sources_.size());
    const TestBlob& source = sources_[number];
    auto& blocks = blocks_[number];
    auto blob = *cache_->blobs().open(source.key, kEndpoint);
    const std::size_t act = pick(100);
    if (act < 45 && source.blocks() > 0) {
      const std::uint64_t block = pick(source.blocks());
      blob->put(block, source.block(block));
      blocks.insert(block);
    } else if (act < 47) {
      blob->drop();
      blocks.clear();
    } else if (act < 52) {
      ASSERT_TRUE(cache_->blobs().flush());
      ASSERT_EQ(blob->verified(), blocks.size() == source.blocks()) << step;
    } else if (act < 54) {
      blob.reset();
      open(1u << 30);
      pinned_.clear();  // which the store does not remember
      blob = *cache_->blobs().open(source.key, kEndpoint);
    } else if (act < 58) {
      command(number);
      if (HasFatalFailure()) FAIL() << step;
    } else if (act < 60) {
      clock_.advance(std::chrono::seconds(pick(600)));
    }
    std::uint64_t bytes = 0;
    for (std::uint64_t i = 0; i < source.blocks(); ++i) {
      ASSERT_EQ(blob->has(i), blocks.contains(i)) << step << ": " << number << "/" << i;
      if (blocks.contains(i)) bytes += block_length(source.content.size(), kTestBlock, i);
    }
    ASSERT_EQ(blob->cached_bytes(), bytes) << step;
    ASSERT_EQ(blob->complete(), blocks.size() == source.blocks()) << step;
    if (source.content.empty()) continue;
    const std::size_t offset = pick(source.content.size());
    const std::size_t size =
        1 + pick(std::min<std::size_t>(source.content.size() - offset, 300000));
    bool here = true;
    for (std::uint64_t i = offset / kTestBlock; i <= (offset + size - 1) / kTestBlock; ++i) {
      here = here && blocks.contains(i);
    }
    const std::string expected = here ? source.content.substr(offset, size) : "<NotFound>";
    ASSERT_EQ(brief(read_text(*blob, offset, size)), brief(expected)) << step;
  }
  EXPECT_EQ(cache_->blobs().stats().corrupt_blocks, 0u);
  EXPECT_EQ(cache_->blobs().stats().unstored_blocks, 0u);
}

TEST_F(CacheModel, UnderPressureAndLiesItServesNothingWrong) {
  const std::uint64_t limit = 9 * kTestBlock;
  open(limit);
  int right = 0;
  constexpr std::size_t kNone = SIZE_MAX;
  std::size_t whole = kNone;  // one that was whole when it was pinned
  std::set<BlobKey> pinned;
  for (int step = 0; step < 2500; ++step) {
    const std::size_t number = pick(sources_.size());
    const TestBlob& source = sources_[number];
    const bool liar = pick(4) == 0;
    TestBlob told = source;
    if (liar) {
      for (std::size_t i = 0; i < told.content.size(); i += 1000) {
        told.content[i] = static_cast<char>(told.content[i] ^ 0x55);
      }
    }
    auto blob = *cache_->blobs().open(source.key, liar ? kOtherEndpoint : kEndpoint);
    const std::size_t act = pick(100);
    if (act < 60) {
      const std::uint64_t first = source.blocks() == 0 ? 0 : pick(source.blocks());
      for (std::uint64_t i = first; i < source.blocks(); ++i) blob->put(i, told.block(i));
    } else if (act < 62) {
      blob->drop();
      if (whole == number) whole = kNone;
    } else if (act < 64) {
      ASSERT_TRUE(store().flush());
      whole = kNone;
      pinned.clear();
      if (blob->verified() && pick(3) != 0) {
        whole = number;
        pinned.insert(source.key);
      }
      store().set_pinned({pinned.begin(), pinned.end()});
    } else if (act < 66) {
      const std::uint64_t to_bytes = pick(limit);
      ASSERT_TRUE(store().flush());
      ASSERT_TRUE(store().prune({std::nullopt, to_bytes}));
      ASSERT_LE(store().stats().bytes_used, std::max(to_bytes, store().stats().pinned_bytes));
    } else if (act < 67) {
      ASSERT_EQ(store().evict(source.key).has_value(), !pinned.contains(source.key));
    } else if (act < 68) {
      clock_.advance(std::chrono::seconds(pick(100)));
    } else if (act < 72) {
      ASSERT_TRUE(cache_->blobs().flush());
      ASSERT_LE(cache_->blobs().stats().bytes_used, limit);
      ASSERT_EQ(cache_->blobs().stats().pending_bytes, 0u);
    } else if (act < 74) {
      blob.reset();
      open(limit);
      whole = kNone;
      pinned.clear();
      continue;
    }
    if (whole != kNone) {
      ASSERT_TRUE((*store().open(sources_[whole].key, kEndpoint))->complete()) << step;
    }
    for (std::uint64_t i = 0; i < source.blocks(); ++i) {
      const std::size_t length = block_length(source.content.size(), kTestBlock, i);
      const std::string found = read_text(*blob, i * kTestBlock, length);
      if (found == "<NotFound>") continue;
      const bool true_bytes = found == source.content.substr(i * kTestBlock, length);
      const bool own_lie = liar && found == told.content.substr(i * kTestBlock, length);
      ASSERT_TRUE(true_bytes || own_lie) << step;
      right += true_bytes ? 1 : 0;
    }
  }
  EXPECT_GT(right, 0);
  EXPECT_EQ(cache_->blobs().stats().corrupt_blocks, 0u);
}

TEST_F(CacheModel, MetadataIsWhatWasPutLast) {
  open(1u << 30);
  std::map<std::string, std::string> model;
  for (int step = 0; step < 3000; ++step) {
    const std::string key = "key" + std::to_string(pick(30));
    const std::size_t act = pick(100);
    MetaStore& meta = cache_->meta();
    if (act < 50) {
      const std::string value =
          random_bytes(pick(10) == 0 ? 100000 : pick(500), static_cast<unsigned>(random_()));
      ASSERT_TRUE(meta.put("public", key, as_bytes(value)));
      model[key] = value;
    } else if (act < 60) {
      ASSERT_TRUE(meta.erase("public", key));
      model.erase(key);
    } else if (act < 61) {
      open(1u << 30);
    } else if (act < 65) {
      auto expected = model.begin();
      ASSERT_TRUE(meta.for_each("public", "", [&](std::string_view found, ByteView value) {
        ASSERT_NE(expected, model.end());
        ASSERT_EQ(found, expected->first);
        ASSERT_TRUE(as_text(value) == expected->second);
        ++expected;
      }));
      ASSERT_EQ(expected, model.end());
    } else {
      const auto value = meta.get("public", key);
      ASSERT_TRUE(value);
      ASSERT_EQ(value->has_value(), model.contains(key)) << step;
      if (value->has_value()) {
        ASSERT_TRUE(as_text(**value) == model[key]) << step;
      }
    }
  }
}

}  // namespace
}  // namespace hubvfs::cache
