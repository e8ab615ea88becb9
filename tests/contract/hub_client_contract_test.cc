// SPDX-License-Identifier: Apache-2.0
// What every HubClient promises: the fake that other tests rely on, the curl client, and
// mirrors the first of which is down.
#include <gtest/gtest.h>

#include <algorithm>
#include <climits>

#include "hub/curl_hub_client.h"
#include "hub/mirrored_client.h"
#include "tests/support/http_fake_hub.h"
#include "tests/support/hub_calls.h"
#include "tests/support/temp_dir.h"

namespace hubvfs {
namespace {

using hub::FileRef;
using hub::RepoId;
using hub::RepoType;

const RepoId kRepo{RepoType::kModel, "acme/tiny-llm"};
const std::string kWeights = random_bytes(300'000, 7);

// A world, and a client that looks at it.
class Scene {
 public:
  virtual ~Scene() = default;
  virtual hub::HubClient& client() = 0;
  virtual void destroy_client() = 0;
  virtual void go_offline() = 0;
  // What a file that a commit lacks ends with.
  virtual ErrorCode absent_of_commit() const { return ErrorCode::kNotFound; }
  FakeHubClient& world() { return *world_; }

 protected:
  std::unique_ptr<FakeHubClient> world_ = std::make_unique<FakeHubClient>();
};

class FakeScene final : public Scene {
 public:
  hub::HubClient& client() override { return *world_; }
  void destroy_client() override { world_.reset(); }
  void go_offline() override { world_->set_offline(true); }
};

class CurlScene final : public Scene {
 public:
  explicit CurlScene(bool behind_another = false)
      : behind_another_(behind_another), http_(*world_) {
    make(false);
  }
  ~CurlScene() override {
    client_.reset();
    world_->hold_fetches(false);  // or the server's threads wait for ever
    world_->hold_metadata(false);
  }
  hub::HubClient& client() override { return *client_; }
  void destroy_client() override { client_.reset(); }
  void go_offline() override { make(true); }
  ErrorCode absent_of_commit() const override {  // a mirror may only be behind
    return behind_another_ ? ErrorCode::kUnavailable : ErrorCode::kNotFound;
  }

 private:
  void make(bool offline) {
    hub::HubClientOptions options;
    options.endpoint = http_.endpoint();
    options.offline = offline;
    auto made = hub::make_curl_hub_client(options, log_, clock_);
    ASSERT_TRUE(made);
    client_ = std::move(*made);
    if (!behind_another_) return;
    auto down = std::make_unique<FakeHubClient>();
    const Error error{ErrorCode::kUnavailable, "down"};
    down->fail_metadata(INT_MAX, error);
    down->fail_fetches(INT_MAX, error);
    down->set_offline(offline);
    std::vector<hub::Mirror> mirrors;
    mirrors.push_back({"http://down", std::move(down)});
    mirrors.push_back({options.endpoint, std::move(client_)});
    client_ = std::make_unique<hub::MirroredClient>(std::move(mirrors), log_, clock_);
  }
  const bool behind_another_;
  NullLogger log_;
  SystemClock clock_;
  HttpFakeHub http_;
  std::unique_ptr<hub::HubClient> client_;
};

using MakeScene = std::unique_ptr<Scene> (*)();

class HubClientContract : public ::testing::TestWithParam<MakeScene> {
 protected:
  void SetUp() override {
    commit_ = world().commit(kRepo, {{"config.json", {"{\"a\": 1}\n"}},
                                     {"empty.txt", {""}},
                                     {"README.md", {"# tiny\n"}},
                                     {"sub dir/a b+c#%.txt", {"odd name"}},
                                     {"sub dir/deep/ünïcode.txt", {"more"}},
                                     {"model.safetensors", {kWeights, true}}});
  }
  FakeHubClient& world() { return scene_->world(); }
  hub::HubClient& client() { return scene_->client(); }
  FileRef file(const std::string& path) { return world().file(kRepo, commit_, path); }

  std::unique_ptr<Scene> scene_ = GetParam()();
  std::string commit_;
};

TEST_P(HubClientContract, InfoOfTheDefaultBranch) {
  const auto info = info_of(client(), kRepo, "");
  ASSERT_TRUE(info) << info.error().context;
  EXPECT_EQ(info->id, kRepo);
  EXPECT_EQ(info->commit, commit_);
  EXPECT_EQ(info->last_modified, 1'772'446'272);
  EXPECT_FALSE(info->is_private);
  EXPECT_EQ(info->gate, hub::Gate::kNone);
}

TEST_P(HubClientContract, InfoOfBranchTagPullRequestAndCommit) {
  const std::string dev = world().commit(kRepo, {{"a", {"dev"}}}, "feature/x");
  world().set_ref(kRepo, "refs/tags/v1.0", commit_);
  world().set_ref(kRepo, "refs/pr/1", dev);
  EXPECT_EQ(info_of(client(), kRepo, "feature/x")->commit, dev);
  EXPECT_EQ(info_of(client(), kRepo, "v1.0")->commit, commit_);
  EXPECT_EQ(info_of(client(), kRepo, "refs/pr/1")->commit, dev);
  EXPECT_EQ(info_of(client(), kRepo, dev)->commit, dev);
}

TEST_P(HubClientContract, InfoFollowsAMovedBranch) {
  const std::string moved = world().commit(kRepo, {{"a", {"new"}}});
  EXPECT_EQ(info_of(client(), kRepo, "main")->commit, moved);
}

TEST_P(HubClientContract, WhatDoesNotExistIsNotFound) {
  EXPECT_EQ(info_of(client(), {RepoType::kModel, "acme/none"}, "").error().code,
            ErrorCode::kNotFound);
  EXPECT_EQ(info_of(client(), kRepo, "no-branch").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(info_of(client(), {RepoType::kDataset, kRepo.name}, "").error().code,
            ErrorCode::kNotFound);
  EXPECT_EQ(tree_of(client(), kRepo, commit_, "no/dir", false).more.error().code,
            scene_->absent_of_commit());
  FileRef absent = file("config.json");
  absent.path = "absent.json";
  Fetching fetching(client(), absent, {0, 3});
  EXPECT_EQ(fetching.wait().error().code, scene_->absent_of_commit());
}

TEST_P(HubClientContract, BadNamesAreRefusedUnsent) {
  for (const char* name :
       {"", "a/b/c", "../x", "a--b/c", "acme/x?y", "acme/ x", "-a/b", "a/b.git"}) {
    EXPECT_EQ(info_of(client(), {RepoType::kModel, name}, "").error().code,
              ErrorCode::kInvalidArgument)
        << name;
  }
  for (const char* revision : {"a..b", "-x", "/x", "x/", "a//b", "a?b", "a b", "x\r\ny"}) {
    EXPECT_EQ(info_of(client(), kRepo, revision).error().code, ErrorCode::kInvalidArgument)
        << revision;
  }
  EXPECT_EQ(tree_of(client(), kRepo, "main", "", false).more.error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(tree_of(client(), kRepo, commit_, "a/../b", false).more.error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(list_of(client(), RepoType::kModel, "a/b").error().code, ErrorCode::kInvalidArgument);
  FileRef hostile = file("config.json");
  hostile.path = "../../api/whoami-v2";
  EXPECT_EQ(Fetching(client(), hostile, {0, 3}).wait().error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Fetching(client(), file("config.json"), {0, 999}).wait().error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(client().stats().requests, 0u);
}

TEST_P(HubClientContract, RefsAreListedByKind) {
  world().set_ref(kRepo, "refs/tags/v1.0", commit_);
  world().set_ref(kRepo, "refs/convert/parquet", commit_);
  world().set_ref(kRepo, "refs/pr/1", commit_);
  const auto refs = refs_of(client(), kRepo);
  ASSERT_TRUE(refs);
  ASSERT_EQ(refs->branches.size(), 1u);
  EXPECT_EQ(refs->branches[0].name, "main");
  EXPECT_EQ(refs->branches[0].ref, "refs/heads/main");
  EXPECT_EQ(refs->branches[0].commit, commit_);
  ASSERT_EQ(refs->tags.size(), 1u);
  EXPECT_EQ(refs->tags[0].name, "v1.0");
  ASSERT_EQ(refs->converts.size(), 1u);
  ASSERT_EQ(refs->pull_requests.size(), 1u);
  EXPECT_EQ(refs->pull_requests[0].ref, "refs/pr/1");
}

TEST_P(HubClientContract, ATreeHasSizesAndIds) {
  const Listed root = tree_of(client(), kRepo, commit_, "", false);
  ASSERT_TRUE(root.more);
  EXPECT_FALSE(*root.more);
  ASSERT_EQ(root.entries.size(), 5u);
  for (const auto& entry : root.entries) {
    if (entry.path == "sub dir") {
      EXPECT_EQ(entry.kind, hub::TreeEntry::Kind::kDirectory);
      EXPECT_FALSE(entry.content);
      continue;
    }
    const FileRef ref = file(entry.path);
    EXPECT_EQ(entry.size, ref.content.size()) << entry.path;
    EXPECT_EQ(entry.is_lfs, entry.path == "model.safetensors") << entry.path;
    ASSERT_TRUE(entry.content) << entry.path;
    EXPECT_EQ(*entry.content, ref.content) << entry.path;
  }
}

TEST_P(HubClientContract, ATreeIsListedBelowADirectoryAndWhole) {
  const Listed below = tree_of(client(), kRepo, commit_, "sub dir", false);
  ASSERT_EQ(below.entries.size(), 2u);
  std::vector<std::string> paths;
  for (const auto& entry : tree_of(client(), kRepo, commit_, "", true).entries) {
    paths.push_back(entry.path);
  }
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(paths, (std::vector<std::string>{"README.md", "config.json", "empty.txt",
                                             "model.safetensors", "sub dir", "sub dir/a b+c#%.txt",
                                             "sub dir/deep", "sub dir/deep/ünïcode.txt"}));
}

TEST_P(HubClientContract, ATreeComesPageByPage) {
  world().set_page_size(3);
  const Listed all = tree_of(client(), kRepo, commit_, "", true);
  ASSERT_TRUE(all.more);
  EXPECT_FALSE(*all.more);
  EXPECT_EQ(all.pages, 3u);
  EXPECT_EQ(all.entries.size(), 8u);
  const Listed some = tree_of(client(), kRepo, commit_, "", true, std::chrono::seconds(10), 2);
  ASSERT_TRUE(some.more);
  EXPECT_TRUE(*some.more);
  EXPECT_EQ(some.pages, 2u);
  EXPECT_EQ(some.entries.size(), 6u);
}

TEST_P(HubClientContract, ReposOfAnOwnerComePageByPage) {
  for (const char* name : {"acme/b", "acme/c", "acme/d", "other/e"}) {
    world().commit({RepoType::kModel, name}, {{"a", {"a"}}});
  }
  world().set_page_size(3);
  const auto first = list_of(client(), RepoType::kModel, "acme");
  ASSERT_TRUE(first);
  ASSERT_EQ(first->repos.size(), 3u);
  EXPECT_EQ(first->repos[0].id, (RepoId{RepoType::kModel, "acme/b"}));
  ASSERT_FALSE(first->next.empty());
  const auto second = list_of(client(), RepoType::kModel, "acme", first->next);
  ASSERT_TRUE(second) << second.error().context;
  ASSERT_EQ(second->repos.size(), 1u);
  EXPECT_EQ(second->repos[0].id, kRepo);
  EXPECT_TRUE(second->next.empty());
  EXPECT_TRUE(list_of(client(), RepoType::kModel, "nobody")->repos.empty());
}

TEST_P(HubClientContract, EveryKindOfFileIsFetchedWhole) {
  for (const char* path : {"config.json", "README.md", "sub dir/a b+c#%.txt",
                           "sub dir/deep/ünïcode.txt", "model.safetensors"}) {
    const FileRef ref = file(path);
    Fetching fetching(client(), ref, {0, ref.content.size()});
    const auto done = fetching.wait();
    ASSERT_TRUE(done) << path << ": " << done.error().context;
    EXPECT_TRUE(fetching.contiguous());
    EXPECT_EQ(content_id_of(fetching.bytes(), ref.is_lfs), ref.content) << path;
  }
}

TEST_P(HubClientContract, ARangeIsFetchedExactly) {
  for (const ByteRange range : {ByteRange{0, 1}, ByteRange{99'999, 200'001},
                                ByteRange{kWeights.size() - 1, kWeights.size()}}) {
    Fetching fetching(client(), file("model.safetensors"), range);
    ASSERT_TRUE(fetching.wait());
    EXPECT_TRUE(fetching.contiguous());
    EXPECT_EQ(fetching.bytes(), kWeights.substr(range.begin, range.size()));
  }
}

TEST_P(HubClientContract, AnEmptyFileIsFetched) {
  Fetching fetching(client(), file("empty.txt"), {0, 0});
  EXPECT_TRUE(fetching.wait());
  EXPECT_EQ(fetching.bytes(), "");
}

TEST_P(HubClientContract, DatasetsAndSpacesHaveFilesToo) {
  for (const RepoType type : {RepoType::kDataset, RepoType::kSpace}) {
    const RepoId repo{type, "acme/set"};
    const std::string commit =
        world().commit(repo, {{"a.txt", {"hello"}}, {"b.bin", {"LFS", true}}});
    EXPECT_EQ(info_of(client(), repo, "")->commit, commit);
    for (const char* path : {"a.txt", "b.bin"}) {
      const FileRef ref = world().file(repo, commit, path);
      Fetching fetching(client(), ref, {0, ref.content.size()});
      ASSERT_TRUE(fetching.wait()) << path;
      EXPECT_EQ(content_id_of(fetching.bytes(), ref.is_lfs), ref.content);
    }
  }
}

TEST_P(HubClientContract, AnOldCommitStaysReadable) {
  const FileRef old = file("config.json");
  world().commit(kRepo, {{"config.json", {"changed"}}});
  Fetching fetching(client(), old, {0, old.content.size()});
  ASSERT_TRUE(fetching.wait());
  EXPECT_EQ(fetching.bytes(), "{\"a\": 1}\n");
}

TEST_P(HubClientContract, ARenamedRepoSaysItsNewId) {
  world().rename(kRepo, "acme/renamed");
  const auto info = info_of(client(), kRepo, "main");
  ASSERT_TRUE(info) << info.error().context;
  EXPECT_EQ(info->id.name, "acme/renamed");
  EXPECT_EQ(info->commit, commit_);
}

TEST_P(HubClientContract, AGatedRepoIsListedMaskedAndNotFetched) {
  const FileRef weights = file("model.safetensors");
  world().set_gate(kRepo, hub::Gate::kManual, false);
  EXPECT_EQ(info_of(client(), kRepo, "")->gate, hub::Gate::kManual);
  const Listed root = tree_of(client(), kRepo, commit_, "", false);
  ASSERT_TRUE(root.more);
  for (const auto& entry : root.entries) {
    if (entry.is_lfs) {
      EXPECT_FALSE(entry.content);
      EXPECT_EQ(entry.size, kWeights.size());
    }
  }
  EXPECT_EQ(Fetching(client(), weights, {0, 10}).wait().error().code, ErrorCode::kGated);
}

TEST_P(HubClientContract, APrivateRepoSaysSo) {
  world().set_private(kRepo, true);
  EXPECT_TRUE(info_of(client(), kRepo, "")->is_private);
}

TEST_P(HubClientContract, ACancelledFetchEndsOnceAsCancelled) {
  world().hold_fetches(true);
  Fetching fetching(client(), file("model.safetensors"), {0, 1000});
  ASSERT_TRUE(world().await_fetches(1));
  client().cancel(fetching.id());
  EXPECT_EQ(fetching.wait().error().code, ErrorCode::kCancelled);
  client().cancel(fetching.id());
  client().cancel(123'456);
  world().hold_fetches(false);
  ASSERT_TRUE(info_of(client(), kRepo, ""));  // later on the same thread
  EXPECT_EQ(fetching.done_calls(), 1);
}

TEST_P(HubClientContract, CallbacksMayCallTheClient) {
  Answer<hub::RepoInfo> inner;
  client().repo_info(
      kRepo, "", deadline_in(std::chrono::seconds(10)), [&](const Result<hub::RepoInfo>&) {
        client().repo_info(kRepo, "", deadline_in(std::chrono::seconds(10)), inner.callback());
      });
  EXPECT_TRUE(inner.wait());
}

TEST_P(HubClientContract, WhatACrawlAsksIsAnsweredRaisedOrNot) {
  const TimePoint by = deadline_in(std::chrono::seconds(10));
  for (const bool raised : {false, true}) {
    const auto crawl = std::make_shared<hub::Crawl>();
    if (raised) client().raise(crawl);
    Answer<hub::RepoInfo> info;
    client().repo_info(kRepo, "", {by, crawl}, info.callback());
    EXPECT_EQ(info.wait()->commit, commit_);
    Answer<hub::RepoPage> list;
    client().list_repos(RepoType::kModel, "acme", "", {by, crawl}, list.callback());
    EXPECT_EQ(list.wait()->repos.size(), 1u);
    client().raise(crawl);  // too late, and no harm
    EXPECT_TRUE(crawl->raised);
    EXPECT_EQ(info.calls() + list.calls(), 2);
  }
}

TEST_P(HubClientContract, ManyFetchesAtOnceAllEnd) {
  std::vector<std::unique_ptr<Fetching>> fetches;
  for (std::uint64_t i = 0; i < 60; ++i) {
    fetches.push_back(std::make_unique<Fetching>(client(), file("model.safetensors"),
                                                 ByteRange{i * 5000, i * 5000 + 5000}));
  }
  for (std::uint64_t i = 0; i < 60; ++i) {
    ASSERT_TRUE(fetches[i]->wait());
    EXPECT_EQ(fetches[i]->bytes(), kWeights.substr(i * 5000, 5000));
  }
}

TEST_P(HubClientContract, OfflineEveryCallEndsAsOffline) {
  const FileRef ref = file("config.json");
  scene_->go_offline();
  EXPECT_EQ(info_of(client(), kRepo, "").error().code, ErrorCode::kOffline);
  EXPECT_EQ(refs_of(client(), kRepo).error().code, ErrorCode::kOffline);
  EXPECT_EQ(tree_of(client(), kRepo, commit_, "", false).more.error().code, ErrorCode::kOffline);
  EXPECT_EQ(list_of(client(), RepoType::kModel, "acme").error().code, ErrorCode::kOffline);
  EXPECT_EQ(Fetching(client(), ref, {0, 3}).wait().error().code, ErrorCode::kOffline);
}

TEST_P(HubClientContract, DestructionCancelsWhatIsUnderWay) {
  const FileRef ref = file("model.safetensors");
  world().hold_fetches(true);
  Fetching first(client(), ref, {0, 1000});
  Fetching second(client(), ref, {1000, 2000});
  ASSERT_TRUE(world().await_fetches(1));
  scene_->destroy_client();
  EXPECT_EQ(first.wait().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(second.wait().error().code, ErrorCode::kCancelled);
}

INSTANTIATE_TEST_SUITE_P(
    All, HubClientContract,
    ::testing::Values(
        MakeScene{[]() -> std::unique_ptr<Scene> { return std::make_unique<FakeScene>(); }},
        MakeScene{[]() -> std::unique_ptr<Scene> { return std::make_unique<CurlScene>(); }},
        MakeScene{[]() -> std::unique_ptr<Scene> { return std::make_unique<CurlScene>(true); }}),
    [](const auto& each) {
      return each.index == 0 ? "Fake" : each.index == 1 ? "Curl" : "Mirrored";
    });

}  // namespace
}  // namespace hubvfs
