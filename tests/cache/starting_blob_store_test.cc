// SPDX-License-Identifier: Apache-2.0
// A cache whose index is still being read.
#include "cache/starting_blob_store.h"

#include <atomic>
#include <optional>
#include <thread>

#include "cache/disk_blob_store.h"
#include "cache/memory_meta_index.h"
#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {
namespace {

// Cache folders are filled by a whole cache; then a store starts on them that waits at a gate.
class StartingTest : public OpenedCache {
 protected:
  void TearDown() override {
    open_gate();
    starting_.reset();
  }

  // `make` none: as the cache does it, with an index that has to be made from the sidecars.
  void start(StartingBlobStore::MakeStore make = {}) {
    close();
    blobs_ = std::make_unique<Directory>(directory("blobs"));
    meta_ = std::make_unique<Directory>(directory("meta"));
    small_ = std::make_unique<SmallBlobs>(*meta_, log_);
    ASSERT_TRUE(small_->load());
    if (!make) make = [this] { return make_store(); };
    starting_ = std::make_unique<StartingBlobStore>(
        *blobs_, *small_, StartingBlobStore::Options{kTestBlock, 77, 16 * kTestBlock},
        [this, make] {
          while (!gate_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          return make();
        },
        log_);
  }
  void open_gate() { gate_ = true; }
  void let_it_start() {
    open_gate();
    ASSERT_TRUE(starting_->flush());
  }
  Result<std::unique_ptr<BlobStore>> make_store() {
    DiskBlobStoreOptions options;
    options.block_size = kTestBlock;
    options.size_limit = 1u << 30;
    auto store = DiskBlobStore::open(*blobs_, *small_, index_, options, log_, clock_);
    if (!store) return store.error();
    return std::unique_ptr<BlobStore>(std::move(*store));
  }
  std::shared_ptr<Blob> starting(const TestBlob& source, const std::string& endpoint = kEndpoint) {
    return std::move(*starting_->open(source.key, endpoint));
  }
  Directory directory(const std::string& name) const {
    return Directory(
        UniqueFd(::open((path_ + "/" + name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  }

  std::atomic<bool> gate_{false};
  MemoryMetaIndex index_;
  std::unique_ptr<Directory> blobs_;
  std::unique_ptr<Directory> meta_;
  std::unique_ptr<SmallBlobs> small_;
  std::unique_ptr<StartingBlobStore> starting_;
};

TEST_F(StartingTest, WhatIsCachedIsServedBeforeTheIndexIsRead) {
  const TestBlob large = make_blob(5 * kTestBlock + 77, 1);
  const TestBlob small = make_blob(3000, 2);
  const TestBlob part = make_blob(4 * kTestBlock, 3);
  fill(large);
  fill(small);
  blob(part)->put(2, part.block(2));
  flush();
  start();
  for (const TestBlob* source : {&large, &small}) {
    const auto opened = starting(*source);
    EXPECT_TRUE(opened->complete());
    EXPECT_EQ(opened->cached_bytes(), source->content.size());
    EXPECT_FALSE(opened->verified());  // nobody may pass it through
    EXPECT_EQ(brief(read_text(*opened)), brief(source->content));
    EXPECT_EQ(read_text(*opened, source->content.size() - 3, 3),
              source->content.substr(source->content.size() - 3));
  }
  const auto opened = starting(part);
  EXPECT_FALSE(opened->complete());
  EXPECT_TRUE(opened->has(2));
  EXPECT_FALSE(opened->has(0));
  EXPECT_EQ(read_text(*opened, 0, 10), "<NotFound>");
  EXPECT_EQ(read_text(*opened, 2 * kTestBlock, 10), part.content.substr(2 * kTestBlock, 10));
  EXPECT_EQ(read_text(*opened, 4 * kTestBlock, 1), "<InvalidArgument>");
  EXPECT_FALSE(starting(make_blob(kTestBlock, 4))->has(0));
  const StoreStats stats = starting_->stats();
  EXPECT_TRUE(stats.starting);
  EXPECT_EQ(stats.size_limit, 77u);
  EXPECT_EQ(stats.hits, 10u);
  EXPECT_EQ(stats.misses, 1u);
}

TEST_F(StartingTest, AnOpenBlobGoesOnAsOneOfTheRealStore) {
  const TestBlob source = make_blob(3 * kTestBlock, 5);
  fill(source);
  start();
  const auto opened = starting(source);
  const auto again = starting(source);
  read_text(*opened);
  let_it_start();
  EXPECT_TRUE(opened->verified());
  EXPECT_TRUE(again->complete());
  EXPECT_EQ(brief(read_text(*opened)), brief(source.content));
  opened->drop();
  EXPECT_FALSE(again->has(0));
  EXPECT_FALSE(starting(source)->has(0));
  const StoreStats stats = starting_->stats();
  EXPECT_FALSE(stats.starting);
  EXPECT_EQ(stats.pending_bytes, 0u);
}

TEST_F(StartingTest, WhatIsPutMeanwhileIsReadableAndStored) {
  const TestBlob part = make_blob(3 * kTestBlock, 6);
  const TestBlob fresh = make_blob(2 * kTestBlock, 7);
  const TestBlob small = make_blob(900, 8);
  blob(part)->put(0, part.block(0));
  flush();
  start();
  std::atomic<int> verdicts{0};
  starting_->on_verdict([&](const BlobKey&, Result<void> verdict) { verdicts += verdict ? 1 : 9; });
  {
    const auto opened = starting(part);
    opened->put(0, part.block(0));  // known
    opened->put(2, part.block(2));
    opened->put(1, part.block(1));
    put_all(*starting(fresh), fresh);  // let go of at once
    put_all(*starting(small), small);
    EXPECT_TRUE(opened->complete());
    EXPECT_EQ(brief(read_text(*opened)), brief(part.content));
    EXPECT_EQ(brief(read_text(*starting(fresh))), brief(fresh.content));
    EXPECT_EQ(starting_->stats().pending_bytes, 4 * kTestBlock + 900);
    let_it_start();
    EXPECT_TRUE(opened->verified());
  }
  EXPECT_EQ(verdicts, 3);
  starting_.reset();
  for (const TestBlob* source : {&part, &fresh, &small}) {
    start();
    EXPECT_EQ(brief(read_text(*starting(*source))), brief(source->content));
    let_it_start();
    EXPECT_TRUE(starting(*source)->verified());
    starting_.reset();
  }
}

TEST_F(StartingTest, MoreThanMayWaitInMemoryIsForgotten) {
  start();
  const TestBlob source = make_blob(20 * kTestBlock, 9);
  const auto opened = starting(source);
  put_all(*opened, source);
  EXPECT_EQ(starting_->stats().pending_bytes, 16 * kTestBlock);
  EXPECT_TRUE(opened->has(15));
  EXPECT_FALSE(opened->has(16));
  let_it_start();
  EXPECT_EQ(opened->cached_bytes(), 16 * kTestBlock);
}

TEST_F(StartingTest, NoBufferIsLetGoUnderTheLock) {
  start();
  const TestBlob source = make_blob(3 * kTestBlock, 7);
  const auto opened = starting(source);
  unsigned let_go = 0;
  opened->put(1, std::shared_ptr<const Bytes>(new Bytes(*source.block(1)), [&](const Bytes* bytes) {
                delete bytes;
                static_cast<void>(opened->has(0));  // takes the lock: would hang
                ++let_go;
              }));
  opened->drop();
  EXPECT_EQ(let_go, 1u);
}

TEST_F(StartingTest, WhatIsDroppedMeanwhileIsGoneAfterwards) {
  const TestBlob source = make_blob(3 * kTestBlock, 10);
  fill(source);
  start();
  const auto opened = starting(source);
  opened->put(1, source.block(1));
  opened->drop();
  EXPECT_EQ(opened->cached_bytes(), 0u);
  EXPECT_EQ(read_text(*opened), "<NotFound>");
  opened->put(2, source.block(2));
  let_it_start();
  EXPECT_FALSE(opened->has(0));
  EXPECT_FALSE(opened->has(1));
  EXPECT_TRUE(opened->has(2));
}

TEST_F(StartingTest, ADamagedBlockIsNoWrongByte) {
  const TestBlob source = make_blob(3 * kTestBlock, 11);
  const TestBlob gone = make_blob(kTestBlock, 12);
  const TestBlob bad_map = make_blob(kTestBlock, 13);
  for (const TestBlob* each : {&source, &gone, &bad_map}) fill(*each);
  start();
  const auto opened = starting(source);
  EXPECT_EQ(read_text(*opened, kTestBlock, 1), source.content.substr(kTestBlock, 1));
  flip_byte(data_file(source), kTestBlock + 100);  // read before, and looked at again all the same
  std::filesystem::remove(data_file(gone));
  flip_byte(data_file(bad_map) + ".map", 20);
  EXPECT_EQ(read_text(*opened, kTestBlock, 1), "<NotFound>");
  EXPECT_FALSE(opened->has(1));
  EXPECT_EQ(read_text(*opened, 0, 9), source.content.substr(0, 9));
  EXPECT_EQ(read_text(*starting(gone)), "<NotFound>");
  EXPECT_EQ(read_text(*starting(bad_map)), "<NotFound>");
}

TEST_F(StartingTest, UnverifiedBlocksAreTheirEndpointsOwn) {
  const TestBlob verified = make_blob(2 * kTestBlock, 14);
  const TestBlob part = make_blob(2 * kTestBlock, 15);
  fill(verified);
  blob(part)->put(0, part.block(0));
  flush();
  start();
  EXPECT_TRUE(starting(part)->has(0));
  EXPECT_FALSE(starting(part, kOtherEndpoint)->has(0));
  EXPECT_EQ(read_text(*starting(part, kOtherEndpoint), 0, 1), "<NotFound>");
  EXPECT_TRUE(starting(verified, kOtherEndpoint)->complete());
  starting(part, kOtherEndpoint)->put(1, part.block(1));
  EXPECT_FALSE(starting(part)->has(1));
  let_it_start();
}

TEST_F(StartingTest, SettingsMadeMeanwhileHoldForTheRealStore) {
  const TestBlob pinned = make_blob(2 * kTestBlock, 16);
  const TestBlob open_file = make_blob(2 * kTestBlock, 17);
  fill(pinned);
  fill(open_file);
  start();
  starting_->set_pinned({pinned.key});
  starting_->set_passthrough_check(
      [open = open_file.key](const BlobKey& key) { return key == open; });
  let_it_start();
  for (const TestBlob* source : {&pinned, &open_file}) {
    const auto refused = starting_->evict(source->key);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  }
}

TEST_F(StartingTest, WaitingIsAsLongAsOnesPatience) {
  start();
  EXPECT_TRUE(starting_->wait(Duration::zero()));
  EXPECT_TRUE(starting_->stats().starting);
  open_gate();
  EXPECT_TRUE(starting_->wait(std::nullopt));
  EXPECT_FALSE(starting_->stats().starting);
}

TEST_F(StartingTest, AStoreThatCannotBeMadeIsSaidAndTheSidecarsServe) {
  const TestBlob source = make_blob(2 * kTestBlock, 18);
  fill(source);
  start([] { return Error{ErrorCode::kIo, "no index at all"}; });
  open_gate();
  const auto waited = starting_->wait(std::nullopt);
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, ErrorCode::kIo);
  EXPECT_EQ(starting_->stats().degraded, "no index at all");
  EXPECT_FALSE(starting_->flush());
  EXPECT_FALSE(starting_->evict(source.key));
  EXPECT_FALSE(starting_->prune({}));
  EXPECT_FALSE(starting_->verify(false, {}));
  EXPECT_EQ(brief(read_text(*starting(source))), brief(source.content));
}

TEST_F(StartingTest, BadNamesAreRefusedMeanwhile) {
  start();
  const TestBlob source = make_blob(10, 19);
  const auto opened = starting_->open({"../public", source.key.content}, kEndpoint);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(starting_->open(source.key, ""));
}

TEST_F(StartingTest, ReadersAndFillersNoticeNothingOfTheChange) {
  std::vector<TestBlob> sources;
  for (unsigned i = 0; i < 6; ++i) {
    sources.push_back(make_blob(3 * kTestBlock - i, 20 + i));
    if (i % 2 == 0) fill(sources.back());
  }
  start();
  std::atomic<int> wrong{0};
  std::atomic<int> missed{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = t; !stop; ++i) {
        const TestBlob& source = sources[i % sources.size()];
        const auto opened = starting(source);
        const std::uint64_t block = i % source.blocks();
        const std::string found = read_text(*opened, block * kTestBlock, 2000);
        if (found == "<NotFound>") {
          opened->put(block, source.block(block));
          if (!opened->has(block)) ++missed;
        } else if (found != source.content.substr(block * kTestBlock, 2000)) {
          ++wrong;
        }
      }
    });
  }
  while (starting_->stats().hits < 100) std::this_thread::yield();
  let_it_start();
  const std::uint64_t before = starting_->stats().hits;
  while (starting_->stats().hits < before + 100) std::this_thread::yield();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(missed, 0);
  ASSERT_TRUE(starting_->flush());
  for (std::size_t i = 0; i < sources.size(); ++i) EXPECT_TRUE(starting(sources[i])->has(i % 3));
}

TEST_F(StartingTest, ACacheThatIsClosedWhileItStartsLosesNothingThatWasInPlace) {
  const TestBlob source = make_blob(2 * kTestBlock, 30);
  fill(source);
  for (int i = 0; i < 5; ++i) {
    close();
    options_.start_patience = Duration::zero();
    open();
    EXPECT_EQ(brief(read_text(*blob(source))), brief(source.content));
  }
  flush();
  expect_whole(source);
  EXPECT_TRUE(blob(source)->verified());
}

}  // namespace
}  // namespace hubvfs::cache
