// SPDX-License-Identifier: Apache-2.0
#include "fs/hf_view.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "cache/memory_cache.h"
#include "fs/backend.h"
#include "tests/fs/sync_mount.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_notifier.h"

namespace hubvfs::fs {
namespace {

class HfViewTest : public testing::Test {
 protected:
  void SetUp() override {
    first_ = hub_->commit(model_, {{"config.json", {"{1}", false}}, {"sub/a.bin", {"a", true}}});
    hub_->commit(dataset_, {{"train.csv", {"a,b", false}}});
    start();
  }
  void TearDown() override { stop(); }
  void start() {
    options_.endpoint = "http://hub";
    options_.uid = 1000;
    backend_ = *Backend::create(options_, {*hub_, *hub_}, store_, meta_, log_, clock_);
    fs_ = SyncMount(*backend_->mount(mount_, notifier_));
  }
  void stop() {
    backend_->close();
    fs_.reset();
    backend_.reset();
  }
  std::string text(const std::string& path) {
    const NodeId node = fs_.walk(path);
    EXPECT_TRUE(fs_.open(node)) << path;
    const auto got = fs_.read(node, 0, 1000);
    fs_->release(node, {2});
    return got ? *got : "error: " + got.error().context;
  }
  bool exists(const std::string& folder, const std::string& name) {
    const auto entry = fs_.lookup(fs_.walk(folder), name);
    EXPECT_TRUE(entry) << folder << "/" << name << ": " << entry.error().context;
    return entry && entry->exists;
  }

