// SPDX-License-Identifier: Apache-2.0
// The mount of one repo, or of a folder of it.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "cache/memory_cache.h"
#include "fs/backend.h"
#include "tests/fs/sync_mount.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_notifier.h"

namespace hubvfs::fs {
namespace {

using std::chrono::minutes;

constexpr std::uint64_t kBlock = 256 * 1024;

class RepoRootTest : public testing::Test {
 protected:
  void SetUp() override {
    commit_ = hub_->commit(repo_, {{"config.json", {"{}", false}},
                                   {"README.md", {"read me", false}},
                                   {"onnx/model.onnx", {"weights", true}},
                                   {"onnx/deep/vocab.txt", {"words", false}}});
    options_.endpoint = "http://hub";
    options_.uid = 1000;
    options_.gid = 100;
  }
  void TearDown() override { stop(); }
  void start(const std::string& url, bool shared = false) {
    stop();
    backend_ = *Backend::create(options_, {*hub_, *hub_}, store_, meta_, log_, clock_);
    MountOptions mount;
    mount.repo = *RepoScope::parse(url);
    mount.shared = shared;
    mount.number = 3;
    fs_ = SyncMount(*backend_->mount(mount, notifier_));
  }
  void stop() {
    if (!backend_) return;
    backend_->close();
    fs_.reset();
    backend_.reset();
  }
  // What check_root says of a mount that is made anew; "" when all is well.
  std::string check(const std::string& url, bool shared = false) {
    start(url, shared);
    const auto error = fs_.check_root();
    if (!error) return "";
    return std::string(to_string(error->code)) + " " + error->context;
  }
  static std::set<std::string> names(const std::map<std::string, Entry>& listing) {
    std::set<std::string> all;
    for (const auto& [name, entry] : listing) all.insert(name);
    return all;
  }
  void let_checks_end() {
    // The fake answers in order: once this is answered, so is what was asked before.
    Answer<hub::RepoInfo> after;
    hub_->repo_info(repo_, "", TimePoint::max(), after.callback());
    ASSERT_TRUE(after.get());
  }
  // A commit that the next look at the root begins to ask about, and the one after it shows.
  std::string move_branch(const FakeHubClient::Files& files) {
    std::string second = hub_->commit(repo_, files);
    clock_.advance(minutes(6));
    EXPECT_TRUE(fs_.getattr(kRoot));
    let_checks_end();
    return second;
  }

