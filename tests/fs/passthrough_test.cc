// SPDX-License-Identifier: Apache-2.0
// Which nodes and answers a mount gives where the kernel can read complete files by itself, over a
// cache on the disk and a keeper that is a fake.
#include "fs/passthrough.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "base/digest.h"
#include "cache/disk_cache.h"
#include "fs/backend.h"
#include "tests/fs/sync_mount.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_notifier.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kBlock = 256 * 1024;
constexpr std::uint32_t kMount = 7;
using Mode = Passthrough::Mode;

// A keeper that gives a file the same id again, refuses, or answers when it is told to.
class FakeKeeper final : public BackingFiles {
 public:
  void open(std::uint32_t mount, NodeId node, const std::string& name, Done done) override {
    EXPECT_EQ(mount, kMount);
    EXPECT_GT(table->count(mount, node.raw()), 0u) << "not counted before it was asked";
    asked.push_back(name);
    if (late) return waiting.push_back(std::move(done));
    answer(name, done);
  }
  void closed() override { ++closes; }
  void answer(const std::string& name, const Done& done) {
    if (refuses) return done(Error{ErrorCode::kBusy, "too many files"});
    const auto known = std::find(names.begin(), names.end(), name);
    const auto at = known - names.begin();
    if (known == names.end()) names.push_back(name);
    done(static_cast<std::int32_t>(at) + 1);
  }

  OpenTable* table = nullptr;
  bool refuses = false;
  bool late = false;
  int closes = 0;
  std::vector<std::string> asked;
  std::vector<std::string> names;
  std::deque<Done> waiting;
};

class PassthroughTest : public testing::Test {
 protected:
  void SetUp() override {
    weights_ = random_bytes(3 * kBlock + 5, 4);
    keeper_.table = table_.get();
    start();
  }
  void TearDown() override { stop(); }
  void start() {
    hub_ = std::make_unique<FakeHubClient>();
    hub_->commit(repo_, {{"config.json", {"{}", false}},
                         {"model.safetensors", {weights_, true}},
                         {"copy/model.safetensors", {weights_, true}}});
    cache::DiskCacheOptions cache;
    cache.path = dir_ / "cache";
    cache.size_limit = 1u << 30;
    cache.block_size = kBlock;
    cache_ = *cache::DiskCache::open(cache, log_, clock_);
    BackendOptions options;
    options.endpoint = "http://hub";
    options.uid = 1000;
    options.open_table = table_.get();
    options.backing_files = &keeper_;
    backend_ =
        *Backend::create(options, {*hub_, *hub_}, cache_->blobs(), cache_->meta(), log_, clock_);
    MountOptions mount;
    mount.number = kMount;
    mount.passthrough = true;
    fs_ = SyncMount(*backend_->mount(mount, notifier_));
  }
  void stop() {
    backend_->close();
    hub_.reset();  // a fetch keeps its blob until its last call has returned
    fs_.reset();
    backend_.reset();
    cache_.reset();
  }
  NodeId model() const { return fs_.walk("acme/llm/model.safetensors"); }
  // Reads all of it, and waits until it is on the disk and judged.
  void complete() {
    const NodeId node = model();
    ASSERT_TRUE(fs_.open(node, {100}));
    ASSERT_EQ(*fs_.read(node, 0, weights_.size()), weights_);
    fs_->release(node, {100});
    ASSERT_TRUE(cache_->blobs().flush());
  }
  cache::BlobKey key() const {
    return {"public", *ContentId::create(ContentId::Algorithm::kSha256,
                                         sha256_hex(as_bytes(weights_)), weights_.size())};
  }
  Result<std::uint64_t> evict() { return cache_->blobs().evict(key()); }

  const hub::RepoId repo_{hub::RepoType::kModel, "acme/llm"};
  std::string weights_;
  TempDir dir_;
  ManualClock clock_;
  ListLogger log_;
  std::unique_ptr<OpenTable> table_ = *OpenTable::make_private(log_);
  FakeKeeper keeper_;
  RecordingNotifier notifier_;
  std::unique_ptr<FakeHubClient> hub_;
  std::unique_ptr<cache::DiskCache> cache_;
  std::unique_ptr<Backend> backend_;
  SyncMount fs_;
};

