// SPDX-License-Identifier: Apache-2.0
#include "fs/prefetcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "cache/memory_cache.h"
#include "tests/fs/waiting.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kBlock = 256 * 1024;
constexpr std::uint64_t kSize = 100 * kBlock + 777;  // several windows

class PrefetcherTest : public testing::Test {
 protected:
  void SetUp() override {
    content_ = random_bytes(kSize, 1);
    commit_ = hub_->commit(repo_, {{"model.bin", {content_, true}},
                                   {"same.bin", {content_, true}},
                                   {"other.bin", {random_bytes(kSize, 2), true}},
                                   {"config.json", {"{\"a\": 1}", false}},
                                   {"empty", {"", false}}});
    start(0);
  }
  void TearDown() override { stop(); }
  void start(std::uint64_t size_limit) {
    store_ = std::make_unique<cache::MemoryBlobStore>(kBlock, size_limit);
    ReaderOptions options;
    options.endpoint = "http://hub";
    reader_ = std::make_unique<Reader>(options, *store_, failures_, clock_);
  }
  void stop() {
    reader_->close();
    hub_.reset();
    reader_.reset();
  }
  hub::FileRef file(const std::string& path) { return hub_->file(repo_, commit_, path); }
  std::vector<hub::FileRef> all() {
    return {file("model.bin"), file("same.bin"), file("other.bin"), file("config.json"),
            file("empty")};
  }
  Result<Prefetcher::Outcome> run(const std::vector<hub::FileRef>& files, unsigned jobs = 4) {
    return Prefetcher(*reader_, *store_, *hub_).run("public", files, {jobs}, [this](const auto& s) {
      told_ = s;
      return !stop_;
    });
  }
  std::size_t missing() {
    return Prefetcher(*reader_, *store_, *hub_).missing("public", all())->size();
  }

  const hub::RepoId repo_{hub::RepoType::kModel, "acme/llm"};
  std::string content_;
  std::string commit_;
  ManualClock clock_;
  NullLogger log_;
  std::shared_ptr<FailureLog> failures_ = std::make_shared<FailureLog>(log_, clock_);
  std::unique_ptr<cache::MemoryBlobStore> store_;
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<Reader> reader_;
  PrefetchState told_;
  std::atomic<bool> stop_{false};
};

TEST_F(PrefetcherTest, AllOfItIsHereAndEachContentWasFetchedOnce) {
  EXPECT_EQ(missing(), 4u);
  const auto outcome = run(all());
  ASSERT_TRUE(outcome) << outcome.error().context;
  EXPECT_TRUE(outcome->failed.empty());
  EXPECT_EQ(missing(), 0u);
  EXPECT_EQ(hub_->counts().bytes, 2 * kSize + 8);
  EXPECT_EQ(outcome->state.bytes_fetched, 2 * kSize + 8);
  EXPECT_EQ(told_.bytes, 2 * kSize + 8);
  EXPECT_EQ(told_.bytes_here, told_.bytes) << "the end is told";
  EXPECT_EQ(told_.files_here, 4u) << "of four different ones";
  for (const FakeFetch& fetch : hub_->fetches()) {
    EXPECT_EQ(fetch.priority, hub::Priority::kPrefetch) << fetch.path;
  }
  Answer<bool> read;
  reader_->read(*reader_->open("public", file("same.bin"), *hub_), {5, 10},
                [&, done = read.callback()](const Result<ByteView>& bytes) {
                  done(as_text(*bytes) == content_.substr(5, 5));
                });
  EXPECT_TRUE(*read.get());
}

TEST_F(PrefetcherTest, WhatIsHereIsNotFetchedAgain) {
  ASSERT_TRUE(run({file("model.bin")}));
  const auto before = hub_->counts().bytes;
  const auto outcome = run(all());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(hub_->counts().bytes - before, kSize + 8);
  EXPECT_EQ(outcome->state.bytes_fetched, kSize + 8);
}

TEST_F(PrefetcherTest, ARunThatWasStoppedIsGoneOnWithByAnother) {
  hub_->hold_fetches(true);
  std::thread other([this] {
    EXPECT_TRUE(hub_->await_fetches(2));
    EXPECT_TRUE(hub_->release_one_fetch());
    while (store_->stats().blocks == 0) std::this_thread::yield();
    stop_ = true;
  });
  const auto stopped = run({file("model.bin")});
  other.join();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  const auto blocks = store_->stats().blocks;
  EXPECT_GT(blocks, 0u);
  stop_ = false;
  hub_->hold_fetches(false);
  const auto outcome = run({file("model.bin")});
  ASSERT_TRUE(outcome) << outcome.error().context;
  EXPECT_EQ(missing(), 2u);
  EXPECT_EQ(hub_->counts().bytes, kSize) << "each byte once, in both runs together";
}

