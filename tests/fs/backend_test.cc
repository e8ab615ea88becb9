// SPDX-License-Identifier: Apache-2.0
// Several mounts of one worker.
#include "fs/backend.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "cache/memory_cache.h"
#include "tests/fs/sync_mount.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_notifier.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::fs {
namespace {

using std::chrono::minutes;

constexpr std::uint64_t kBlock = 256 * 1024;

class BackendTest : public testing::Test {
 protected:
  void SetUp() override {
    weights_ = random_bytes(3 * kBlock, 4);
    commit(*hub_);
    commit(*anonymous_);
    start();
  }
  void TearDown() override { stop(); }
  void commit(FakeHubClient& hub) {
    hub.commit(repo_, {{"config.json", {"{}", false}}, {"model.bin", {weights_, true}}});
  }
  void start() {
    BackendOptions options;
    options.endpoint = "http://hub";
    options.uid = 1000;
    backend_ = *Backend::create(options, {*hub_, *anonymous_}, store_, meta_, log_, clock_);
  }
  void stop() {
    backend_->close();
    hub_->hold_fetches(false);
    hub_->hold_metadata(false);
  }
  SyncMount mount(MountOptions options = {}) {
    options.number = ++mounts_;
    return SyncMount(*backend_->mount(options, notifier_));
  }
  static MountOptions one_repo(const std::string& url) {
    MountOptions options;
    options.repo = *RepoScope::parse(url);
    return options;
  }
  static MountOptions shared() {
    MountOptions options;
    options.shared = true;
    return options;
  }

