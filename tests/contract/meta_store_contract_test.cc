// SPDX-License-Identifier: Apache-2.0
// What every MetaStore does.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cache/disk_cache.h"
#include "cache/memory_cache.h"
#include "cache/meta_store.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {
namespace {

class MetaUnderTest {
 public:
  virtual ~MetaUnderTest() = default;
  virtual MetaStore& store() = 0;
};

class MemoryUnderTest final : public MetaUnderTest {
 public:
  MetaStore& store() override { return store_; }

 private:
  MemoryMetaStore store_;
};

class DiskUnderTest final : public MetaUnderTest {
 public:
  DiskUnderTest()
      : cache_(std::move(*DiskCache::open({dir_ / "cache", 0, 1u << 20}, log_, clock_))) {}
  MetaStore& store() override { return cache_->meta(); }

 private:
  TempDir dir_;
  NullLogger log_;
  SystemClock clock_;
  std::unique_ptr<DiskCache> cache_;
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<MetaUnderTest>()> make;
};

class MetaStoreContract : public testing::TestWithParam<Kind> {
 protected:
  MetaStore& store() { return made_->store(); }
  std::string get(const std::string& key, const Namespace& space = "public") {
    auto value = store().get(space, key);
    if (!value) return std::string("<") + to_string(value.error().code) + ">";
    if (!value->has_value()) return "<none>";
    return std::string(as_text(**value));
  }
  Result<void> put(const std::string& key, const std::string& value,
                   const Namespace& space = "public") {
    return store().put(space, key, as_bytes(value));
  }
  std::string all(const std::string& prefix) {
    std::string text;
    EXPECT_TRUE(store().for_each("public", prefix, [&](std::string_view key, ByteView value) {
      text.append(key).append("=").append(as_text(value)).append(";");
    }));
    return text;
  }

  std::unique_ptr<MetaUnderTest> made_ = GetParam().make();
};

TEST_P(MetaStoreContract, GivesBackWhatWasPut) {
  EXPECT_EQ(get("a"), "<none>");
  ASSERT_TRUE(put("a", "1"));
  EXPECT_EQ(get("a"), "1");
  ASSERT_TRUE(put("a", "22"));
  EXPECT_EQ(get("a"), "22");
  ASSERT_TRUE(put("empty", ""));
  EXPECT_EQ(get("empty"), "");
}

TEST_P(MetaStoreContract, KeysAreAnyBytes) {
  const std::string key("\0\xff/..\n", 6);
  ASSERT_TRUE(put(key, "x"));
  EXPECT_EQ(get(key), "x");
  const std::string longest(4096, 'k');
  ASSERT_TRUE(put(longest, "y"));
  EXPECT_EQ(get(longest), "y");
}

TEST_P(MetaStoreContract, BadKeysAndNamespacesAreRefused) {
  EXPECT_FALSE(put("", "x"));
  EXPECT_FALSE(put(std::string(4097, 'k'), "x"));
  EXPECT_FALSE(put("k", "x", "../public"));
  EXPECT_EQ(get("k", "nobody"), "<InvalidArgument>");
}

TEST_P(MetaStoreContract, AnErasedKeyIsGone) {
  ASSERT_TRUE(put("a", "1"));
  ASSERT_TRUE(store().erase("public", "a"));
  EXPECT_EQ(get("a"), "<none>");
  ASSERT_TRUE(store().erase("public", "never"));
  ASSERT_TRUE(put("a", "2"));
  EXPECT_EQ(get("a"), "2");
}

TEST_P(MetaStoreContract, ForEachWalksAPrefixInByteOrder) {
  for (const char* key : {"b2", "a", "b1", "b10", "c"}) ASSERT_TRUE(put(key, key));
  EXPECT_EQ(all("b"), "b1=b1;b10=b10;b2=b2;");
  EXPECT_EQ(all(""), "a=a;b1=b1;b10=b10;b2=b2;c=c;");
  EXPECT_EQ(all("d"), "");
  ASSERT_TRUE(store().erase("public", "b10"));
  EXPECT_EQ(all("b"), "b1=b1;b2=b2;");
}

TEST_P(MetaStoreContract, NamespacesShareNothing) {
  ASSERT_TRUE(put("a", "public"));
  EXPECT_EQ(get("a", "u1"), "<none>");
  ASSERT_TRUE(put("a", "mine", "u1"));
  EXPECT_EQ(get("a"), "public");
  EXPECT_EQ(get("a", "u1"), "mine");
}

TEST_P(MetaStoreContract, LargeValuesComeBackWhole) {
  const std::string large = random_bytes(3u << 20, 1);
  ASSERT_TRUE(put("large", large));
  ASSERT_TRUE(put("small", "s"));
  EXPECT_TRUE(get("large") == large);
  EXPECT_EQ(get("small"), "s");
}

TEST_P(MetaStoreContract, ManyThreadsPutAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string key = std::to_string(t) + "/" + std::to_string(i);
        EXPECT_TRUE(put(key, std::string(static_cast<std::size_t>(i * 50), 'v')));
        EXPECT_TRUE(put("shared", key));
        EXPECT_EQ(get(key).size(), static_cast<std::size_t>(i * 50));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::size_t keys = 0;
  ASSERT_TRUE(store().for_each("public", "", [&](std::string_view, ByteView) { ++keys; }));
  EXPECT_EQ(keys, 401u);
  EXPECT_TRUE(get("shared").ends_with("/99"));
}

INSTANTIATE_TEST_SUITE_P(
    Stores, MetaStoreContract,
    testing::Values(Kind{"Memory", [] { return std::make_unique<MemoryUnderTest>(); }},
                    Kind{"Disk", [] { return std::make_unique<DiskUnderTest>(); }}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace hubvfs::cache