TEST_F(PassthroughTest, TheNodeOfACompleteFileIsAnotherWithTheSameNumber) {
  const auto before = fs_.lookup(fs_.walk("acme/llm"), "model.safetensors");
  EXPECT_FALSE(before->attributes.node.passthrough);
  EXPECT_EQ(before->entry_timeout, BackendOptions().metadata_ttl) << "told when it is opened";
  complete();
  const auto after = fs_.lookup(fs_.walk("acme/llm"), "model.safetensors");
  EXPECT_TRUE(after->attributes.node.passthrough);
  EXPECT_EQ(after->attributes.node.ino(), before->attributes.node.ino());
  EXPECT_GT(after->entry_timeout, std::chrono::hours(1));
  EXPECT_TRUE(fs_.list(fs_.walk("acme/llm"))["model.safetensors"].attributes.node.passthrough);
  EXPECT_TRUE(fs_.walk("acme/llm/copy/model.safetensors").passthrough);
  EXPECT_EQ(fs_.getattr(after->attributes.node)->attributes.size, weights_.size());
  EXPECT_EQ(fs_.xattr(after->attributes.node, "user.hubvfs.verified"), "1");
}

TEST_F(PassthroughTest, ASmallFileIsReadAndItsNameIsKeptLong) {
  const auto entry = fs_.lookup(fs_.walk("acme/llm"), "config.json");
  EXPECT_GT(entry->entry_timeout, std::chrono::hours(1));
  ASSERT_EQ(*fs_.read(entry->attributes.node, 0, 100), "{}");
  ASSERT_TRUE(cache_->blobs().flush());
  EXPECT_FALSE(fs_.walk("acme/llm/config.json").passthrough);
}

TEST_F(PassthroughTest, AnOpenIsAnsweredWithTheIdAndWithNoFlagThatTheKernelRefusesBesideIt) {
  complete();
  const auto flags = fs_.open(model(), {2});
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->backing_id, 1);
  EXPECT_FALSE(flags->keep_cache || flags->direct_io);
  EXPECT_EQ(table_->count(kMount, model().raw()), 1u);
  ASSERT_EQ(keeper_.asked.size(), 1u);
  EXPECT_EQ(keeper_.asked[0].rfind("public/", 0), 0u);
  // The same content by another name: another node, the same file.
  EXPECT_EQ(fs_.open(fs_.walk("acme/llm/copy/model.safetensors"), {4})->backing_id, 1);
}

TEST_F(PassthroughTest, TheKeeperIsAskedOnceAsLongAsSomeHandleIsOpen) {
  complete();
  const NodeId node = model();
  ASSERT_TRUE(fs_.open(node, {2}));
  ASSERT_TRUE(fs_.open(node, {4}));
  fs_->release(node, {2});
  ASSERT_TRUE(fs_.open(node, {6}));
  EXPECT_EQ(keeper_.asked.size(), 1u);
  EXPECT_EQ(keeper_.closes, 0);
  fs_->release(node, {4});
  fs_->release(node, {6});
  EXPECT_EQ(keeper_.closes, 1);
  ASSERT_TRUE(fs_.open(node, {8}));  // by now the keeper may have let go of it
  EXPECT_EQ(keeper_.asked.size(), 2u);
}

TEST_F(PassthroughTest, WhatIsOpenIsNotEvictedAndIsOnceItIsClosed) {
  complete();
  const NodeId node = model();
  ASSERT_TRUE(fs_.open(node, {2}));
  EXPECT_EQ(evict().error().code, ErrorCode::kBusy);
  cache::PruneOptions all;
  all.to_bytes = 0;
  EXPECT_EQ(cache_->blobs().prune(all).value_or(99), 0u);
  fs_->release(node, {2});
  EXPECT_EQ(evict().value_or(0), weights_.size());
}

TEST_F(PassthroughTest, AFileThatIsGoneIsStaleAndThenReadAsAnotherNode) {
  complete();
  const NodeId passed = model();
  ASSERT_TRUE(evict());
  EXPECT_EQ(fs_.open(passed, {2}).error().code, ErrorCode::kStale);
  EXPECT_EQ(table_->count(kMount, passed.raw()), 0u);
  EXPECT_TRUE(keeper_.asked.empty());
  const NodeId read = model();
  EXPECT_FALSE(read.passthrough);
  EXPECT_FALSE(fs_.open(read, {2})->backing_id);
  EXPECT_EQ(*fs_.read(read, 0, weights_.size()), weights_);
}

