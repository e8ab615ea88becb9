// SPDX-License-Identifier: Apache-2.0
// What every BlobStore does.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "cache/blob_store.h"
#include "cache/directory.h"
#include "cache/disk_blob_store.h"
#include "cache/disk_cache.h"
#include "cache/memory_cache.h"
#include "cache/memory_meta_index.h"
#include "cache/small_blobs.h"
#include "tests/cache/blobs.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {
namespace {

constexpr std::uint64_t kLimit = 8 * kTestBlock;

// A store and what it stands on.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual BlobStore& store() = 0;

  ManualClock clock;
};

class MemoryUnderTest final : public StoreUnderTest {
 public:
  BlobStore& store() override { return store_; }

 private:
  MemoryBlobStore store_{kTestBlock, kLimit, clock};
};

Directory open_directory(const std::string& path) {
  write_file(path + "/.made", "");
  return Directory(UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
}

class DiskUnderTest final : public StoreUnderTest {
 public:
  DiskUnderTest() : blobs_(open_directory(dir_ / "blobs")), meta_(open_directory(dir_ / "meta")) {
    DiskBlobStoreOptions options;
    options.block_size = kTestBlock;
    options.size_limit = kLimit;
    if (!small_.load()) std::abort();
    store_ = std::move(*DiskBlobStore::open(blobs_, small_, index_, options, log_, clock));
  }
  BlobStore& store() override { return *store_; }

 private:
  TempDir dir_;
  Directory blobs_;
  Directory meta_;
  MemoryMetaIndex index_;
  NullLogger log_;
  SmallBlobs small_{meta_, log_};
  std::unique_ptr<DiskBlobStore> store_;
};

class CacheUnderTest final : public StoreUnderTest {
 public:
  explicit CacheUnderTest(std::optional<Duration> start_patience) {
    DiskCacheOptions options;
    options.path = dir_ / "cache";
    options.size_limit = kLimit;
    options.block_size = kTestBlock;
    options.start_patience = start_patience;
    cache_ = std::move(*DiskCache::open(options, log_, clock));
  }
  BlobStore& store() override { return cache_->blobs(); }

 private:
  TempDir dir_;
  NullLogger log_;
  std::unique_ptr<DiskCache> cache_;
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<StoreUnderTest>()> make;
};

class BlobStoreContract : public testing::TestWithParam<Kind> {
 protected:
  BlobStore& store() { return made_->store(); }
  std::shared_ptr<Blob> open(const TestBlob& blob, const std::string& endpoint = kEndpoint) {
    return std::move(*store().open(blob.key, endpoint));
  }
  void fill(const TestBlob& source) {
    put_all(*open(source), source);
    ASSERT_TRUE(store().flush());
  }
  std::map<BlobKey, BlobInfo> blobs() {
    std::map<BlobKey, BlobInfo> all;
    store().for_each_blob([&](const BlobInfo& info) {
      EXPECT_TRUE(all.emplace(info.key, info).second) << "visited twice";
    });
    return all;
  }
  // So many more blocks than the store holds.
  void press(unsigned seed) {
    for (unsigned i = 0; i < 3; ++i) fill(make_blob(4 * kTestBlock, seed + i));
  }

  std::unique_ptr<StoreUnderTest> made_ = GetParam().make();
};

TEST_P(BlobStoreContract, AnUnknownBlobIsOneWithoutBlocks) {
  const TestBlob source = make_blob(3 * kTestBlock, 1);
  const auto blob = open(source);
  EXPECT_FALSE(blob->has(0));
  EXPECT_EQ(blob->cached_bytes(), 0u);
  EXPECT_FALSE(blob->complete());
  EXPECT_FALSE(blob->verified());
  EXPECT_EQ(read_text(*blob, 0, 10), "<NotFound>");
}

TEST_P(BlobStoreContract, ABlockIsReadableAtOnce) {
  const TestBlob source = make_blob(3 * kTestBlock - 7, 2);
  const auto blob = open(source);
  blob->put(1, source.block(1));
  EXPECT_TRUE(blob->has(1));
  EXPECT_FALSE(blob->has(0));
  EXPECT_EQ(brief(read_text(*blob, kTestBlock + 5, 1000)),
            brief(source.content.substr(kTestBlock + 5, 1000)));
  EXPECT_EQ(blob->cached_bytes(), kTestBlock);
}

TEST_P(BlobStoreContract, ABlockIsReadableAfterItWasWritten) {
  const TestBlob source = make_blob(3 * kTestBlock - 7, 3);
  const auto blob = open(source);
  put_all(*blob, source);
  ASSERT_TRUE(store().flush());
  EXPECT_EQ(brief(read_text(*blob)), brief(source.content));
  EXPECT_EQ(brief(read_text(*blob, 3 * kTestBlock - 8, 1)),
            brief(source.content.substr(3 * kTestBlock - 8)));
  EXPECT_EQ(blob->cached_bytes(), source.content.size());
  EXPECT_EQ(store().stats().pending_bytes, 0u);
}

TEST_P(BlobStoreContract, ARangeWithAHoleIsNotFound) {
  const TestBlob source = make_blob(3 * kTestBlock, 4);
  const auto blob = open(source);
  blob->put(0, source.block(0));
  blob->put(2, source.block(2));
  EXPECT_EQ(read_text(*blob), "<NotFound>");
  EXPECT_EQ(read_text(*blob, kTestBlock - 1, 2), "<NotFound>");
  EXPECT_EQ(brief(read_text(*blob, kTestBlock - 1, 1)),
            brief(source.content.substr(kTestBlock - 1, 1)));
}

TEST_P(BlobStoreContract, AReadBeyondTheEndIsRefused) {
  const TestBlob source = make_blob(kTestBlock + 1, 5);
  const auto blob = open(source);
  put_all(*blob, source);
  EXPECT_EQ(read_text(*blob, kTestBlock, 2), "<InvalidArgument>");
  EXPECT_EQ(read_text(*blob, UINT64_MAX, 2), "<InvalidArgument>");
  EXPECT_EQ(read_text(*blob, kTestBlock + 1, 0), "");
}

TEST_P(BlobStoreContract, ACompleteBlobIsVerified) {
  std::atomic<int> right{0};
  store().on_verdict([&](const BlobKey&, Result<void> verdict) { right += verdict ? 1 : 100; });
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{5000}, kTestBlock, kTestBlock + 1, 3 * kTestBlock}) {
    const TestBlob source = make_blob(size, 6);
    const auto blob = open(source);
    put_all(*blob, source);
    ASSERT_TRUE(store().flush());
    EXPECT_TRUE(blob->complete()) << size;
    EXPECT_TRUE(blob->verified()) << size;
    EXPECT_EQ(brief(read_text(*blob)), brief(source.content)) << size;
  }
  EXPECT_EQ(right, 5);
}

