// SPDX-License-Identifier: Apache-2.0
#include "fs/hub_filesystem.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <future>

#include "cache/memory_cache.h"
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

class HubFilesystemTest : public testing::Test {
 protected:
  void SetUp() override {
    weights_ = random_bytes(3 * kBlock + 5, 4);
    commit_ = hub_->commit(repo_, {{"config.json", {"{}", false}},
                                   {"model.safetensors", {weights_, true}},
                                   {"empty.txt", {"", false}},
                                   {"sub/deep/file.txt", {"deep", false}}});
    start();
  }
  void TearDown() override { stop(); }
  void start() {
    options_.endpoint = "http://hub";
    options_.uid = 1000;
    options_.gid = 100;
    options_.open_table = table_.get();
    backend_ = *Backend::create(options_, {*hub_, *hub_}, store_, meta_, log_, clock_);
    fs_ = SyncMount(*backend_->mount(mount_, notifier_));
  }
  void stop() {
    backend_->close();
    hub_->hold_fetches(false);
    hub_->hold_metadata(false);
    fs_.reset();
    backend_.reset();
  }

  const hub::RepoId repo_{hub::RepoType::kModel, "acme/llm"};
  std::string weights_;
  std::string commit_;
  BackendOptions options_;
  MountOptions mount_{hub::RepoType::kModel, false, {}, 7};
  ManualClock clock_;
  ListLogger log_;
  std::unique_ptr<OpenTable> table_ = *OpenTable::make_private(log_);
  RecordingNotifier notifier_;
  cache::MemoryMetaStore meta_;
  cache::MemoryBlobStore store_{kBlock, 0};
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<Backend> backend_;
  SyncMount fs_;
};

TEST_F(HubFilesystemTest, FilesAreReadByPath) {
  const NodeId node = fs_.walk("acme/llm/model.safetensors");
  ASSERT_TRUE(fs_.open(node));
  EXPECT_EQ(*fs_.read(node, 0, weights_.size()), weights_);
  EXPECT_EQ(*fs_.read(node, kBlock - 3, 6), weights_.substr(kBlock - 3, 6));
  EXPECT_EQ(*fs_.read(fs_.walk("acme/llm/sub/deep/file.txt"), 0, 100), "deep");
}

TEST_F(HubFilesystemTest, ReadsAreShortOnlyAtTheEnd) {
  const NodeId node = fs_.walk("acme/llm/model.safetensors");
  EXPECT_EQ(fs_.read(node, weights_.size() - 2, 4096)->size(), 2u);
  EXPECT_EQ(fs_.read(node, weights_.size(), 4096)->size(), 0u);
  EXPECT_EQ(fs_.read(node, weights_.size() + 999, 4096)->size(), 0u);
  EXPECT_EQ(fs_.read(fs_.walk("acme/llm/empty.txt"), 0, 4096)->size(), 0u);
}

TEST_F(HubFilesystemTest, AttributesAreExactAndOwnedByTheUser) {
  const auto entry = fs_.lookup(fs_.walk("acme/llm"), "model.safetensors");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->attributes.size, weights_.size());
  EXPECT_EQ(entry->attributes.mode, S_IFREG | 0400u);
  EXPECT_EQ(entry->attributes.uid, 1000u);
  EXPECT_EQ(entry->attributes.blocks, 1u) << "never 0 for a non-empty file";
  EXPECT_EQ(fs_.lookup(fs_.walk("acme/llm"), "empty.txt")->attributes.blocks, 0u);
  EXPECT_GT(entry->attributes.modified, 0);
  ASSERT_TRUE(fs_.read(entry->attributes.node, 0, weights_.size()));
  EXPECT_EQ(fs_.lookup(fs_.walk("acme/llm"), "model.safetensors")->attributes.blocks,
            (weights_.size() + 511) / 512);
}