TEST_F(PassthroughTest, WhatTheKeeperRefusesIsReadForAWhile) {
  complete();
  const NodeId passed = model();
  keeper_.refuses = true;
  EXPECT_EQ(fs_.open(passed, {2}).error().code, ErrorCode::kStale);
  EXPECT_EQ(table_->count(kMount, passed.raw()), 0u);
  const auto next = fs_.lookup(fs_.walk("acme/llm"), "model.safetensors");
  EXPECT_FALSE(next->attributes.node.passthrough);  // or the kernel would come again for ever
  EXPECT_LE(next->entry_timeout, std::chrono::seconds(1));
  EXPECT_FALSE(fs_.open(next->attributes.node, {2})->backing_id);
  clock_.advance(std::chrono::minutes(1));
  keeper_.refuses = false;
  EXPECT_TRUE(fs_.open(model(), {4})->backing_id);
}

TEST_F(PassthroughTest, AnOpenWaitsForTheKeeperAndNothingElseDoes) {
  complete();
  keeper_.late = true;
  const NodeId node = model();
  Answer<OpenFlags> answer;
  fs_->open(node, {2}, answer.callback());
  EXPECT_FALSE(answer.has_come());
  EXPECT_EQ(evict().error().code, ErrorCode::kBusy);  // it is on its way
  EXPECT_TRUE(fs_.getattr(node));
  keeper_.answer("name", keeper_.waiting.front());
  EXPECT_TRUE(answer.get()->backing_id);
}

TEST_F(PassthroughTest, AnOpenThatAnotherWorkerCountedIsReleasedWhereItFails) {
  complete();
  const NodeId node = model();
  table_->open(kMount, node.raw(), {2});  // it died before it answered
  keeper_.refuses = true;
  EXPECT_EQ(fs_.open(node, {2}).error().code, ErrorCode::kStale);
  EXPECT_EQ(table_->count(kMount, node.raw()), 0u);
}

TEST_F(PassthroughTest, TheNameOfAFileThatCompletesWhileItIsOpenIsInvalidated) {
  const NodeId node = model();
  const NodeId parent = fs_.walk("acme/llm");
  const auto told = [&] {
    const auto names = notifier_.entries();
    return std::count(names.begin(), names.end(),
                      std::pair(parent.raw(), std::string("model.safetensors")));
  };
  ASSERT_TRUE(fs_.open(node, {2}));
  EXPECT_EQ(told(), 1);
  EXPECT_LE(fs_.lookup(parent, "model.safetensors")->entry_timeout, std::chrono::seconds(1));
  ASSERT_EQ(*fs_.read(node, 0, weights_.size()), weights_);
  ASSERT_TRUE(cache_->blobs().flush());
  EXPECT_EQ(told(), 2);
  EXPECT_EQ(*fs_.read(node, 5, 100), weights_.substr(5, 100));  // it stays what it is
  EXPECT_TRUE(model().passthrough);
}

TEST_F(PassthroughTest, TurnedOffNothingIsPassedThroughAndTheStatusSaysWhy) {
  complete();
  const NodeId passed = model();
  fs_->set_passthrough(false, "it takes root");
  EXPECT_FALSE(model().passthrough);
  EXPECT_EQ(fs_.open(passed, {2}).error().code, ErrorCode::kStale);
  EXPECT_TRUE(keeper_.asked.empty());
  EXPECT_NE(fs_->status_json().find(R"("passthrough":{"in_force":false,"why_not":"it takes root")"),
            std::string::npos)
      << fs_->status_json();
  fs_->set_passthrough(true, "");
  EXPECT_TRUE(model().passthrough);
}

TEST_F(PassthroughTest, TheNextWorkerKnowsItAtOnce) {
  complete();
  const NodeId node = model();
  ASSERT_TRUE(fs_.open(node, {2}));
  stop();
  start();
  EXPECT_EQ(model(), node);
  ASSERT_TRUE(fs_.open(node, {4}));
  EXPECT_EQ(keeper_.asked.size(), 2u);
  EXPECT_EQ(keeper_.asked[0], keeper_.asked[1]);
  fs_->release(node, {4});
  EXPECT_EQ(evict().error().code, ErrorCode::kBusy);  // the handle of the worker before
  fs_->release(node, {2});
  EXPECT_EQ(evict().value_or(0), weights_.size());
}

}  // namespace
}  // namespace hubvfs::fs