// More than the store holds, in order and not: whether it is judged in time or loses a block
// before, whoever was told that a verdict follows gets one.
TEST_P(BlobStoreContract, AVerdictFollowsWhereverPutSaysSo) {
  std::atomic<int> told{0};
  store().on_verdict([&](const BlobKey&, Result<void> verdict) {
    EXPECT_TRUE(verdict || verdict.error().code == ErrorCode::kNotFound);
    ++told;
  });
  int promised = 0;
  for (unsigned seed = 0; seed < 12; ++seed) {
    const std::uint64_t blocks = 2 + seed;
    const TestBlob source = make_blob(blocks * kTestBlock - 5, 60 + seed);
    const auto blob = open(source);
    for (std::uint64_t i = 0; i < blocks; ++i) {
      const std::uint64_t block = seed % 2 == 0 ? i : blocks - 1 - i;
      promised += blob->put(block, source.block(block)) ? 1 : 0;
    }
    if (seed % 3 == 0) {
      ASSERT_TRUE(store().evict(source.key));
    }
    ASSERT_TRUE(store().flush());
  }
  EXPECT_EQ(told, promised);
}

TEST_P(BlobStoreContract, AGitBlobIsVerifiedByItsGitHash) {
  const std::string content = "hello\n";
  const auto id = ContentId::create(ContentId::Algorithm::kGitSha1,
                                    "ce013625030ba8dba906f756967f9e9ca394464a", content.size());
  const TestBlob source{content, {"public", *id}};
  const auto blob = open(source);
  put_all(*blob, source);
  ASSERT_TRUE(store().flush());
  EXPECT_TRUE(blob->verified());
}