TEST_F(HubFilesystemTest, AbsentNamesInAKnownListingCauseNoRequestAndAreKeptLong) {
  const NodeId repo = fs_.walk("acme/llm");
  ASSERT_TRUE(fs_.opendir(repo));
  const auto asked = hub_->counts().metadata();
  for (int i = 0; i < 200; ++i) {
    const auto entry = fs_.lookup(repo, "absent" + std::to_string(i));
    ASSERT_TRUE(entry);
    EXPECT_FALSE(entry->exists);
    EXPECT_GE(entry->entry_timeout, std::chrono::hours(1));
  }
  EXPECT_EQ(hub_->counts().metadata(), asked);
}

TEST_F(HubFilesystemTest, NamesTheHubWouldRefuseCauseNoRequest) {
  for (const char* name : {".git", "-x", "a--b", "..x..y", "HEAD~1"}) {
    EXPECT_FALSE(fs_.lookup(kRoot, name)->exists) << name;
  }
  EXPECT_EQ(hub_->counts().metadata(), 0u);
  EXPECT_EQ(fs_.lookup(kRoot, std::string(256, 'x')).error().code, ErrorCode::kNameTooLong);
}

TEST_F(HubFilesystemTest, AnUnknownOwnerCostsTwoRequestsOnce) {
  EXPECT_FALSE(fs_.lookup(kRoot, "node_modules")->exists);
  const auto asked = hub_->counts().metadata();
  EXPECT_EQ(asked, 2u);  // a list, and a legacy id
  const auto again = fs_.lookup(kRoot, "node_modules");
  EXPECT_FALSE(again->exists);
  EXPECT_GT(again->entry_timeout, Duration::zero());
  EXPECT_EQ(hub_->counts().metadata(), asked);
}

TEST_F(HubFilesystemTest, ListingAnOwnerAsksNothingAboutItsRepos) {
  for (int i = 0; i < 30; ++i) {
    hub_->commit({hub::RepoType::kModel, "acme/repo" + std::to_string(i)}, {{"a", {"1", false}}});
  }
  const NodeId owner = fs_.walk("acme");
  const auto names = fs_.list(owner, 7);
  EXPECT_EQ(names.size(), 31u + 2);
  EXPECT_EQ(hub_->counts().info, 0u);
  const NodeId only_listed = names.at("repo3").attributes.node;
  EXPECT_EQ(only_listed.serial, 0u);
  EXPECT_EQ(fs_.lookup(owner, "repo3")->attributes.node, only_listed);
  EXPECT_EQ(hub_->counts().info, 0u);
  EXPECT_TRUE(fs_.lookup(only_listed, "a")->exists);
  EXPECT_EQ(hub_->counts().info, 1u);
  EXPECT_EQ(*fs_.read(fs_.lookup(only_listed, "a")->attributes.node, 0, 10), "1");
}

TEST_F(HubFilesystemTest, ListingAnOwnerAsksNothingAboutReposThatWereEnteredEither) {
  fs_.walk("acme/llm/config.json");
  const NodeId owner = fs_.walk("acme");
  const NodeId repo = fs_.walk("acme/llm");
  ASSERT_EQ(fs_.list(owner).at("llm").attributes.node, repo);
  clock_.advance(std::chrono::minutes(2));
  EXPECT_EQ(fs_.list(owner).at("llm").entry_timeout, Duration(std::chrono::minutes(3)));
  clock_.advance(std::chrono::minutes(4));
  const auto asked = hub_->counts().info;
  const Entry due = fs_.list(owner).at("llm");
  EXPECT_EQ(due.attributes.node, repo);
  EXPECT_EQ(due.entry_timeout, Duration::zero()) << "the next walk looks it up";
  EXPECT_EQ(hub_->counts().info, asked);
  ASSERT_TRUE(fs_.lookup(owner, "llm"));
  EXPECT_FALSE(fs_.lookup(owner, "absent")->exists);  // the fake answers in order
  EXPECT_EQ(hub_->counts().info, asked + 2) << "the lookup had its branch checked";
}

