// SPDX-License-Identifier: Apache-2.0
// The store on an index that fails, and the order in which it writes.
#include "cache/disk_blob_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "cache/block_checksum.h"
#include "cache/index_records.h"
#include "cache/memory_meta_index.h"
#include "cache/sidecar.h"
#include "tests/cache/blobs.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::cache {
namespace {

// Fails on demand, and shows each transaction before it is applied.
class FlakyMetaIndex final : public MetaIndex {
 public:
  explicit FlakyMetaIndex(MetaIndex& inner) : inner_(inner) {}
  Result<void> apply(std::span<const IndexChange> changes) override {
    if (failing) return {ErrorCode::kNoSpace, "no room for the index"};
    if (before_apply) before_apply(changes);
    return inner_.apply(changes);
  }
  Result<std::optional<std::string>> get(std::string_view key) override { return inner_.get(key); }
  Result<void> for_each(
      std::string_view prefix,
      const std::function<bool(std::string_view, std::string_view)>& visit) override {
    return inner_.for_each(prefix, visit);
  }

  std::atomic<bool> failing{false};
  std::function<void(std::span<const IndexChange>)> before_apply;

 private:
  MetaIndex& inner_;
};

Directory make_directory(const std::string& path) {
  write_file(path + "/.made", "");
  return Directory(UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
}

class DiskBlobStoreTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { store_.reset(); }
  void open(std::uint64_t limit = 1u << 30) {
    store_.reset();
    DiskBlobStoreOptions options;
    options.block_size = kTestBlock;
    options.size_limit = limit;
    options.pending_limit = 16 * kTestBlock;
    small_ = std::make_unique<SmallBlobs>(meta_, log_);
    ASSERT_TRUE(small_->load());
    store_ = std::move(*DiskBlobStore::open(blobs_, *small_, index_, options, log_, clock_));
  }
  std::shared_ptr<Blob> blob(const TestBlob& source) {
    return std::move(*store_->open(source.key, kEndpoint));
  }
  std::string data_file(const TestBlob& source) const {
    return dir_ / "blobs/" + blob_file_name(source.key);
  }

  TempDir dir_;
  const Directory blobs_{make_directory(dir_ / "blobs")};
  const Directory meta_{make_directory(dir_ / "meta")};
  MemoryMetaIndex memory_;
  FlakyMetaIndex index_{memory_};
  RecordingLogger log_;
  ManualClock clock_;
  std::unique_ptr<SmallBlobs> small_;
  std::unique_ptr<DiskBlobStore> store_;
};

TEST_F(DiskBlobStoreTest, AFailingIndexIsNotTheReadersErrorAndIsCaughtUpWith) {
  const TestBlob source = make_blob(3 * kTestBlock, 1);
  index_.failing = true;
  const auto opened = blob(source);
  put_all(*opened, source);
  const auto flushed = store_->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, ErrorCode::kNoSpace);
  EXPECT_NE(store_->stats().degraded.find("index"), std::string::npos);
  EXPECT_EQ(brief(read_text(*opened)), brief(source.content));
  EXPECT_TRUE(opened->verified());

  index_.failing = false;
  ASSERT_TRUE(store_->flush());
  EXPECT_EQ(store_->stats().degraded, "");
}

TEST_F(DiskBlobStoreTest, WhatAFailingIndexMissedIsThereAfterARestart) {
  const TestBlob source = make_blob(3 * kTestBlock, 2);
  index_.failing = true;
  put_all(*blob(source), source);
  EXPECT_FALSE(store_->flush());
  index_.failing = false;
  ASSERT_TRUE(store_->flush());
  open();
  EXPECT_EQ(brief(read_text(*blob(source))), brief(source.content));
}

TEST_F(DiskBlobStoreTest, ADropThatTheIndexRefusedIsMadeUpFor) {
  const TestBlob source = make_blob(3 * kTestBlock, 3);
  put_all(*blob(source), source);
  ASSERT_TRUE(store_->flush());
  index_.failing = true;
  blob(source)->drop();
  EXPECT_FALSE(store_->flush());
  EXPECT_EQ(blob(source)->cached_bytes(), 0u);
  index_.failing = false;
  ASSERT_TRUE(store_->flush());
  open();
  EXPECT_EQ(blob(source)->cached_bytes(), 0u);
}

TEST_F(DiskBlobStoreTest, DataAndSidecarAreWrittenBeforeTheIndex) {
  const TestBlob source = make_blob(3 * kTestBlock, 4);
  int seen = 0;
  index_.before_apply = [&](std::span<const IndexChange> changes) {
    for (const IndexChange& change : changes) {
      const auto key = parse_index_key(change.key);
      if (!key || !key->block || !change.value) continue;
      const std::uint64_t block = key->block->block;
      EXPECT_TRUE(read_file(data_file(source)).substr(block * kTestBlock, kTestBlock) ==
                  source.content.substr(block * kTestBlock, kTestBlock));
      const UniqueFd fd(::open((data_file(source) + ".map").c_str(), O_RDONLY | O_CLOEXEC));
      const auto sidecar = read_sidecar(fd.get(), source.key.content);
      ASSERT_TRUE(sidecar);
      EXPECT_TRUE(std::any_of(sidecar->blocks.begin(), sidecar->blocks.end(),
                              [&](const auto& known) { return known.block == block; }));
      ++seen;
    }
  };
  put_all(*blob(source), source);
  ASSERT_TRUE(store_->flush());
  EXPECT_GE(seen, 3);
  store_.reset();
}