TEST_P(BlobStoreContract, BlocksInAnyOrderAreVerified) {
  const TestBlob source = make_blob(5 * kTestBlock + 3, 7);
  const auto blob = open(source);
  for (const std::uint64_t block : {3u, 0u, 5u, 1u}) blob->put(block, source.block(block));
  ASSERT_TRUE(store().flush());
  EXPECT_FALSE(blob->verified());
  for (const std::uint64_t block : {4u, 2u}) blob->put(block, source.block(block));
  ASSERT_TRUE(store().flush());
  EXPECT_TRUE(blob->verified());
}

TEST_P(BlobStoreContract, AnEmptyBlobIsCompleteAndItsHashIsChecked) {
  const TestBlob right = make_blob(0, 8);
  const auto blob = open(right);
  ASSERT_TRUE(store().flush());
  EXPECT_TRUE(blob->complete());
  EXPECT_TRUE(blob->verified());
  EXPECT_EQ(read_text(*blob), "");

  const auto id = ContentId::create(ContentId::Algorithm::kSha256, std::string(64, 'a'), 0);
  const auto wrong = store().open({"public", *id}, kEndpoint);
  ASSERT_TRUE(store().flush());
  EXPECT_FALSE((*wrong)->verified());
}

TEST_P(BlobStoreContract, ContentThatDoesNotMatchIsDropped) {
  for (const std::size_t size : {std::size_t{5000}, 3 * kTestBlock}) {
    std::atomic<bool> told{false};
    std::string context;
    const TestBlob source = make_wrong_blob(size, 9);
    store().on_verdict([&](const BlobKey& key, Result<void> verdict) {
      EXPECT_EQ(key, source.key);
      ASSERT_FALSE(verdict);
      EXPECT_EQ(verdict.error().code, ErrorCode::kCorrupt);
      context = verdict.error().context;
      told = true;
    });
    const auto blob = open(source);
    put_all(*blob, source);
    ASSERT_TRUE(store().flush());
    ASSERT_TRUE(told);
    EXPECT_NE(context.find(source.key.content.hex()), std::string::npos);
    EXPECT_NE(context.find(sha256_hex(as_bytes(source.content))), std::string::npos);
    EXPECT_EQ(blob->cached_bytes(), 0u);
    EXPECT_FALSE(blob->has(0));
    EXPECT_EQ(read_text(*blob, 0, 1), "<NotFound>");
  }
}

TEST_P(BlobStoreContract, RightContentAfterWrongContentIsKept) {
  TestBlob source = make_wrong_blob(3 * kTestBlock, 10);
  const auto blob = open(source);
  put_all(*blob, source);
  ASSERT_TRUE(store().flush());
  source = make_blob(3 * kTestBlock, 10);
  put_all(*blob, source);
  ASSERT_TRUE(store().flush());
  EXPECT_TRUE(blob->verified());
  EXPECT_EQ(brief(read_text(*blob)), brief(source.content));
}

TEST_P(BlobStoreContract, ADroppedBlobIsGoneAndCanBeFilledAgain) {
  for (const std::size_t size : {std::size_t{700}, 3 * kTestBlock}) {
    const TestBlob source = make_blob(size, 11);
    const auto blob = open(source);
    put_all(*blob, source);
    ASSERT_TRUE(store().flush());
    blob->drop();
    EXPECT_FALSE(blob->has(0));
    EXPECT_FALSE(blob->complete());
    EXPECT_FALSE(blob->verified());
    EXPECT_EQ(read_text(*blob), "<NotFound>");
    put_all(*blob, source);
    EXPECT_EQ(brief(read_text(*blob)), brief(source.content));
    ASSERT_TRUE(store().flush());
    EXPECT_TRUE(blob->verified());
    EXPECT_EQ(brief(read_text(*blob)), brief(source.content));
  }
}