TEST_F(HubFilesystemTest, WhatListingsAskIsACrawlsAndWhatWalksAskIsNot) {
  const std::string content = *fs_.read(fs_.walk("acme/llm/config.json"), 0, 10);
  EXPECT_EQ(content, "{}");
  EXPECT_EQ(hub_->counts().crawls, 0u);
  const hub::RepoId listed{hub::RepoType::kModel, "acme/listed"};
  hub_->commit(listed, {{"a", {"1", false}}, {"sub/b", {"2", false}}});
  const NodeId owner = fs_.walk("acme");
  clock_.advance(std::chrono::minutes(6));
  ASSERT_TRUE(fs_.opendir(owner));
  EXPECT_FALSE(fs_.lookup(owner, "absent")->exists);  // the fake answers in order
  EXPECT_EQ(hub_->counts().crawls, 1u) << "the list of the owner, asked beside";
  const NodeId repo = fs_.list(owner).at("listed").attributes.node;
  EXPECT_EQ(hub_->counts().crawls, 1u);
  EXPECT_EQ(fs_.list(repo).size(), 4u);
  EXPECT_EQ(hub_->counts().crawls, 3u) << "its commit, and the listing of that";
}

TEST_F(HubFilesystemTest, ALookupOfAListedNameThatEverybodySeesCountsAsACrawlsAndDoesNotWait) {
  stop();
  mount_.shared = true;
  start();
  const NodeId owner = fs_.walk("acme");
  ASSERT_TRUE(fs_.list(owner).contains("llm"));
  const auto crawls = hub_->counts().crawls;
  hub_->hold_crawls(true);
  ASSERT_TRUE(fs_.lookup(owner, "llm")->exists);
  EXPECT_EQ(hub_->counts().crawls, crawls + 1);
  hub_->hold_crawls(false);
}

TEST_F(HubFilesystemTest, WalksGoOnWhileACrawlWaits) {
  const hub::RepoId listed{hub::RepoType::kModel, "acme/listed"};
  hub_->commit(listed, {{"a", {"1", false}}});
  const NodeId repo = fs_.list(fs_.walk("acme")).at("listed").attributes.node;
  hub_->hold_crawls(true);
  Answer<OpenFlags> crawler;
  fs_->opendir(repo, crawler.callback());
  EXPECT_EQ(*fs_.read(fs_.walk("acme/llm/config.json"), 0, 10), "{}");
  EXPECT_FALSE(crawler.has_come());
  EXPECT_EQ(*fs_.read(fs_.walk("acme/listed/a"), 0, 10), "1") << "what it waits for";
  EXPECT_TRUE(crawler.get());
}

TEST_F(HubFilesystemTest, TheRootListsOwnersAndTheControlFolder) {
  hub_->commit({hub::RepoType::kModel, "other/thing"}, {{"a", {"1", false}}});
  const auto names = fs_.list(kRoot, 2);
  EXPECT_TRUE(names.contains("acme"));
  EXPECT_TRUE(names.contains("other"));
  EXPECT_TRUE(names.contains(".hubvfs"));
  EXPECT_EQ(hub_->counts().info, 0u);
}

TEST_F(HubFilesystemTest, AListingIsTheSameInSmallPieces) {
  const NodeId repo = fs_.walk("acme/llm");
  const auto whole = fs_.list(repo);
  const auto pieces = fs_.list(repo, 1);
  ASSERT_EQ(whole.size(), 6u);
  for (const auto& [name, entry] : whole) {
    ASSERT_TRUE(pieces.contains(name));
    if (name != "." && name != "..") {
      EXPECT_EQ(entry.attributes.node, fs_.lookup(repo, name)->attributes.node) << name;
    }
  }
}

TEST_F(HubFilesystemTest, NodeIdsAndContentSurviveARestartWithTheHubGone) {
  const NodeId file = fs_.walk("acme/llm/model.safetensors");
  const NodeId dir = fs_.walk("acme/llm/sub/deep");
  ASSERT_TRUE(fs_.read(file, 0, weights_.size()));
  const auto asked = hub_->counts();
  stop();
  hub_->set_offline(true);
  start();
  EXPECT_EQ(*fs_.read(file, 0, weights_.size()), weights_) << "from the node id alone";
  EXPECT_EQ(fs_.walk("acme/llm/model.safetensors"), file);
  EXPECT_EQ(fs_.walk("acme/llm/sub/deep"), dir);
  EXPECT_EQ(fs_.list(dir).size(), 3u);
  EXPECT_EQ(hub_->counts().metadata(), asked.metadata());
  EXPECT_EQ(hub_->counts().fetches, asked.fetches);
  hub_->set_offline(false);
}