  const hub::RepoId repo_{hub::RepoType::kModel, "acme/llm"};
  std::string commit_;
  BackendOptions options_;
  ManualClock clock_;
  NullLogger log_;
  RecordingNotifier notifier_;
  cache::MemoryMetaStore meta_;
  cache::MemoryBlobStore store_{kBlock, 0};
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<Backend> backend_;
  SyncMount fs_;
};

void contains(const std::string& text, const std::string& what) {
  EXPECT_NE(text.find(what), std::string::npos) << "\"" << text << "\" lacks " << what;
}

TEST_F(RepoRootTest, TheRootHoldsTheReposFilesAndNothingElse) {
  start("hf://acme/llm");
  EXPECT_EQ(names(fs_.list(kRoot)),
            (std::set<std::string>{".", "..", "README.md", "config.json", "onnx"}));
  EXPECT_EQ(names(fs_.list(kRoot, 1)), names(fs_.list(kRoot))) << "a piece at a time";
  for (const char* name : {".hubvfs", "acme", "llm", "..x"}) {
    EXPECT_FALSE(fs_.lookup(kRoot, name)->exists) << name;
  }
  const NodeId config = fs_.walk("config.json");
  EXPECT_EQ(fs_.list(kRoot).at("config.json").attributes.node, config);
  ASSERT_TRUE(fs_.open(config));
  EXPECT_EQ(*fs_.read(config, 0, 100), "{}");
  EXPECT_EQ(*fs_.read(fs_.walk("onnx/deep/vocab.txt"), 0, 100), "words");
  EXPECT_EQ(hub_->counts().lists, 0u) << "no owner is asked about";
}

TEST_F(RepoRootTest, AFolderOfTheRepoIsTheRoot) {
  start("hf://acme/llm/onnx");
  EXPECT_EQ(names(fs_.list(kRoot)), (std::set<std::string>{".", "..", "deep", "model.onnx"}));
  EXPECT_EQ(*fs_.read(fs_.walk("model.onnx"), 0, 100), "weights");
  EXPECT_EQ(*fs_.read(fs_.walk("deep/vocab.txt"), 0, 100), "words");
  EXPECT_FALSE(fs_.lookup(kRoot, "config.json")->exists);
  start("hf://acme/llm/onnx/deep");
  EXPECT_EQ(names(fs_.list(kRoot)), (std::set<std::string>{".", "..", "vocab.txt"}));
}

TEST_F(RepoRootTest, TheRootHasAttributesBeforeAnythingIsKnown) {
  start("hf://acme/llm");
  const auto before = fs_.getattr(kRoot);
  ASSERT_TRUE(before);
  EXPECT_EQ(hub_->counts().metadata(), 0u) << "stat of the mount point waits for nobody";
  EXPECT_EQ(before->attributes.mode, S_IFDIR | 0500u);
  EXPECT_EQ(before->attributes.uid, 1000u);
  EXPECT_EQ(before->attributes.node, kRoot);
  ASSERT_TRUE(fs_.opendir(kRoot));
  EXPECT_NE(fs_.getattr(kRoot)->attributes.modified, before->attributes.modified)
      << "the commit's date once it is known";
}

TEST_F(RepoRootTest, TheRootHasTheAttributesOfARepoDirectory) {
  for (const char* url : {"hf://acme/llm", "hf://acme/llm/onnx"}) {
    start(url);
    EXPECT_EQ(fs_.xattr(kRoot, "user.hubvfs.repo"), "acme/llm");
    EXPECT_EQ(fs_.xattr(kRoot, "user.hubvfs.commit"), commit_);
    EXPECT_EQ(fs_.xattr(kRoot, "user.hubvfs.revision"), "main");
    EXPECT_EQ(fs_.xattr(kRoot, "user.hubvfs.hidden"), "0");
    EXPECT_EQ(fs_.xattr(kRoot, "user.hubvfs.size"), "error NoAttribute");
    Answer<std::vector<std::string>> listed;
    fs_->listxattr(kRoot, listed.callback());
    EXPECT_EQ(listed.get()->size(), 5u);
  }
}

TEST_F(RepoRootTest, OtherTypesOfRepos) {
  hub_->commit({hub::RepoType::kDataset, "acme/texts"}, {{"train.csv", {"a,b", false}}});
  start("hf://datasets/acme/texts");
  EXPECT_EQ(*fs_.read(fs_.walk("train.csv"), 0, 10), "a,b");
  EXPECT_EQ(check("hf://spaces/acme/texts").substr(0, 8), "NotFound");
}

// ---- what the kernel may keep

TEST_F(RepoRootTest, NamesBelowTheRootAreKeptForTheTtlAndBelowThatForGood) {
  start("hf://acme/llm");
  const auto file = fs_.lookup(kRoot, "config.json");
  EXPECT_EQ(file->entry_timeout, minutes(5));
  EXPECT_EQ(fs_.list(kRoot).at("onnx").entry_timeout, minutes(5));
  EXPECT_EQ(fs_.lookup(kRoot, "absent")->entry_timeout, Duration::zero());
  EXPECT_EQ(fs_.getattr(kRoot)->attribute_timeout, minutes(5));
  EXPECT_FALSE(fs_.opendir(kRoot)->cache_listing);
  EXPECT_FALSE(fs_.opendir(kRoot)->keep_cache);
  const NodeId folder = fs_.walk("onnx");
  EXPECT_GT(fs_.lookup(folder, "model.onnx")->entry_timeout, std::chrono::hours(1000));
  EXPECT_GT(fs_.list(folder).at("deep").entry_timeout, std::chrono::hours(1000));
  EXPECT_GT(fs_.lookup(folder, "absent")->entry_timeout, std::chrono::hours(1000));
  EXPECT_TRUE(fs_.opendir(folder)->cache_listing);
}

TEST_F(RepoRootTest, APinnedRootIsKeptForGood) {
  start("hf://acme/llm@" + commit_);
  ASSERT_TRUE(fs_.opendir(kRoot)->cache_listing);
  EXPECT_GT(fs_.lookup(kRoot, "config.json")->entry_timeout, std::chrono::hours(1000));
  EXPECT_GT(fs_.lookup(kRoot, "absent")->entry_timeout, std::chrono::hours(1000));
  EXPECT_GT(fs_.list(kRoot).at("onnx").entry_timeout, std::chrono::hours(1000));
  EXPECT_GT(fs_.getattr(kRoot)->attribute_timeout, std::chrono::hours(1000));
  EXPECT_EQ(fs_.xattr(kRoot, "user.hubvfs.revision"), commit_);
}

TEST_F(RepoRootTest, AMovedBranchTakesAllNamesOfTheRootWithIt) {
  start("hf://acme/llm");
  const NodeId old = fs_.walk("config.json");
  const NodeId old_folder = fs_.walk("onnx");
  const std::string second = move_branch({{"config.json", {"{2}", false}}, {"new", {"n", false}}});
  EXPECT_EQ(notifier_.entries(),
            (std::vector<std::pair<std::uint64_t, std::string>>{
                {kRoot.raw(), "README.md"}, {kRoot.raw(), "config.json"}, {kRoot.raw(), "onnx"}}));
  EXPECT_EQ(notifier_.attributes(), (std::vector<std::uint64_t>{kRoot.raw()}));
  EXPECT_EQ(names(fs_.list(kRoot)), (std::set<std::string>{".", "..", "config.json", "new"}));
  EXPECT_EQ(*fs_.read(fs_.walk("config.json"), 0, 10), "{2}");
  EXPECT_EQ(fs_.xattr(kRoot, "user.hubvfs.commit"), second);
  EXPECT_EQ(*fs_.read(old, 0, 10), "{}") << "what is open stays what it was";
  EXPECT_EQ(names(fs_.list(old_folder)), (std::set<std::string>{".", "..", "deep", "model.onnx"}));
}

TEST_F(RepoRootTest, AMovedBranchForgetsTheNamesOfTheFolderThatIsTheRoot) {
  start("hf://acme/llm/onnx");
  ASSERT_TRUE(fs_.opendir(kRoot));
  move_branch({{"onnx/other", {"o", false}}});
  EXPECT_EQ(notifier_.entries(), (std::vector<std::pair<std::uint64_t, std::string>>{
                                     {kRoot.raw(), "deep"}, {kRoot.raw(), "model.onnx"}}));
  EXPECT_EQ(names(fs_.list(kRoot)), (std::set<std::string>{".", "..", "other"}));
}

TEST_F(RepoRootTest, AListingEndsInTheCommitInWhichItWasBegun) {
  start("hf://acme/llm");
  std::vector<std::string> listed;
  std::vector<Duration> kept;
  std::uint64_t cookie = 0;
  const auto list_some = [&](std::size_t count) {
    Answer<bool> done;
    fs_->readdir(
        kRoot, cookie,
        [&](const DirectoryItem& item) {
          if (count-- == 0) return false;
          listed.emplace_back(item.name);
          kept.push_back(item.entry.entry_timeout);
          cookie = item.cookie;
          return true;
        },
        [callback = done.callback()](const Result<void>& result) {
          callback(result ? Result<bool>(true) : Result<bool>(result.error()));
        });
    return done.get();
  };
  ASSERT_TRUE(list_some(3));
  move_branch({{"a", {"1", false}}, {"b", {"2", false}}, {"z", {"3", false}}});
  ASSERT_TRUE(list_some(1));
  ASSERT_TRUE(list_some(100));
  EXPECT_EQ(listed, (std::vector<std::string>{".", "..", "README.md", "config.json", "onnx"}));
  EXPECT_EQ(kept[2], minutes(5));
  EXPECT_EQ(kept[4], Duration::zero()) << "the kernel would not be told of its end";
  EXPECT_EQ(names(fs_.list(kRoot)), (std::set<std::string>{".", "..", "a", "b", "z"}));
  cookie = std::uint64_t{0x7fff'ffff} << 32 | 4;
  EXPECT_EQ(list_some(1).error().code, ErrorCode::kStale);
}

TEST_F(RepoRootTest, AnotherPlaceThatMovesIsNoConcernOfIt) {
  start("hf://acme/llm@" + commit_);
  ASSERT_TRUE(fs_.opendir(kRoot));
  RecordingNotifier others;
  MountOptions tree;
  tree.number = 4;
  const SyncMount whole(*backend_->mount(tree, others));
  whole.walk("acme/llm/config.json");
  hub_->commit(repo_, {{"new", {"n", false}}});
  clock_.advance(minutes(6));
  whole.walk("acme/llm");
  let_checks_end();
  EXPECT_EQ(others.entries().size(), 1u);
  EXPECT_TRUE(notifier_.entries().empty());
}

TEST_F(RepoRootTest, AFolderThatANewerCommitLacksIsAnEmptyPlaceNotAStaleOne) {
  start("hf://acme/llm/onnx");
  const NodeId old = fs_.walk("model.onnx");
  move_branch({{"config.json", {"{}", false}}});
  EXPECT_EQ(fs_.lookup(kRoot, "model.onnx").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(fs_.opendir(kRoot).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(fs_.getattr(kRoot)) << "the mount point can be looked at";
  EXPECT_EQ(*fs_.read(old, 0, 10), "weights");
}

// ---- restarts

TEST_F(RepoRootTest, NodeIdsAndContentSurviveARestartWithTheHubGone) {
  start("hf://acme/llm@main/onnx");
  const NodeId file = fs_.walk("model.onnx");
  const NodeId folder = fs_.walk("deep");
  ASSERT_TRUE(fs_.read(file, 0, 100));
  const auto asked = hub_->counts();
  hub_->set_offline(true);
  start("hf://acme/llm@main/onnx");
  EXPECT_EQ(*fs_.read(file, 0, 100), "weights") << "from the node id alone";
  EXPECT_EQ(names(fs_.list(folder)), (std::set<std::string>{".", "..", "vocab.txt"}));
  EXPECT_EQ(fs_.walk("model.onnx"), file);
  EXPECT_EQ(fs_.walk("deep"), folder);
  EXPECT_EQ(fs_.list(kRoot).size(), 4u);
  EXPECT_EQ(fs_.check_root(), std::nullopt);
  EXPECT_EQ(hub_->counts().metadata(), asked.metadata());
  EXPECT_EQ(hub_->counts().fetches, asked.fetches);
}

TEST_F(RepoRootTest, OfflineAndNeverSeenIsAnErrorNotAnEmptyRepo) {
  hub_->set_offline(true);
  contains(check("hf://acme/llm"), "Offline hf://acme/llm");
  EXPECT_EQ(fs_.lookup(kRoot, "config.json").error().code, ErrorCode::kOffline);
  EXPECT_EQ(fs_.opendir(kRoot).error().code, ErrorCode::kOffline);
  EXPECT_TRUE(fs_.getattr(kRoot));
}

TEST_F(RepoRootTest, NodesOfTheWholeTreeMeanNothingHere) {
  start("hf://acme/llm");
  ASSERT_TRUE(fs_.opendir(kRoot));  // the owner and the repo have names now
  for (const std::uint32_t entry : {kControlDirEntry, kStatusEntry, kFirstName, kFirstName + 1}) {
    const NodeId node{false, 0, entry};
    EXPECT_EQ(fs_.getattr(node).error().code, ErrorCode::kStale) << entry;
    EXPECT_EQ(fs_.lookup(node, "x").error().code, ErrorCode::kStale) << entry;
    EXPECT_EQ(fs_.opendir(node).error().code, ErrorCode::kStale) << entry;
    EXPECT_EQ(fs_.open(node).error().code, ErrorCode::kStale) << entry;
    EXPECT_FALSE(fs_.read(node, 0, 10)) << entry;
    EXPECT_EQ(fs_.xattr(node, "user.hubvfs.repo"), "error Stale") << entry;
  }
}

// ---- what `hubvfs mount` is told

TEST_F(RepoRootTest, ARootThatIsThereIsConfirmed) {
  for (const char* url : {"hf://acme/llm", "hf://acme/llm@main", "hf://acme/llm/onnx/deep"}) {
    EXPECT_EQ(check(url), "");
  }
}

TEST_F(RepoRootTest, AMissingRepoIsToldFromAMissingRevision) {
  contains(check("hf://acme/nope"), "NotFound hf://acme/nope: no such model");
  contains(check("hf://acme/nope@v1"), "NotFound hf://acme/nope@v1: no such model");
  const std::string revision = check("hf://acme/llm@v1");
  contains(revision, "NotFound hf://acme/llm@v1: ");
  contains(revision, "has no branch, tag or full commit id \"v1\"");
}

TEST_F(RepoRootTest, AMissingFolderIsToldFromAFile) {
  contains(check("hf://acme/llm/nope"), "NotFound hf://acme/llm/nope: no such folder in commit ");
  contains(check("hf://acme/llm/onnx/nope"), "no such folder");
  contains(check("hf://acme/llm/config.json"), "NotDirectory hf://acme/llm/config.json: a file");
  contains(check("hf://acme/llm/config.json/x"), "no such folder");
}

TEST_F(RepoRootTest, AGatedRepoIsRefusedUntilAccessIsGiven) {
  hub_->set_gate(repo_, hub::Gate::kManual, false);
  contains(check("hf://acme/llm"), "Gated hf://acme/llm: acme/llm is gated");
  contains(check("hf://acme/llm"), "ask for access at http://hub/acme/llm,");
  hub_->set_gate(repo_, hub::Gate::kManual, true);
  clock_.advance(std::chrono::seconds(11));
  EXPECT_FALSE(fs_.check_root());
  EXPECT_EQ(*fs_.read(fs_.walk("onnx/model.onnx"), 0, 10), "weights");
}

TEST_F(RepoRootTest, ASharedMountOfAGatedOrPrivateRepoIsRefusedWithTheReason) {
  hub_->set_gate(repo_, hub::Gate::kAuto, true);
  contains(check("hf://acme/llm", true), "Gated hf://acme/llm: acme/llm is gated");
  EXPECT_EQ(fs_.lookup(kRoot, "config.json").error().code, ErrorCode::kGated);
  hub_->set_gate(repo_, hub::Gate::kNone, true);
  hub_->set_private(repo_, true);
  contains(check("hf://acme/llm", true), "PermissionDenied hf://acme/llm: acme/llm is private");
  hub_->set_private(repo_, false);
  EXPECT_FALSE(fs_.check_root()) << "asked again";
  EXPECT_EQ(fs_.getattr(kRoot)->attributes.mode, S_IFDIR | 0555u);
}

TEST_F(RepoRootTest, ARenamedRepoIsToldWithTheUrlToMount) {
  hub_->rename(repo_, "acme/big-llm");
  contains(check("hf://acme/llm@main/onnx"),
           "NotFound hf://acme/llm@main/onnx: acme/llm is now called acme/big-llm: mount "
           "hf://acme/big-llm@main/onnx");
  contains(check("hf://acme/llm@nope"), "mount hf://acme/big-llm@nope");
}

TEST_F(RepoRootTest, ARefusalIsNotRememberedForWhoMountsAgain) {
  contains(check("hf://acme/later"), "no such model");
  hub_->commit({hub::RepoType::kModel, "acme/later"}, {{"a", {"1", false}}});
  EXPECT_FALSE(fs_.check_root());
}

TEST_F(RepoRootTest, AHubThatFailsIsSaidToFail) {
  start("hf://acme/llm");
  hub_->fail_metadata(1, {ErrorCode::kUnavailable, "down"});
  const auto info = fs_.check_root();
  ASSERT_TRUE(info);
  EXPECT_EQ(info->code, ErrorCode::kUnavailable);
  contains(info->context, "hf://acme/llm: ");
  start("hf://acme/llm@v1");
  ASSERT_TRUE(fs_.check_root());
  EXPECT_FALSE(fs_.lookup(kRoot, "x")) << "and no name is absent for that";
}

TEST_F(RepoRootTest, AWholeTreeNeedsNoCheck) {
  start("hf://acme/llm");
  MountOptions tree;
  tree.number = 4;
  const SyncMount whole(*backend_->mount(tree, notifier_));
  EXPECT_FALSE(whole.check_root());
  EXPECT_EQ(hub_->counts().metadata(), 0u);
}

TEST_F(RepoRootTest, StatusNamesTheRepo) {
  start("hf://acme/llm@main/onnx");
  ASSERT_TRUE(fs_.open(fs_.walk("model.onnx")));
  const std::string status = fs_->status_json();
  contains(status, "\"repo\":\"hf://acme/llm@main/onnx\"");
  contains(status, "\"type\":\"models\"");
  contains(status, "\"open_files\":1");
}

}  // namespace
}  // namespace hubvfs::fs