TEST_F(PrefetcherTest, SoManyFilesAtATime) {
  hub_->hold_fetches(true);
  std::size_t most = 0;
  std::atomic<bool> ended{false};
  std::thread other([&] {
    while (!ended) {
      const auto fetches = hub_->fetches();
      most = std::max(most, hub_->held_fetches());
      hub_->release_one_fetch();
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(run(all(), 1));
  ended = true;
  other.join();
  EXPECT_GE(most, 1u);
  EXPECT_LE(most, 2u) << "two windows of one file";
}

TEST_F(PrefetcherTest, ContentThatComesWrongIsFetchedOnceMore) {
  hub_->corrupt_fetches("model.bin", 1);
  hub_->corrupt_fetches("config.json", 1);
  const auto outcome = run(all());
  ASSERT_TRUE(outcome) << outcome.error().context;
  EXPECT_TRUE(outcome->failed.empty());
  EXPECT_EQ(missing(), 0u);
}

TEST_F(PrefetcherTest, AFileThatCannotBeHadIsNamedAndTheOthersCome) {
  hub_->corrupt_fetches("config.json", 100);
  hub_->corrupt_fetches("model.bin", 100);
  const auto outcome = run(all());
  ASSERT_TRUE(outcome) << outcome.error().context;
  std::vector<std::string> failed;
  for (const auto& failure : outcome->failed) failed.push_back(failure.path);
  EXPECT_EQ(failed, (std::vector<std::string>{"model.bin", "config.json"}));
  EXPECT_EQ(outcome->failed[0].error.code, ErrorCode::kCorrupt);
  EXPECT_EQ(missing(), 3u);  // "same.bin" is the same
}

TEST_F(PrefetcherTest, AHubThatCannotBeReachedEndsTheRun) {
  hub_->fail_fetches(100, {ErrorCode::kUnavailable, "gone"}, 3 * kBlock);
  const auto outcome = run(all());
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().context, "gone");
  EXPECT_LE(hub_->counts().fetches, 8u) << "it goes on asking";
}

TEST_F(PrefetcherTest, ACacheThatCannotKeepItSaysSo) {
  stop();
  hub_ = std::make_unique<FakeHubClient>();
  commit_ = hub_->commit(repo_, {{"model.bin", {content_, true}}});
  start(10 * kBlock);
  const auto outcome = run({file("model.bin")});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kNoSpace);
  EXPECT_NE(outcome.error().context.find("cache.size"), std::string::npos);
}

TEST_F(PrefetcherTest, AReaderOfABlockUnderWaySharesItsFetchAndMakesItUrgent) {
  hub_->hold_fetches(true);
  std::thread prefetch([this] { EXPECT_TRUE(run({file("model.bin")})); });
  ASSERT_TRUE(hub_->await_fetches(2));
  Answer<bool> read;
  reader_->read(*reader_->open("public", file("model.bin"), *hub_), {40 * kBlock, 40 * kBlock + 9},
                [&, done = read.callback()](const Result<ByteView>& bytes) {
                  done(bytes && as_text(*bytes) == content_.substr(40 * kBlock, 9));
                });
  ASSERT_TRUE(hub_->release_one_fetch());  // the most urgent one
  EXPECT_TRUE(*read.get());
  hub_->hold_fetches(false);
  prefetch.join();
  EXPECT_EQ(hub_->counts().bytes, kSize);
}

TEST_F(PrefetcherTest, HalfOfTheMemoryStaysForReaders) {
  stop();
  hub_ = std::make_unique<FakeHubClient>();
  commit_ = hub_->commit(repo_, {{"model.bin", {content_, true}}, {"other.bin", {"x", true}}});
  ReaderOptions options;
  options.endpoint = "http://hub";
  options.memory_budget = 20u << 20;  // one window of 8 MiB fits its half
  reader_ = std::make_unique<Reader>(options, *store_, failures_, clock_);
  hub_->hold_fetches(true);
  std::thread prefetch([this] { EXPECT_TRUE(run({file("model.bin")})); });
  ASSERT_TRUE(hub_->await_fetches(1));
  Answer<bool> read;
  reader_->read(
      *reader_->open("public", file("other.bin"), *hub_), {0, 1},
      [done = read.callback()](const Result<ByteView>& bytes) { done(bytes.has_value()); });
  ASSERT_TRUE(hub_->await_fetches(2)) << "the reader waits for the prefetch's memory";
  EXPECT_EQ(hub_->fetches()[1].path, "other.bin");
  hub_->hold_fetches(false);
  EXPECT_TRUE(*read.get());
  prefetch.join();
}

}  // namespace
}  // namespace hubvfs::fs