TEST_F(HubFilesystemTest, OpensAreCountedOverARestart) {
  const NodeId file = fs_.walk("acme/llm/config.json");
  ASSERT_TRUE(fs_.open(file, {2}));
  ASSERT_TRUE(fs_.open(file, {4}));
  EXPECT_EQ(table_->count(7, file.raw()), 2u);
  stop();
  start();
  EXPECT_EQ(table_->count(7, file.raw()), 2u) << "of the worker before";
  EXPECT_EQ(*fs_.read(file, 0, 10), "{}");
  ASSERT_TRUE(fs_.open(file, {4}));
  EXPECT_EQ(table_->count(7, file.raw()), 2u) << "an open that is asked again";
  fs_->release(file, {2});
  ASSERT_TRUE(fs_.open(file, {6}));
  EXPECT_EQ(table_->count(7, file.raw()), 2u);
  fs_->release(file, {4});
  stop();
  start();
  fs_->release(file, {4});
  EXPECT_EQ(table_->count(7, file.raw()), 1u) << "a release that is asked again";
  fs_->release(file, {6});
  EXPECT_EQ(table_->total(7), 0u);
  fs_->release(file, {6});
  EXPECT_EQ(*fs_.read(file, 0, 10), "{}") << "a release too many does no harm";
  EXPECT_EQ(table_->total(7), 0u) << "and a read is no open";
}

TEST_F(HubFilesystemTest, AnOpenIsCountedBeforeItIsAnswered) {
  const NodeId file = fs_.walk("acme/llm/config.json");
  std::promise<std::uint32_t> counted;
  fs_->open(file, {2},
            [&](const Result<OpenFlags>&) { counted.set_value(table_->count(7, file.raw())); });
  EXPECT_EQ(counted.get_future().get(), 1u);
}

TEST_F(HubFilesystemTest, WhatIsNotOpenedIsNotCounted) {
  EXPECT_FALSE(fs_.open(fs_.walk("acme/llm/sub")));
  EXPECT_FALSE(fs_.open({false, 77, 5}));
  ASSERT_TRUE(fs_.opendir(fs_.walk("acme/llm")));
  const NodeId status = fs_.walk(".hubvfs/status.json");
  ASSERT_TRUE(fs_.open(status));
  EXPECT_EQ(table_->total(7), 0u);
  // Nor may its release be taken for another's where the table is full.
  for (std::uint64_t handle = 0; handle <= OpenTable::kCapacity; ++handle) {
    table_->open(9, status.raw(), {handle});
  }
  fs_->release(status, {2});
  EXPECT_TRUE(table_->overflowed());
}

TEST_F(HubFilesystemTest, FilesAreReadThoughTheTableIsFull) {
  for (std::uint64_t handle = 0; handle < OpenTable::kCapacity; ++handle) {
    table_->open(9, 1, {handle});
  }
  const NodeId file = fs_.walk("acme/llm/config.json");
  ASSERT_TRUE(fs_.open(file));
  EXPECT_TRUE(table_->overflowed());
  EXPECT_EQ(*fs_.read(file, 0, 10), "{}");
  fs_->release(file, {2});
  EXPECT_FALSE(table_->overflowed());
  EXPECT_EQ(*fs_.read(file, 0, 10), "{}");
}