TEST_P(BlobStoreContract, TwoHandlesShareOneBlob) {
  const TestBlob source = make_blob(2 * kTestBlock, 12);
  const auto one = open(source);
  const auto other = open(source);
  one->put(0, source.block(0));
  EXPECT_TRUE(other->has(0));
  EXPECT_EQ(brief(read_text(*other, 0, 100)), brief(source.content.substr(0, 100)));
}

TEST_P(BlobStoreContract, ABlobOutlivesItsHandles) {
  const TestBlob source = make_blob(2 * kTestBlock, 13);
  auto blob = open(source);
  blob->put(1, source.block(1));
  blob.reset();
  ASSERT_TRUE(store().flush());
  blob = open(source);
  EXPECT_TRUE(blob->has(1));
  EXPECT_EQ(brief(read_text(*blob, kTestBlock, 10)), brief(source.content.substr(kTestBlock, 10)));
}

TEST_P(BlobStoreContract, UnverifiedBlocksAreTheirEndpointsOwn) {
  const TestBlob source = make_blob(2 * kTestBlock, 14);
  const auto blob = open(source);
  blob->put(0, source.block(0));
  ASSERT_TRUE(store().flush());
  const auto foreign = open(source, kOtherEndpoint);
  EXPECT_FALSE(foreign->has(0));
  EXPECT_EQ(foreign->cached_bytes(), 0u);
  EXPECT_EQ(read_text(*foreign, 0, 1), "<NotFound>");
  EXPECT_TRUE(blob->has(0));
}

TEST_P(BlobStoreContract, VerifiedBlocksAreEverybodys) {
  const TestBlob source = make_blob(2 * kTestBlock, 15);
  const auto blob = open(source);
  put_all(*blob, source);
  ASSERT_TRUE(store().flush());
  const auto foreign = open(source, kOtherEndpoint);
  EXPECT_TRUE(foreign->complete());
  EXPECT_TRUE(foreign->verified());
  EXPECT_EQ(brief(read_text(*foreign)), brief(source.content));
}

TEST_P(BlobStoreContract, AnotherEndpointsBlocksNeverMixWithTheOwners) {
  const TestBlob source = make_blob(2 * kTestBlock, 16);
  const TestBlob lies{random_bytes(2 * kTestBlock, 17), source.key};
  const auto liar = open(lies, kOtherEndpoint);
  liar->put(0, lies.block(0));
  const auto blob = open(source);
  blob->put(0, source.block(0));
  // One of them may not be kept, whichever the store takes up first; but none reads the other's.
  const auto expect_own = [](Blob& opened, const TestBlob& own) {
    const std::string found = read_text(opened, 0, kTestBlock);
    EXPECT_TRUE(found == "<NotFound>" || found == own.content.substr(0, kTestBlock))
        << brief(found);
  };
  expect_own(*blob, source);
  expect_own(*liar, lies);
}

TEST_P(BlobStoreContract, NamespacesShareNothing) {
  const TestBlob source = make_blob(2 * kTestBlock, 18);
  const auto blob = open(source);
  put_all(*blob, source);
  ASSERT_TRUE(store().flush());
  TestBlob other = source;
  other.key.space = "u1000";
  EXPECT_FALSE(open(other)->has(0));
  EXPECT_FALSE(open(other)->verified());
}