TEST_F(DiskBlobStoreTest, AnEvictedBlocksRecordGoesBeforeItsBytes) {
  open(4 * kTestBlock);
  const TestBlob source = make_blob(3 * kTestBlock, 5);
  put_all(*blob(source), source);
  ASSERT_TRUE(store_->flush());
  int seen = 0;
  index_.before_apply = [&](std::span<const IndexChange> changes) {
    for (const IndexChange& change : changes) {
      const auto key = parse_index_key(change.key);
      if (!key || !key->block || change.value) continue;
      const std::uint64_t block = key->block->block;
      EXPECT_TRUE(read_file(data_file(source)).substr(block * kTestBlock, kTestBlock) ==
                  source.content.substr(block * kTestBlock, kTestBlock));
      ++seen;
    }
  };
  const TestBlob other = make_blob(3 * kTestBlock, 6);
  put_all(*blob(other), other);
  ASSERT_TRUE(store_->flush());
  EXPECT_GE(seen, 2);
  EXPECT_EQ(blob(source)->cached_bytes(), 0u);
  store_.reset();
}

TEST_F(DiskBlobStoreTest, AVerifiedFileIsNotBelievedAfterAPowerLoss) {
  const TestBlob source = make_blob(3 * kTestBlock, 7);
  put_all(*blob(source), source);
  ASSERT_TRUE(store_->flush());
  store_.reset();
  // As a machine leaves it whose power went: not clean, and another boot.
  const std::vector<IndexChange> crashed = {
      {state_index_key(), encode(StateRecord{"another boot", false})}};
  ASSERT_TRUE(memory_.apply(crashed));
  std::atomic<int> verdicts{0};
  open();
  store_->on_verdict([&](const BlobKey&, Result<void> verdict) { verdicts += verdict ? 1 : 100; });
  auto opened = blob(source);
  EXPECT_TRUE(opened->complete());
  ASSERT_TRUE(store_->flush());
  EXPECT_EQ(verdicts, 1);  // it was hashed again
  EXPECT_TRUE(opened->verified());

  opened.reset();
  store_.reset();
  const std::vector<IndexChange> clean = {
      {state_index_key(), encode(StateRecord{"another boot", true})}};
  ASSERT_TRUE(memory_.apply(clean));
  open();
  EXPECT_TRUE(blob(source)->verified());  // a clean stop, then another boot
}

TEST_F(DiskBlobStoreTest, VerifyFindsContentThatIsWrongThoughItsChecksumsAreRight) {
  const TestBlob source = make_blob(3 * kTestBlock, 11);
  const TestBlob other = make_blob(3 * kTestBlock, 12);
  put_all(*blob(source), source);
  ASSERT_TRUE(store_->flush());
  store_.reset();
  // As bad memory leaves it: other bytes, and the checksum of those.
  std::string bytes = source.content;
  bytes.replace(0, kTestBlock, other.content, 0, kTestBlock);
  write_file(data_file(source), bytes);
  const std::string name = block_index_key("public", 1, 0);
  const auto text = memory_.get(name);
  ASSERT_TRUE(text->has_value());
  BlockRecord record = *decode_block_record(**text);
  record.checksum = block_checksum(source.key, 0, *other.block(0));
  const std::vector<IndexChange> forged = {{name, encode(record)}};
  ASSERT_TRUE(memory_.apply(forged));

  open();
  auto report = store_->verify(false, {});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->bad_blocks, 0u);
  EXPECT_EQ(report->bad_blobs, 1u);
  ASSERT_EQ(report->problems.size(), 1u);
  EXPECT_NE(report->problems[0].find(source.key.content.hex()), std::string::npos);
  EXPECT_EQ(store_->stats().blocks, 3u);
  report = store_->verify(true, {});
  EXPECT_EQ(report->bad_blobs, 1u);
  EXPECT_EQ(store_->stats().blocks, 0u);
}

TEST_F(DiskBlobStoreTest, BeyondThePendingLimitBlocksAreNotKept) {
  // The writer is held in a transaction of the index: evictions wait for it.
  open(2 * kTestBlock);
  const TestBlob first = make_blob(2 * kTestBlock, 8);
  put_all(*blob(first), first);
  ASSERT_TRUE(store_->flush());
  std::atomic<bool> hold{true};
  index_.before_apply = [&](std::span<const IndexChange>) {
    while (hold) std::this_thread::yield();
  };
  const TestBlob many = make_blob(40 * kTestBlock, 9);
  auto opened = blob(many);
  put_all(*opened, many);
  EXPECT_GE(store_->stats().unstored_blocks, 20u);
  EXPECT_LE(store_->stats().pending_bytes, 16 * kTestBlock);
  EXPECT_TRUE(opened->has(1));
  EXPECT_FALSE(opened->has(39));
  hold = false;
  EXPECT_TRUE(store_->flush());
  opened.reset();
  store_.reset();
}

TEST_F(DiskBlobStoreTest, StrayRecordsOfTheIndexAreRemoved) {
  store_.reset();
  const BlobKey key = make_blob(3 * kTestBlock, 10).key;
  const std::vector<IndexChange> stray = {
      {"noise", "x"},
      {block_index_key("public", 77, 0), encode(BlockRecord{100, 1, 1, 1})},
      {blob_index_key(key), "cut"},
  };
  ASSERT_TRUE(memory_.apply(stray));
  open();
  EXPECT_EQ(store_->stats().blocks, 0u);
  for (const IndexChange& change : stray) EXPECT_FALSE(memory_.get(change.key)->has_value());
}

}  // namespace
}  // namespace hubvfs::cache