TEST_F(HubFilesystemTest, AnOpenThatTheHubRefusesIsNotCounted) {
  const hub::RepoId gated{hub::RepoType::kModel, "acme/gated"};
  hub_->commit(gated, {{"LICENSE", {"yes", false}}, {"other", {"no", false}}});
  hub_->set_gate(gated, hub::Gate::kManual, false);
  EXPECT_EQ(fs_.open(fs_.walk("acme/gated/other")).error().code, ErrorCode::kGated);
  EXPECT_EQ(table_->total(7), 0u);
  ASSERT_TRUE(fs_.open(fs_.walk("acme/gated/LICENSE")));
  EXPECT_EQ(table_->total(7), 1u);
}

TEST_F(HubFilesystemTest, NodesThatMeanNothingAreStale) {
  for (const NodeId node : {NodeId{false, 77, 0}, NodeId{false, 0, 999}, NodeId{false, 0, 9}}) {
    Answer<Entry> answer;
    fs_->getattr(node, answer.callback());
    const auto got = answer.get();
    if (node.entry != 9) {
      EXPECT_EQ(got.error().code, ErrorCode::kStale);
    }
    EXPECT_EQ(fs_.open(node).error().code, ErrorCode::kStale);
  }
  NodeId passthrough = fs_.walk("acme/llm/config.json");
  passthrough.passthrough = true;
  EXPECT_EQ(fs_.open(passthrough).error().code, ErrorCode::kStale);
  NodeId beyond = fs_.walk("acme/llm");
  beyond.entry = 12345;
  EXPECT_EQ(fs_.open(beyond).error().code, ErrorCode::kStale);
}

TEST_F(HubFilesystemTest, RenamedIdsAreSymlinks) {
  const hub::RepoId bare{hub::RepoType::kModel, "bert-base"};
  hub_->commit(bare, {{"a", {"1", false}}});
  hub_->rename(bare, "google-bert/bert-base");
  const auto legacy = fs_.lookup(kRoot, "bert-base");
  ASSERT_TRUE(legacy && legacy->exists);
  EXPECT_EQ(legacy->attributes.kind, Attributes::Kind::kSymlink);
  Answer<std::string> target;
  fs_->readlink(legacy->attributes.node, target.callback());
  EXPECT_EQ(*target.get(), "google-bert/bert-base");
  const hub::RepoId moved{hub::RepoType::kModel, "acme/old"};
  hub_->commit(moved, {{"a", {"1", false}}});
  hub_->rename(moved, "other/new");
  const auto old = fs_.lookup(fs_.walk("acme"), "old");
  Answer<std::string> sideways;
  fs_->readlink(old->attributes.node, sideways.callback());
  EXPECT_EQ(*sideways.get(), "../other/new");
}

TEST_F(HubFilesystemTest, RevisionsAreNamedInTheTree) {
  hub_->set_ref(repo_, "refs/pr/1", commit_);
  EXPECT_EQ(*fs_.read(fs_.walk("acme/llm@" + commit_ + "/config.json"), 0, 9), "{}");
  EXPECT_EQ(*fs_.read(fs_.walk("acme/llm@refs%2Fpr%2F1/config.json"), 0, 9), "{}");
  EXPECT_FALSE(fs_.lookup(fs_.walk("acme"), "llm@nope")->exists);
}

TEST_F(HubFilesystemTest, GatedFilesAreListedAndRefusedAndReadOnceGranted) {
  const hub::RepoId gated{hub::RepoType::kModel, "acme/gated"};
  hub_->commit(gated, {{"README.md", {"read me", false}}, {"w.bin", {"weights", true}}});
  hub_->set_gate(gated, hub::Gate::kManual, false);
  const NodeId repo = fs_.walk("acme/gated");
  EXPECT_EQ(fs_.list(repo).at("w.bin").attributes.size, 7u);
  EXPECT_EQ(fs_.open(fs_.walk("acme/gated/w.bin")).error().code, ErrorCode::kGated);
  const NodeId readme = fs_.walk("acme/gated/README.md");
  ASSERT_TRUE(fs_.open(readme));
  EXPECT_EQ(*fs_.read(readme, 0, 100), "read me");
  hub_->set_gate(gated, hub::Gate::kManual, true);
  clock_.advance(std::chrono::seconds(11));
  const NodeId weights = fs_.walk("acme/gated/w.bin");
  ASSERT_TRUE(fs_.open(weights)) << "no remount after a grant";
  EXPECT_EQ(*fs_.read(weights, 0, 100), "weights");
  EXPECT_EQ(fs_.xattr(weights, "user.hubvfs.namespace"), "u1000");
}