TEST_P(BlobStoreContract, BadNamesAreRefused) {
  const TestBlob source = make_blob(10, 19);
  for (const char* space : {"", "private", "u", "u1/../public", "../public", "u12345678901"}) {
    const auto opened = store().open({space, source.key.content}, kEndpoint);
    ASSERT_FALSE(opened) << space;
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(store().open(source.key, ""));
}

TEST_P(BlobStoreContract, TheLimitHoldsAndTheOldestBlocksGo) {
  const TestBlob old = make_blob(4 * kTestBlock, 20);
  const auto first = open(old);
  put_all(*first, old);
  ASSERT_TRUE(store().flush());
  for (unsigned i = 0; i < 3; ++i) {
    const TestBlob source = make_blob(4 * kTestBlock, 21 + i);
    const auto blob = open(source);
    put_all(*blob, source);
    ASSERT_TRUE(store().flush());
    EXPECT_LE(store().stats().bytes_used, kLimit);
    EXPECT_EQ(brief(read_text(*blob)), brief(source.content));
  }
  EXPECT_GT(store().stats().evicted_blocks, 0u);
  EXPECT_FALSE(first->complete());
}

TEST_P(BlobStoreContract, ABlobLargerThanTheStoreStreamsThrough) {
  const TestBlob source = make_blob(3 * kLimit, 25);
  const auto blob = open(source);
  for (std::uint64_t i = 0; i < source.blocks(); ++i) {
    blob->put(i, source.block(i));
    EXPECT_EQ(brief(read_text(*blob, i * kTestBlock, 10)),
              brief(source.content.substr(i * kTestBlock, 10)));
  }
  ASSERT_TRUE(store().flush());
  EXPECT_LE(store().stats().bytes_used, kLimit);
  EXPECT_FALSE(blob->complete());
}

TEST_P(BlobStoreContract, StatsCount) {
  const TestBlob source = make_blob(3 * kTestBlock, 26);
  const auto blob = open(source);
  blob->put(0, source.block(0));
  blob->put(2, source.block(2));
  ASSERT_TRUE(store().flush());
  read_text(*blob, 0, 10);
  read_text(*blob, kTestBlock, 10);
  const StoreStats stats = store().stats();
  EXPECT_EQ(stats.size_limit, kLimit);
  EXPECT_EQ(stats.bytes_used, 2 * kTestBlock);
  EXPECT_EQ(stats.blobs, 1u);
  EXPECT_EQ(stats.blocks, 2u);
  EXPECT_EQ(stats.hits, 1u);
  EXPECT_EQ(stats.misses, 1u);
  EXPECT_EQ(stats.degraded, "");
}

TEST_P(BlobStoreContract, ManyThreadsReadAndFillOneBlob) {
  const TestBlob source = make_blob(6 * kTestBlock, 27);
  const auto blob = open(source);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 200; ++i) {
        const std::uint64_t block = (i * 7 + t) % source.blocks();
        const std::uint64_t offset = block * kTestBlock + i;
        const std::string found = read_text(*blob, offset, 512);
        if (found == "<NotFound>") {
          blob->put(block, source.block(block));
        } else if (found != source.content.substr(offset, 512)) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  ASSERT_TRUE(store().flush());
  EXPECT_TRUE(blob->verified());
}

TEST_P(BlobStoreContract, EachBlobIsToldOnce) {
  const TestBlob whole = make_blob(2 * kTestBlock + 5, 40);
  const TestBlob part = make_blob(4 * kTestBlock, 41, "u1000");
  const TestBlob small = make_blob(900, 42);
  fill(whole);
  fill(small);
  made_->clock.advance(std::chrono::seconds(100));
  const UnixSeconds later = made_->clock.unix_now();
  open(part)->put(2, part.block(2));
  ASSERT_TRUE(store().flush());
  const auto untouched = open(make_blob(kTestBlock, 43));

  const auto all = blobs();
  ASSERT_EQ(all.size(), 3u);
  const BlobInfo& complete = all.at(whole.key);
  EXPECT_EQ(complete.bytes, 2 * kTestBlock + 5);
  EXPECT_EQ(complete.blocks, 3u);
  EXPECT_TRUE(complete.complete);
  EXPECT_TRUE(complete.verified);
  EXPECT_FALSE(complete.pinned);
  EXPECT_EQ(complete.last_used, later - 100);
  const BlobInfo& broken = all.at(part.key);
  EXPECT_EQ(broken.bytes, kTestBlock);
  EXPECT_EQ(broken.blocks, 1u);
  EXPECT_FALSE(broken.complete);
  EXPECT_FALSE(broken.verified);
  EXPECT_EQ(broken.last_used, later);
  EXPECT_EQ(all.at(small.key).bytes, 900u);
  EXPECT_TRUE(all.at(small.key).verified);

  made_->clock.advance(std::chrono::seconds(7));
  read_text(*open(whole), 0, 1);
  EXPECT_EQ(blobs().at(whole.key).last_used, later + 7);
}

TEST_P(BlobStoreContract, WhoIsToldOfABlobMayAskTheStore) {
  fill(make_blob(2 * kTestBlock, 44));
  int seen = 0;
  store().for_each_blob([&](const BlobInfo& info) {
    const auto blob = store().open(info.key, kEndpoint);
    EXPECT_EQ((*blob)->cached_bytes(), info.bytes);
    EXPECT_TRUE(store().evict(info.key));
    ++seen;
  });
  EXPECT_EQ(seen, 1);
}

TEST_P(BlobStoreContract, APinnedBlobOutlivesAnyPressure) {
  const TestBlob pinned = make_blob(2 * kTestBlock, 45);
  const TestBlob small = make_blob(900, 46);
  store().set_pinned({small.key, pinned.key});  // before it comes
  fill(pinned);
  fill(small);
  press(50);
  EXPECT_EQ(brief(read_text(*open(pinned))), brief(pinned.content));
  EXPECT_EQ(brief(read_text(*open(small))), brief(small.content));
  EXPECT_TRUE(blobs().at(pinned.key).pinned);
  EXPECT_EQ(store().stats().pinned_bytes, 2 * kTestBlock + 900);
  EXPECT_LE(store().stats().bytes_used, kLimit);
}

TEST_P(BlobStoreContract, PinsTakeThePlaceOfThoseBefore) {
  const TestBlob first = make_blob(2 * kTestBlock, 47);
  const TestBlob second = make_blob(2 * kTestBlock, 48);
  fill(first);
  fill(second);
  store().set_pinned({first.key});
  store().set_pinned({second.key});
  EXPECT_EQ(store().stats().pinned_bytes, 2 * kTestBlock);
  press(60);
  EXPECT_FALSE(open(first)->complete());
  EXPECT_TRUE(open(second)->complete());
  store().set_pinned({});
  EXPECT_EQ(store().stats().pinned_bytes, 0u);
  press(70);
  EXPECT_FALSE(open(second)->complete());
}

TEST_P(BlobStoreContract, WhereAllIsPinnedNewBlocksAreForgotten) {
  const TestBlob pinned = make_blob(kLimit, 49);
  store().set_pinned({pinned.key});
  fill(pinned);
  ASSERT_EQ(store().stats().bytes_used, kLimit);
  fill(make_blob(2 * kTestBlock, 80));
  EXPECT_EQ(store().stats().bytes_used, kLimit);
  EXPECT_EQ(brief(read_text(*open(pinned))), brief(pinned.content));
}

TEST_P(BlobStoreContract, ABlobOpenInPassthroughIsLeftAlone) {
  const TestBlob open_file = make_blob(2 * kTestBlock, 81);
  std::atomic<bool> is_open{true};
  store().set_passthrough_check(
      [&](const BlobKey& key) { return is_open && key == open_file.key; });
  fill(open_file);
  press(90);
  EXPECT_TRUE(open(open_file)->verified());
  const auto refused = store().evict(open_file.key);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  made_->clock.advance(std::chrono::hours(1));
  ASSERT_TRUE(store().prune({Duration::zero(), 0}));
  EXPECT_TRUE(open(open_file)->verified());
  is_open = false;
  EXPECT_EQ(store().evict(open_file.key).value_or(0), 2 * kTestBlock);
}

TEST_P(BlobStoreContract, EvictDropsOneBlobAndSaysHowMuchThatWas) {
  const TestBlob gone = make_blob(2 * kTestBlock + 9, 82);
  const TestBlob small = make_blob(700, 83);
  const TestBlob kept = make_blob(kTestBlock, 84);
  for (const TestBlob* source : {&gone, &small, &kept}) fill(*source);
  EXPECT_EQ(store().evict(gone.key).value_or(0), 2 * kTestBlock + 9);
  EXPECT_EQ(store().evict(small.key).value_or(0), 700u);
  EXPECT_EQ(store().evict(gone.key).value_or(99), 0u);
  EXPECT_EQ(store().stats().bytes_used, kTestBlock);
  EXPECT_FALSE(open(gone)->has(0));
  EXPECT_EQ(blobs().size(), 1u);
  fill(gone);
  EXPECT_TRUE(open(gone)->verified());
}

TEST_P(BlobStoreContract, APinnedBlobIsNotEvictedByHandEither) {
  const TestBlob pinned = make_blob(2 * kTestBlock, 85);
  fill(pinned);
  store().set_pinned({pinned.key});
  const auto refused = store().evict(pinned.key);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(store().prune({Duration::zero(), 0}).value_or(99), 0u);
  EXPECT_TRUE(open(pinned)->complete());
}

TEST_P(BlobStoreContract, PruneDropsWhatWasNotUsedForThatLong) {
  const TestBlob old = make_blob(2 * kTestBlock, 86);
  const TestBlob used = make_blob(2 * kTestBlock, 87);
  const TestBlob young = make_blob(2 * kTestBlock, 88);
  fill(old);
  fill(used);
  made_->clock.advance(std::chrono::hours(24));
  read_text(*open(used), 0, 1);  // its first block only
  fill(young);
  made_->clock.advance(std::chrono::seconds(10));
  EXPECT_EQ(store().prune({std::chrono::hours(25), {}}).value_or(99), 0u);
  EXPECT_EQ(store().prune({std::chrono::hours(24), {}}).value_or(0), 3 * kTestBlock);
  EXPECT_EQ(open(old)->cached_bytes(), 0u);
  EXPECT_TRUE(open(used)->has(0));
  EXPECT_FALSE(open(used)->has(1));
  EXPECT_TRUE(open(young)->complete());
}

TEST_P(BlobStoreContract, PruneGoesDownToTheBytesAskedFor) {
  const TestBlob old = make_blob(3 * kTestBlock, 89);
  const TestBlob young = make_blob(3 * kTestBlock, 100);
  fill(old);
  made_->clock.advance(std::chrono::seconds(1));
  fill(young);
  EXPECT_EQ(store().prune({{}, 10 * kTestBlock}).value_or(99), 0u);
  EXPECT_EQ(store().prune({{}, 3 * kTestBlock + 1}).value_or(0), 3 * kTestBlock);
  EXPECT_LE(store().stats().bytes_used, 3 * kTestBlock + 1);
  EXPECT_TRUE(open(young)->complete());
  EXPECT_EQ(store().prune({{}, 0}).value_or(0), 3 * kTestBlock);
  EXPECT_EQ(store().stats().bytes_used, 0u);
}

TEST_P(BlobStoreContract, VerifyLooksAtEverythingAndFindsSoundBlobsSound) {
  fill(make_blob(2 * kTestBlock, 101));
  fill(make_blob(500, 102));
  open(make_blob(5 * kTestBlock, 103))->put(3, make_blob(5 * kTestBlock, 103).block(3));
  ASSERT_TRUE(store().flush());
  std::uint64_t last = 0;
  const auto report = store().verify(true, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, 3 * kTestBlock + 500);
    last = done;
    return true;
  });
  ASSERT_TRUE(report);
  EXPECT_EQ(last, 3 * kTestBlock + 500);
  EXPECT_EQ(report->bytes, last);
  EXPECT_EQ(report->blobs, 3u);
  EXPECT_EQ(report->blocks, 4u);
  EXPECT_EQ(report->bad_blocks, 0u);
  EXPECT_EQ(report->bad_blobs, 0u);
  EXPECT_TRUE(report->problems.empty());
  EXPECT_EQ(store().stats().bytes_used, 3 * kTestBlock + 500);
}

TEST_P(BlobStoreContract, VerifyStopsWhenItIsTold) {
  fill(make_blob(4 * kTestBlock, 104));
  int calls = 0;
  const auto report =
      store().verify(false, [&](std::uint64_t, std::uint64_t) { return ++calls < 2; });
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(calls, 2);
}

INSTANTIATE_TEST_SUITE_P(
    Stores, BlobStoreContract,
    testing::Values(
        Kind{"Memory", [] { return std::make_unique<MemoryUnderTest>(); }},
        Kind{"Disk", [] { return std::make_unique<DiskUnderTest>(); }},
        Kind{"DiskWithLmdb", [] { return std::make_unique<CacheUnderTest>(std::nullopt); }},
        Kind{"DiskThatStarts", [] { return std::make_unique<CacheUnderTest>(Duration::zero()); }}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace hubvfs::cache