  const hub::RepoId repo_{hub::RepoType::kModel, "acme/llm"};
  std::string weights_;
  std::uint32_t mounts_ = 0;
  ManualClock clock_;
  NullLogger log_;
  RecordingNotifier notifier_;
  cache::MemoryMetaStore meta_;
  cache::MemoryBlobStore store_{kBlock, 0};
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<FakeHubClient> anonymous_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<Backend> backend_;
};

TEST_F(BackendTest, MountsOfOneTypeShareOneSetOfNodeIds) {
  const SyncMount first = mount();
  const SyncMount second = mount();
  const SyncMount repo = mount(one_repo("hf://acme/llm"));
  const NodeId file = first.walk("acme/llm/config.json");
  EXPECT_EQ(second.walk("acme/llm/config.json"), file);
  EXPECT_EQ(repo.walk("config.json"), file);
  EXPECT_EQ(hub_->counts().info, 1u);
  EXPECT_EQ(hub_->counts().tree, 1u);
  // Names given by turns stay apart.
  hub_->commit({hub::RepoType::kModel, "one/a"}, {{"x", {"1", false}}});
  hub_->commit({hub::RepoType::kModel, "two/a"}, {{"x", {"22", false}}});
  const NodeId one = first.walk("one");
  const NodeId two = second.walk("two");
  EXPECT_NE(one, two);
  EXPECT_EQ(*first.read(first.walk("two/a/x"), 0, 9), "22");
  EXPECT_EQ(*second.read(second.walk("one/a/x"), 0, 9), "1");
  EXPECT_EQ(second.walk("one"), one);
}

TEST_F(BackendTest, MountsOfDifferentTypesAreDifferentTrees) {
  hub_->commit({hub::RepoType::kDataset, "acme/llm"}, {{"train.csv", {"a,b", false}}});
  const SyncMount models = mount();
  MountOptions datasets_only;
  datasets_only.type = hub::RepoType::kDataset;
  const SyncMount datasets = mount(datasets_only);
  EXPECT_EQ(*models.read(models.walk("acme/llm/config.json"), 0, 9), "{}");
  EXPECT_EQ(*datasets.read(datasets.walk("acme/llm/train.csv"), 0, 9), "a,b");
}

TEST_F(BackendTest, ABlockThatTwoMountsWantIsFetchedOnce) {
  const SyncMount first = mount();
  const SyncMount second = mount(one_repo("hf://acme/llm"));
  const NodeId file = first.walk("acme/llm/model.bin");
  ASSERT_EQ(second.walk("model.bin"), file);
  hub_->hold_fetches(true);
  Answer<std::string> one;
  Answer<std::string> two;
  first.start_read(file, kBlock, 100, one);
  second.start_read(file, kBlock + 50, 100, two);
  ASSERT_TRUE(hub_->await_fetches(1));
  hub_->hold_fetches(false);
  EXPECT_EQ(*one.get(), weights_.substr(kBlock, 100));
  EXPECT_EQ(*two.get(), weights_.substr(kBlock + 50, 100));
  EXPECT_EQ(hub_->counts().fetches, 1u);
}

TEST_F(BackendTest, ClosingAMountEndsWhatItHasParkedAndNothingElse) {
  const SyncMount ending = mount();
  const SyncMount staying = mount();
  const NodeId file = ending.walk("acme/llm/model.bin");
  hub_->hold_fetches(true);
  hub_->hold_metadata(true);
  Answer<std::string> ending_read;
  Answer<std::string> staying_read;
  ending.start_read(file, 0, 10, ending_read);
  staying.start_read(file, 0, 10, staying_read);
  Answer<Entry> ending_lookup;
  Answer<Entry> staying_lookup;
  ending->lookup(kRoot, "other", ending_lookup.callback());
  staying->lookup(kRoot, "other", staying_lookup.callback());
  Answer<OpenFlags> ending_listing;
  ending->opendir(kRoot, ending_listing.callback());
  ending->close();
  EXPECT_EQ(ending_read.get().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(ending_lookup.get().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(ending_listing.get().error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(staying_read.has_come());
  EXPECT_FALSE(staying_lookup.has_come());
  EXPECT_EQ(ending.read(file, 0, 10).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(ending.lookup(kRoot, "acme").error().code, ErrorCode::kCancelled);
  EXPECT_EQ(ending.open(file).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(hub_->counts().cancels, 0u) << "the fetch goes on";
  hub_->hold_metadata(false);
  hub_->hold_fetches(false);
  EXPECT_EQ(*staying_read.get(), weights_.substr(0, 10));
  EXPECT_FALSE(staying_lookup.get()->exists);
  EXPECT_EQ(*staying.read(file, 2 * kBlock, 10), weights_.substr(2 * kBlock, 10));
}

TEST_F(BackendTest, AListingThatComesAfterTheEndIsWrittenNowhere) {
  const SyncMount ending = mount();
  const SyncMount staying = mount();
  const NodeId repo = ending.walk("acme/llm");
  hub_->hold_metadata(true);
  Answer<bool> listed;
  bool ended = false;
  ending->readdir(
      repo, 0,
      [&](const DirectoryItem&) {
        EXPECT_FALSE(ended);
        return true;
      },
      [callback = listed.callback()](const Result<void>& result) {
        callback(result ? Result<bool>(true) : Result<bool>(result.error()));
      });
  ending->close();
  ended = true;
  EXPECT_EQ(listed.get().error().code, ErrorCode::kCancelled);
  hub_->hold_metadata(false);
  EXPECT_EQ(staying.list(repo).size(), 4u) << "the listing came";
}

TEST_F(BackendTest, EachMountIsToldOfAMovedBranchUntilItIsClosed) {
  RecordingNotifier told;
  RecordingNotifier not_told;
  RecordingNotifier repo_told;
  const SyncMount first(*backend_->mount({}, told));
  const SyncMount second(*backend_->mount({}, not_told));
  const SyncMount repo(*backend_->mount(one_repo("hf://acme/llm"), repo_told));
  const NodeId owner = first.walk("acme");
  first.walk("acme/llm/config.json");
  second->close();
  hub_->commit(repo_, {{"config.json", {"{2}", false}}});
  clock_.advance(minutes(6));
  first.walk("acme/llm");
  Answer<hub::RepoInfo> after;
  hub_->repo_info(repo_, "", TimePoint::max(), after.callback());
  ASSERT_TRUE(after.get());
  EXPECT_EQ(told.entries(),
            (std::vector<std::pair<std::uint64_t, std::string>>{{owner.raw(), "llm"}}));
  EXPECT_EQ(repo_told.entries().size(), 2u);
  EXPECT_TRUE(not_told.entries().empty());
  EXPECT_EQ(*repo.read(repo.walk("config.json"), 0, 9), "{2}");
}

TEST_F(BackendTest, ASharedMountAsksAnonymouslyAndKeepsApart) {
  const hub::RepoId secret{hub::RepoType::kModel, "acme/secret"};
  hub_->commit(secret, {{"key", {"mine", false}}});
  hub_->set_private(secret, true);
  const SyncMount own = mount();
  const SyncMount everybody = mount(shared());
  EXPECT_EQ(*own.read(own.walk("acme/secret/key"), 0, 9), "mine");
  EXPECT_EQ(own.xattr(own.walk("acme/secret/key"), "user.hubvfs.namespace"), "u1000");
  EXPECT_EQ(anonymous_->counts().metadata(), 0u);
  const NodeId owner = everybody.walk("acme");
  EXPECT_FALSE(everybody.lookup(owner, "secret")->exists) << "the Hub does not show it";
  EXPECT_FALSE(everybody.list(owner).contains("secret"));
  const auto asked = hub_->counts();
  EXPECT_EQ(*everybody.read(everybody.walk("acme/llm/model.bin"), 5, 9), weights_.substr(5, 9));
  EXPECT_EQ(hub_->counts().metadata(), asked.metadata());
  EXPECT_EQ(hub_->counts().fetches, asked.fetches);
  EXPECT_EQ(*own.read(own.walk("acme/llm/model.bin"), 5, 9), weights_.substr(5, 9));
  EXPECT_EQ(hub_->counts().fetches, asked.fetches) << "public blocks are everybody's";
}

TEST_F(BackendTest, WhatIsNotForEverybodyIsRefusedByLookup) {
  const hub::RepoId gated{hub::RepoType::kModel, "acme/gated"};
  const hub::RepoId secret{hub::RepoType::kModel, "acme/secret"};
  for (const hub::RepoId& repo : {gated, secret}) {
    anonymous_->commit(repo, {{"a", {"1", false}}});
  }
  anonymous_->set_gate(gated, hub::Gate::kManual, false);
  anonymous_->set_private(secret, true);
  const SyncMount everybody = mount(shared());
  const NodeId owner = everybody.walk("acme");
  EXPECT_EQ(everybody.lookup(owner, "gated").error().code, ErrorCode::kGated);
  EXPECT_EQ(everybody.lookup(owner, "secret").error().code, ErrorCode::kPermissionDenied);
  const auto listed = everybody.list(owner);
  EXPECT_FALSE(listed.contains("secret"));
  EXPECT_EQ(everybody.lookup(owner, "gated").error().code, ErrorCode::kGated)
      << "though it was listed";
  EXPECT_EQ(everybody.opendir(listed.at("gated").attributes.node).error().code, ErrorCode::kGated);
}

TEST_F(BackendTest, AListedRepoIsShownThoughTheHubIsAway) {
  const SyncMount everybody = mount(shared());
  const NodeId owner = everybody.walk("acme");
  ASSERT_TRUE(everybody.list(owner).contains("llm"));
  anonymous_->fail_metadata(1, {ErrorCode::kUnavailable, "down"});
  EXPECT_TRUE(everybody.lookup(owner, "llm")->exists);
  anonymous_->fail_metadata(1, {ErrorCode::kUnavailable, "down"});
  EXPECT_EQ(everybody.lookup(owner, "unknown").error().code, ErrorCode::kUnavailable);
}

TEST_F(BackendTest, StatusTellsOfItsOwnMountAndItsOwnClient) {
  const SyncMount own = mount();
  const SyncMount everybody = mount(shared());
  const NodeId file = own.walk("acme/llm/config.json");
  ASSERT_TRUE(own.open(file, {2}));
  ASSERT_TRUE(own.open(file, {4}));
  hub_->fail_metadata(1, {ErrorCode::kUnavailable, "of the user's own"});
  EXPECT_FALSE(own.lookup(kRoot, "unknown"));
  const std::string told = own->status_json();
  EXPECT_NE(told.find("\"open_files\":2"), std::string::npos) << told;
  EXPECT_NE(told.find("\"repo\":null"), std::string::npos) << told;
  EXPECT_NE(told.find("of the user's own"), std::string::npos) << told;
  const std::string shown = everybody->status_json();
  EXPECT_NE(shown.find("\"open_files\":0"), std::string::npos) << shown;
  EXPECT_EQ(shown.find("of the user's own"), std::string::npos) << shown;
}

TEST_F(BackendTest, AReadThatNobodyAnswersEndsAtItsDeadline) {
  const SyncMount first = mount();
  const NodeId file = first.walk("acme/llm/model.bin");
  hub_->hold_fetches(true);
  Answer<std::string> parked;
  first.start_read(file, 0, 10, parked);
  ASSERT_TRUE(hub_->await_fetches(1));
  clock_.advance(minutes(3));
  const auto ended = parked.get();
  EXPECT_EQ(ended.error().code, ErrorCode::kTimedOut);
  EXPECT_NE(ended.error().context.find("deadline"), std::string::npos) << ended.error().context;
}

TEST_F(BackendTest, ClosingEndsEverythingAndMakesNoMoreMounts) {
  const SyncMount first = mount();
  const SyncMount second = mount(shared());
  const NodeId file = first.walk("acme/llm/model.bin");
  hub_->hold_fetches(true);
  anonymous_->hold_metadata(true);
  Answer<std::string> parked_read;
  first.start_read(file, 0, 10, parked_read);
  Answer<Entry> parked_lookup;
  second->lookup(kRoot, "acme", parked_lookup.callback());
  backend_->close();
  EXPECT_EQ(parked_read.get().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(parked_lookup.get().error().code, ErrorCode::kCancelled);
  const auto late = backend_->mount({}, notifier_);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kCancelled);
}

TEST_F(BackendTest, MetadataThatCannotBeReadIsAnError) {
  class Broken final : public cache::MetaStore {
   public:
    Result<void> put(const cache::Namespace&, std::string_view, ByteView) override { return {}; }
    Result<void> erase(const cache::Namespace&, std::string_view) override { return {}; }
    Result<std::optional<Bytes>> get(const cache::Namespace&, std::string_view) const override {
      return std::optional<Bytes>();
    }
    Result<void> for_each(const cache::Namespace&, std::string_view,
                          const std::function<void(std::string_view, ByteView)>&) const override {
      return {ErrorCode::kIo, "the disk fails"};
    }
  };
  Broken meta;
  const auto backend = *Backend::create({}, {*hub_, *anonymous_}, store_, meta, log_, clock_);
  for (int i = 0; i < 2; ++i) {
    const auto made = backend->mount({}, notifier_);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::kIo);
  }
}

TEST_F(BackendTest, MountsComeAndGoWhileOthersAreRead) {
  const SyncMount staying = mount();
  const NodeId file = staying.walk("acme/llm/model.bin");
  std::atomic<bool> end{false};
  std::thread reading([&] {
    for (std::uint64_t i = 0; !end; ++i) {
      const std::uint64_t at = i * 7919 % (weights_.size() - 100);
      const auto got = staying.read(file, at, 100);
      ASSERT_TRUE(got) << got.error().context;
      ASSERT_EQ(*got, weights_.substr(at, 100));
    }
  });
  for (int i = 0; i < 200; ++i) {
    SyncMount passing = mount(i % 2 == 0 ? MountOptions{} : one_repo("hf://acme/llm"));
    // Answered by the Hub's thread while this one closes.
    std::vector<Answer<Entry>> answers(5);
    for (std::size_t n = 0; n < answers.size(); ++n) {
      passing->lookup(kRoot, "unknown" + std::to_string(5 * i) + std::to_string(n),
                      answers[n].callback());
    }
    passing->close();
    for (auto& answer : answers) {
      ASSERT_TRUE(answer.has_come()) << "close() has waited for it";
    }
  }
  end = true;
  reading.join();
}

TEST_F(BackendTest, ALoginIsForTheUsersOwnMountsAlone) {
  const hub::RepoId late{hub::RepoType::kModel, "acme/late"};
  const SyncMount own = mount();
  const SyncMount everybodys = mount(shared());
  const SyncMount repo = mount(one_repo("hf://acme/late"));
  for (const SyncMount& tree : {own, everybodys}) {
    EXPECT_FALSE(tree.lookup(tree.walk("acme"), "late")->exists);
  }
  EXPECT_FALSE(repo.lookup(kRoot, "a"));
  for (FakeHubClient* hub : {hub_.get(), anonymous_.get()}) {
    hub->commit(late, {{"a", {"1", false}}});
  }
  hub_->change_token();
  anonymous_->change_token();
  for (FakeHubClient* hub : {hub_.get(), anonymous_.get()}) {  // told before it answers this
    Answer<hub::RepoInfo> after;
    hub->repo_info(repo_, "", TimePoint::max(), after.callback());
    ASSERT_TRUE(after.get());
  }
  EXPECT_EQ(*own.read(own.walk("acme/late/a"), 0, 9), "1");
  EXPECT_EQ(*repo.read(repo.walk("a"), 0, 9), "1");
  EXPECT_FALSE(everybodys.lookup(everybodys.walk("acme"), "late")->exists)
      << "no token is sent for these: nothing has changed";
}

}  // namespace
}  // namespace hubvfs::fs