TEST_F(HubFilesystemTest, ExtendedAttributesTellWhatAFileIs) {
  const NodeId file = fs_.walk("acme/llm/model.safetensors");
  EXPECT_EQ(fs_.xattr(file, "user.hubvfs.repo"), "acme/llm");
  EXPECT_EQ(fs_.xattr(file, "user.hubvfs.commit"), commit_);
  EXPECT_EQ(fs_.xattr(file, "user.hubvfs.oid"), content_id_of(weights_, true).to_string());
  EXPECT_EQ(fs_.xattr(file, "user.hubvfs.size"), std::to_string(weights_.size()));
  EXPECT_EQ(fs_.xattr(file, "user.hubvfs.cached"), "0");
  EXPECT_EQ(fs_.xattr(file, "user.hubvfs.verified"), "0");
  ASSERT_TRUE(fs_.read(file, 0, weights_.size()));
  ASSERT_TRUE(store_.flush());
  EXPECT_EQ(fs_.xattr(file, "user.hubvfs.cached"), std::to_string(weights_.size()));
  EXPECT_EQ(fs_.xattr(file, "user.hubvfs.verified"), "1");
  EXPECT_EQ(fs_.xattr(file, "security.selinux"), "error NoAttribute");
  EXPECT_EQ(fs_.xattr(fs_.walk("acme/llm"), "user.hubvfs.revision"), "main");
  EXPECT_EQ(fs_.xattr(fs_.walk("acme"), "user.hubvfs.repo"), "error NoAttribute");
}

TEST_F(HubFilesystemTest, AttributesOfAnUnreadFileAreKeptUntilItIsOpened) {
  const NodeId file = fs_.walk("acme/llm/model.safetensors");
  EXPECT_EQ(fs_.getattr(file)->attribute_timeout, options_.metadata_ttl);
  EXPECT_EQ(fs_.list(fs_.walk("acme/llm")).at("model.safetensors").attribute_timeout,
            options_.metadata_ttl);
  EXPECT_TRUE(notifier_.attributes().empty());

  ASSERT_TRUE(fs_.open(file));
  EXPECT_EQ(notifier_.attributes(), std::vector{file.raw()});
  EXPECT_EQ(fs_.getattr(file)->attribute_timeout, std::chrono::seconds(1));
  fs_->release(file, {2});
  EXPECT_EQ(fs_.getattr(file)->attribute_timeout, options_.metadata_ttl);

  ASSERT_TRUE(fs_.read(file, 0, 10));  // opened in an earlier life
  EXPECT_EQ(notifier_.attributes(), (std::vector{file.raw(), file.raw()}));
  fs_->release(file, {2});
  EXPECT_EQ(fs_.getattr(file)->attribute_timeout, std::chrono::seconds(1));
  ASSERT_TRUE(fs_.read(file, 0, weights_.size()));
  ASSERT_TRUE(store_.flush());
  EXPECT_GT(fs_.getattr(file)->attribute_timeout, std::chrono::hours(1000));
}

TEST_F(HubFilesystemTest, EveryMountHearsWhenAFileIsOpenedInAnother) {
  RecordingNotifier other;
  MountOptions second = mount_;
  second.number = 8;
  const SyncMount there(*backend_->mount(second, other));
  const NodeId file = there.walk("acme/llm/model.safetensors");
  ASSERT_TRUE(fs_.open(fs_.walk("acme/llm/model.safetensors")));
  EXPECT_EQ(other.attributes(), std::vector{file.raw()});
  EXPECT_EQ(there.getattr(file)->attribute_timeout, std::chrono::seconds(1));
}