  const hub::RepoId model_{hub::RepoType::kModel, "acme/llm"};
  const hub::RepoId dataset_{hub::RepoType::kDataset, "acme/rows"};
  std::string first_;
  BackendOptions options_;
  MountOptions mount_{hub::RepoType::kModel, false, {}, 7};
  ManualClock clock_;
  ListLogger log_;
  RecordingNotifier notifier_;
  cache::MemoryMetaStore meta_;
  cache::MemoryBlobStore store_{256 * 1024, 0};
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<Backend> backend_;
  SyncMount fs_;
};

TEST(HfFolderTest, NamesAreHuggingfaceHubs) {
  for (const char* name : {"models--acme--llm", "datasets--rows", "spaces--a--b.c_d"}) {
    const auto folder = HfFolder::parse(name);
    ASSERT_TRUE(folder) << name;
    EXPECT_EQ(folder->name(), name);
  }
  EXPECT_EQ(HfFolder::parse("datasets--acme--rows")->repo, "acme/rows");
  EXPECT_EQ(HfFolder::parse("datasets--acme--rows")->view, View::kHfDatasets);
  for (const char* name : {"", "models", "models--", "models--a--b--c", "models--a/b", "kernels--a",
                           "models--..--x", ".locks", "CACHEDIR.TAG", "version.txt"}) {
    EXPECT_FALSE(HfFolder::parse(name)) << name;
  }
}

TEST_F(HfViewTest, ABranchLeadsToItsCommitAndThatToTheFiles) {
  const std::string repo = ".hf-cache/models--acme--llm";
  EXPECT_EQ(text(repo + "/refs/main"), first_) << "and no newline: programs do not strip it";
  EXPECT_EQ(fs_.getattr(fs_.walk(repo + "/refs/main"))->attributes.size, 40u);
  EXPECT_EQ(text(repo + "/snapshots/" + first_ + "/config.json"), "{1}");
  EXPECT_EQ(text(repo + "/snapshots/" + first_ + "/sub/a.bin"), "a");
  EXPECT_EQ(fs_.xattr(fs_.walk(repo + "/snapshots/" + first_), "user.hubvfs.repo"), "acme/llm");
  EXPECT_EQ(fs_.list(fs_.walk(repo + "/blobs")).size(), 2u);
}

TEST_F(HfViewTest, EveryMountShowsAllTypes) {
  const std::string commit = text(".hf-cache/datasets--acme--rows/refs/main");
  EXPECT_EQ(text(".hf-cache/datasets--acme--rows/snapshots/" + commit + "/train.csv"), "a,b");
  EXPECT_FALSE(exists(".hf-cache", "models--acme--rows"));
  EXPECT_FALSE(exists(".hf-cache", "spaces--acme--rows"));
}

// Two nodes with one id would be one file to the kernel.
TEST_F(HfViewTest, NodesOfTheTreeAndOfEachViewDiffer) {
  const std::string commit = text(".hf-cache/datasets--acme--rows/refs/main");
  std::set<std::uint64_t> nodes;
  const auto add = [&](const std::string& path) {
    EXPECT_TRUE(nodes.insert(fs_.walk(path).raw()).second) << path;
  };
  add("acme/llm");
  add("acme/llm/config.json");
  add("acme/llm@" + first_);
  add("acme/llm@" + first_ + "/config.json");
  add(".hf-cache");
  for (const std::string repo : {".hf-cache/models--acme--llm", ".hf-cache/datasets--acme--rows"}) {
    for (const char* part : {"", "/blobs", "/refs", "/snapshots", "/refs/main"}) add(repo + part);
  }
  add(".hf-cache/models--acme--llm/snapshots/" + first_);
  add(".hf-cache/models--acme--llm/snapshots/" + first_ + "/config.json");
  add(".hf-cache/datasets--acme--rows/snapshots/" + commit);
  add(".hf-cache/datasets--acme--rows/snapshots/" + commit + "/train.csv");
}

TEST_F(HfViewTest, WhatIsNotThereCostsNoRequest) {
  const std::string snapshot = ".hf-cache/models--acme--llm/snapshots/" + first_;
  ASSERT_TRUE(fs_.opendir(fs_.walk(snapshot)));
  const auto asked = hub_->counts().metadata();
  EXPECT_FALSE(exists(snapshot, "model.safetensors"));
  EXPECT_FALSE(exists(".hf-cache/models--acme--llm", ".no_exist"));
  EXPECT_FALSE(exists(".hf-cache/models--acme--llm", "trees"));
  EXPECT_FALSE(exists(".hf-cache/models--acme--llm/snapshots", "main"));
  EXPECT_FALSE(exists(".hf-cache/models--acme--llm/refs", first_));
  EXPECT_FALSE(exists(".hf-cache/models--acme--llm/blobs", first_));
  EXPECT_FALSE(exists(".hf-cache", ".locks"));
  EXPECT_FALSE(exists(".hf-cache", "version.txt"));
  EXPECT_EQ(hub_->counts().metadata(), asked);
}

TEST_F(HfViewTest, RefsWithSlashesLieInFolders) {
  const std::string dev = hub_->commit(model_, {{"config.json", {"{2}", false}}}, "team/dev");
  hub_->set_ref(model_, "refs/pr/1", dev);
  hub_->set_ref(model_, "refs/tags/v1", first_);
  const std::string refs = ".hf-cache/models--acme--llm/refs";
  EXPECT_EQ(text(refs + "/team/dev"), dev);
  EXPECT_EQ(text(refs + "/refs/pr/1"), dev);
  EXPECT_EQ(text(refs + "/v1"), first_);
  EXPECT_FALSE(exists(refs, "tea"));
  EXPECT_FALSE(exists(refs + "/team", "prod"));
  EXPECT_FALSE(exists(refs + "/refs/pr", "2"));
  const auto listed = fs_.list(fs_.walk(refs), 1);
  for (const char* name : {"main", "team", "refs", "v1"})
    EXPECT_TRUE(listed.contains(name)) << name;
  EXPECT_EQ(listed.size(), 4u + 2);
  EXPECT_TRUE(fs_.list(fs_.walk(refs + "/team")).contains("dev"));
}

TEST_F(HfViewTest, ListingsTellWhatIsKnownHere) {
  EXPECT_EQ(fs_.list(fs_.walk(".hf-cache")).size(), 2u) << "nothing was entered yet";
  fs_.walk("acme/llm/config.json");
  fs_.walk(".hf-cache/datasets--acme--rows");
  const auto repos = fs_.list(fs_.walk(".hf-cache"), 1);
  EXPECT_EQ(repos.size(), 2u + 2);
  EXPECT_TRUE(repos.contains("models--acme--llm"));
  EXPECT_TRUE(repos.contains("datasets--acme--rows"));
  const auto commits = fs_.list(fs_.walk(".hf-cache/models--acme--llm/snapshots"), 1);
  EXPECT_EQ(commits.size(), 1u + 2);
  ASSERT_TRUE(commits.contains(first_)) << "try_to_load_from_cache looks for it in the listing";
  EXPECT_TRUE(fs_.lookup(commits.at(first_).attributes.node, "config.json")->exists);
  EXPECT_TRUE(fs_.list(kRoot).contains(".hf-cache"));
}

TEST_F(HfViewTest, ABranchThatMovesShowsTheNewCommitAndKeepsTheOld) {
  const std::string repo = ".hf-cache/models--acme--llm";
  EXPECT_EQ(text(repo + "/refs/main"), first_);
  const NodeId old = fs_.walk(repo + "/snapshots/" + first_ + "/config.json");
  const std::string second = hub_->commit(model_, {{"config.json", {"{2}", false}}});
  const auto asked = hub_->counts().info;
  clock_.advance(std::chrono::minutes(10));
  (void)text(repo + "/refs/main");  // it is looked at beside
  Answer<hub::RepoInfo> after;      // the fake answers in order
  hub_->repo_info(model_, "", TimePoint::max(), after.callback());
  ASSERT_TRUE(after.get());
  EXPECT_EQ(text(repo + "/refs/main"), second);
  EXPECT_EQ(hub_->counts().info, asked + 2);
  EXPECT_EQ(text(repo + "/snapshots/" + second + "/config.json"), "{2}");
  EXPECT_EQ(*fs_.read(old, 0, 10), "{1}");
  EXPECT_EQ(fs_.list(fs_.walk(repo + "/snapshots")).size(), 2u + 2);
}

TEST_F(HfViewTest, ARenamedRepoIsALink) {
  hub_->rename(model_, "acme/llm-2");
  const auto entry = fs_.lookup(fs_.walk(".hf-cache"), "models--acme--llm");
  ASSERT_TRUE(entry && entry->exists);
  EXPECT_EQ(entry->attributes.mode, S_IFLNK | 0777u);
  Answer<std::string> target;
  fs_->readlink(entry->attributes.node, target.callback());
  EXPECT_EQ(*target.get(), "models--acme--llm-2");
  EXPECT_EQ(entry->attributes.size, std::string("models--acme--llm-2").size());
  EXPECT_EQ(text(".hf-cache/models--acme--llm-2/snapshots/" + first_ + "/config.json"), "{1}");
}

TEST_F(HfViewTest, AWorkerThatComesLaterKnowsTheSameNodesWithoutTheHub) {
  const NodeId ref = fs_.walk(".hf-cache/models--acme--llm/refs/main");
  const std::string path = ".hf-cache/models--acme--llm/snapshots/" + first_ + "/config.json";
  const NodeId file = fs_.walk(path);
  EXPECT_EQ(text(path), "{1}");
  stop();
  hub_->set_offline(true);
  options_.offline = true;
  start();
  EXPECT_EQ(*fs_.read(file, 0, 10), "{1}");
  EXPECT_EQ(*fs_.read(ref, 0, 100), first_);
  EXPECT_EQ(fs_.walk(path), file);
  EXPECT_EQ(fs_.walk(".hf-cache/models--acme--llm/refs/main"), ref);
  EXPECT_TRUE(fs_.list(fs_.walk(".hf-cache")).contains("models--acme--llm"));
}

TEST_F(HfViewTest, OneReposMountHasNone) {
  stop();
  mount_.repo = *RepoScope::parse("hf://acme/llm");
  start();
  EXPECT_FALSE(fs_.lookup(kRoot, ".hf-cache")->exists);
  EXPECT_EQ(fs_.getattr({false, 0, kHfCacheEntry}).error().code, ErrorCode::kStale);
  EXPECT_EQ(fs_.getattr({false, 1, 0, View::kHfDatasets}).error().code, ErrorCode::kStale);
}

TEST_F(HfViewTest, NodesThatNobodyWasGivenAreStale) {
  (void)text(".hf-cache/models--acme--llm/refs/main");
  for (const View view : {View::kHfModels, View::kHfDatasets, View::kHfSpaces}) {
    for (std::uint32_t entry : {0u, 1u, 7u, 8u * 16 + 4, 8u * 17 + 7, 8u * 4000, ~0u}) {
      const NodeId node{false, 0, entry, view};
      EXPECT_EQ(fs_.getattr(node).error().code, ErrorCode::kStale);
      EXPECT_FALSE(fs_.lookup(node, "x"));
      EXPECT_FALSE(fs_.open(node));
      EXPECT_FALSE(fs_.read(node, 0, 1));
      EXPECT_FALSE(fs_.opendir(node));
    }
    EXPECT_EQ(fs_.getattr({false, 77, 1, view}).error().code, ErrorCode::kStale);
  }
}

TEST_F(HfViewTest, ASharedMountShowsPublicReposOnly) {
  hub_->set_private(model_, true);
  stop();
  mount_.shared = true;
  start();
  EXPECT_EQ(fs_.lookup(fs_.walk(".hf-cache"), "models--acme--llm").error().code,
            ErrorCode::kPermissionDenied);
  EXPECT_EQ(fs_.getattr(fs_.walk(".hf-cache/datasets--acme--rows/refs/main"))->attributes.mode,
            S_IFREG | 0444u);
}

}  // namespace
}  // namespace hubvfs::fs