TEST_F(HubFilesystemTest, StatusIsAFileOfTheMount) {
  const NodeId status = fs_.walk(".hubvfs/status.json");
  ASSERT_TRUE(fs_.open(status)->direct_io);
  const std::string text = *fs_.read(status, 0, 100'000);
  EXPECT_NE(text.find("\"endpoint\":\"http://hub\""), std::string::npos);
  EXPECT_EQ(*fs_.read(status, 1, 100'000), text.substr(1)) << "what is read in pieces is one text";
  EXPECT_NE(*fs_.read(status, 0, 100'000, {4}), text) << "it counts reads: this one is later";
  fs_->release(status, {2});
  EXPECT_NE(*fs_.read(status, 0, 100'000), text);
  EXPECT_EQ(*fs_.read(fs_.walk(".hubvfs/version"), 0, 100), HUBVFS_VERSION "\n");
}

TEST_F(HubFilesystemTest, AnUnreachableHubIsAnErrorNotAnAbsentName) {
  hub_->fail_metadata(1, {ErrorCode::kUnavailable, "down"});
  EXPECT_EQ(fs_.lookup(kRoot, "acme").error().code, ErrorCode::kUnavailable);
  const NodeId owner = fs_.walk("acme");
  hub_->fail_metadata(1, {ErrorCode::kUnavailable, "down"});
  EXPECT_EQ(fs_.lookup(owner, "unknown").error().code, ErrorCode::kUnavailable);
}

TEST_F(HubFilesystemTest, ClosingAnswersParkedLookupsAndReads) {
  hub_->hold_metadata(true);
  Answer<Entry> parked;
  fs_->lookup(kRoot, "acme", parked.callback());
  fs_->close();
  EXPECT_EQ(parked.get().error().code, ErrorCode::kCancelled);
}

// ---- what the log says of failures

TEST_F(HubFilesystemTest, AFailureThatIsRepeatedIsOneLine) {
  const hub::RepoId gated{hub::RepoType::kModel, "acme/gated"};
  hub_->commit(gated, {{"a.bin", {"1", true}}, {"b.bin", {"2", true}}, {"c.json", {"3", false}}});
  hub_->set_gate(gated, hub::Gate::kManual, false);
  for (int i = 0; i < 100; ++i) {
    for (const char* name : {"a.bin", "b.bin", "c.json"}) {
      EXPECT_EQ(fs_.open(fs_.walk(std::string("acme/gated/") + name)).error().code,
                ErrorCode::kGated);
    }
  }
  ASSERT_EQ(log_.lines().size(), 1u) << log_.text();
  const std::string line = log_.lines()[0].text;
  EXPECT_EQ(line.find("open: Permission denied: acme/gated is gated"), 0u) << line;
  EXPECT_NE(line.find("ask for access at http://hub/acme/gated,"), std::string::npos) << line;
  EXPECT_EQ(log_.lines()[0].level, LogLevel::kWarning);
}

TEST_F(HubFilesystemTest, NamesThatPeopleProbeForAreNoLines) {
  const NodeId repo = fs_.walk("acme/llm");
  for (const char* name : {".git", "HEAD", "node_modules"}) {
    EXPECT_FALSE(fs_.lookup(repo, name)->exists);
  }
  EXPECT_FALSE(fs_.lookup(kRoot, ".git")->exists);
  EXPECT_EQ(fs_.xattr(repo, "security.selinux"), "error NoAttribute");
  EXPECT_FALSE(fs_.open(repo));
  EXPECT_FALSE(fs_.open({false, 77, 5}));
  EXPECT_EQ(log_.text(), "");
}

TEST_F(HubFilesystemTest, WhatTheHubSaysIsNotThereIsToldAtInfo) {
  EXPECT_FALSE(fs_.lookup(kRoot, "node_modules")->exists);
  EXPECT_FALSE(fs_.lookup(fs_.walk("acme"), "llm@nope")->exists);
  ASSERT_EQ(log_.lines().size(), 2u) << log_.text();
  for (const auto& line : log_.lines()) {
    EXPECT_EQ(line.level, LogLevel::kInfo);
    EXPECT_EQ(line.text.find("lookup: No such file or directory: "), 0u) << line.text;
  }
  EXPECT_NE(log_.lines()[1].text.find("no revision nope"), std::string::npos) << log_.text();
}

TEST_F(HubFilesystemTest, AnOutageIsOneLineWhateverIsLookedUp) {
  const NodeId owner = fs_.walk("acme");
  hub_->fail_metadata(1000, {ErrorCode::kUnavailable, "cannot connect"});
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(fs_.lookup(owner, "repo" + std::to_string(i)));
  EXPECT_EQ(log_.text(), "lookup: Input/output error: cannot connect\n");
}

TEST_F(HubFilesystemTest, ASharedMountTellsEachGatedRepo) {
  mount_.shared = true;
  stop();
  start();
  for (const char* name : {"acme/one", "acme/two"}) {
    const hub::RepoId gated{hub::RepoType::kModel, name};
    hub_->commit(gated, {{"a", {"1", false}}});
    hub_->set_gate(gated, hub::Gate::kAuto, true);
  }
  const NodeId owner = fs_.walk("acme");
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(fs_.lookup(owner, "one").error().code, ErrorCode::kGated);
    EXPECT_EQ(fs_.lookup(owner, "two").error().code, ErrorCode::kGated);
  }
  ASSERT_EQ(log_.lines().size(), 2u) << log_.text();
  EXPECT_NE(log_.lines()[1].text.find("http://hub/acme/two "), std::string::npos) << log_.text();
}

// ---- another token

TEST_F(HubFilesystemTest, ALoginOpensWhatWasHiddenWithNoRemount) {
  const hub::RepoId secret{hub::RepoType::kModel, "acme/secret"};
  hub_->commit(secret, {{"a", {"1", false}}});
  hub_->set_visible(secret, false);
  const hub::RepoId alone{hub::RepoType::kModel, "lab/alone"};
  hub_->commit(alone, {{"a", {"2", false}}});
  hub_->set_visible(alone, false);
  const NodeId owner = fs_.walk("acme");
  EXPECT_FALSE(fs_.lookup(owner, "secret")->exists);
  EXPECT_FALSE(fs_.lookup(kRoot, "lab")->exists);
  hub_->set_visible(secret, true);
  hub_->set_visible(alone, true);
  EXPECT_FALSE(fs_.lookup(owner, "secret")->exists) << "remembered, by the kernel too";
  hub_->change_token();
  const auto forgets = [&](std::uint64_t parent, const std::string& name) {
    const auto told = notifier_.entries();
    return std::find(told.begin(), told.end(), std::pair(parent, name)) != told.end();
  };
  Answer<hub::RepoInfo> after;  // the fake tells of the token before it answers this
  hub_->repo_info(repo_, "", TimePoint::max(), after.callback());
  ASSERT_TRUE(after.get());
  EXPECT_TRUE(forgets(owner.raw(), "secret"));
  EXPECT_TRUE(forgets(kRoot.raw(), "lab"));
  EXPECT_EQ(*fs_.read(fs_.walk("acme/secret/a"), 0, 9), "1");
  EXPECT_EQ(*fs_.read(fs_.walk("lab/alone/a"), 0, 9), "2");
}

// ---- content that is not what its id says

TEST_F(HubFilesystemTest, TheKernelLetsGoOfPagesThatCameWrong) {
  const NodeId file = fs_.walk("acme/llm/model.safetensors");
  const NodeId same = fs_.walk("acme/llm@" + commit_ + "/model.safetensors");
  EXPECT_TRUE(fs_.open(file)->keep_cache);
  hub_->corrupt_fetches("model.safetensors", 1);
  EXPECT_EQ(fs_.read(file, 0, weights_.size()).error().code, ErrorCode::kCorrupt);
  for (const NodeId node : {file, same}) {
    EXPECT_FALSE(fs_.open(node)->keep_cache) << "it may hold pages of then";
    EXPECT_EQ(*fs_.read(node, 0, weights_.size()), weights_);
    EXPECT_TRUE(fs_.open(node)->keep_cache);
  }
}

}  // namespace
}  // namespace hubvfs::fs
