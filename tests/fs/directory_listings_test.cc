// SPDX-License-Identifier: Apache-2.0
// Repos that are too large to be listed at once: a directory at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "cache/memory_cache.h"
#include "fs/backend.h"
#include "fs/metadata_keys.h"
#include "tests/fs/sync_mount.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_notifier.h"

namespace hubvfs::fs {
namespace {

constexpr std::size_t kMost = 10;

class DirectoryListingsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int folder = 0; folder < 4; ++folder) {
      const std::string base = "d" + std::to_string(folder);
      for (int i = 0; i < 5; ++i) {
        files_[base + "/f" + std::to_string(i)] = {base + std::to_string(i), i % 2 == 0};
      }
      files_[base + "/sub/deep/x.txt"] = {"deep in " + base, false};
    }
    files_["config.json"] = {"{}", false};
    commit_ = hub_->commit(repo_, files_);
    hub_->set_page_size(2);
    options_.endpoint = "http://hub";
    options_.uid = 1000;
    options_.most_at_once = kMost;
    start();
  }
  void TearDown() override { stop(); }
  void start() {
    backend_ = *Backend::create(options_, {*hub_, *hub_}, store_, meta_, log_, clock_);
    fs_ = SyncMount(*backend_->mount(mount_, notifier_));
  }
  void stop() {
    backend_->close();
    hub_->hold_metadata(false);
    fs_.reset();
    backend_.reset();
  }
  void restart() {
    stop();
    start();
  }
  std::shared_ptr<Catalog> catalog() { return *backend_->catalog(hub::RepoType::kModel); }
  Result<SnapshotPtr> whole_listing() {
    Answer<SnapshotPtr> answer;
    catalog()->whole_listing(catalog()->known(*Place::parse("acme", "llm")), answer.callback());
    return answer.get();
  }
  // Every path below the repo's folder, and its node.
  std::map<std::string, std::uint64_t> all_nodes(const std::string& folder = "acme/llm") {
    std::map<std::string, std::uint64_t> nodes;
    add_nodes(fs_.walk(folder), "", nodes);
    return nodes;
  }
  void add_nodes(NodeId node, const std::string& path,
                 std::map<std::string, std::uint64_t>& nodes) {
    for (const auto& [name, entry] : fs_.list(node, 2)) {
      if (name == "." || name == "..") continue;
      const std::string below = path.empty() ? name : path + "/" + name;
      nodes[below] = entry.attributes.node.raw();
      if (entry.attributes.kind == Attributes::Kind::kDirectory) {
        add_nodes(entry.attributes.node, below, nodes);
      }
    }
  }
  // To forget a name.
  bool was_told(NodeId parent, const std::string& name) const {
    const auto told = notifier_.entries();
    return std::find(told.begin(), told.end(), std::pair(parent.raw(), name)) != told.end();
  }
  std::set<std::string> file_paths() {
    std::set<std::string> paths;
    for (const auto& [path, file] : files_) paths.insert(path);
    return paths;
  }

  const hub::RepoId repo_{hub::RepoType::kModel, "acme/llm"};
  FakeHubClient::Files files_;
  std::string commit_;
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

TEST_F(DirectoryListingsTest, AWalkCostsAListingOfEachDirectoryOnIt) {
  const NodeId root = fs_.walk("acme/llm");
  EXPECT_EQ(hub_->counts().tree, 0u);
  ASSERT_TRUE(fs_.lookup(root, "d1")->exists);
  EXPECT_EQ(hub_->counts().tree, 2u) << "the recursive one that was given up, and the root's";
  EXPECT_EQ(hub_->counts().tree_pages, kMost / 2 + 1 + 3);
  const NodeId deep = fs_.walk("acme/llm/d1/sub/deep/x.txt");
  EXPECT_EQ(hub_->counts().tree, 5u) << "d1, d1/sub and d1/sub/deep";
  ASSERT_TRUE(fs_.open(deep));
  EXPECT_EQ(*fs_.read(deep, 0, 100), "deep in d1");
  ASSERT_TRUE(fs_.getattr(fs_.walk("acme/llm/d2")));
  EXPECT_EQ(fs_.list(fs_.walk("acme/llm")).size(), 4u + 1u + 2u);
  EXPECT_FALSE(fs_.lookup(fs_.walk("acme/llm/d1"), "absent")->exists);
  EXPECT_FALSE(fs_.lookup(root, "d9")->exists);
  EXPECT_EQ(fs_.xattr(fs_.walk("acme/llm/d2"), "user.hubvfs.commit"), commit_);
  EXPECT_EQ(hub_->counts().tree, 5u) << "what is in d2 was not looked for";
  EXPECT_EQ(fs_.list(fs_.walk("acme/llm/d2")).size(), 5u + 1u + 2u);
  EXPECT_EQ(hub_->counts().tree, 6u);
}

TEST_F(DirectoryListingsTest, TheTreeIsTheSameAsListedAtOnce) {
  std::set<std::string> files;
  std::set<std::uint64_t> nodes;
  for (const auto& [path, node] : all_nodes()) {
    nodes.insert(node);
    if (files_.contains(path)) files.insert(path);
    EXPECT_EQ(fs_.walk("acme/llm/" + path).raw(), node) << path;
  }
  EXPECT_EQ(files, file_paths());
  EXPECT_EQ(nodes.size(), files_.size() + 4u * 3u) << "each its own";
  for (const auto& [path, file] : files_) {
    const NodeId node = fs_.walk("acme/llm/" + path);
    ASSERT_TRUE(fs_.open(node)) << path;
    EXPECT_EQ(*fs_.read(node, 0, 100), file.content) << path;
  }
}

TEST_F(DirectoryListingsTest, NodesStayOverARestartOfflineAndCostNoRequest) {
  const auto nodes = all_nodes();
  const auto counts = hub_->counts();
  restart();
  hub_->set_offline(true);
  EXPECT_EQ(all_nodes(), nodes);
  EXPECT_EQ(hub_->counts().metadata(), counts.metadata());
  // A worker that was killed is asked for nodes of which it has heard nothing.
  restart();
  NodeId sub;
  for (const auto& [path, node] : nodes) {
    if (path == "d3/sub") sub = NodeId::from_raw(node);
  }
  ASSERT_TRUE(fs_.getattr(sub));
  EXPECT_EQ(fs_.lookup(sub, "deep")->attributes.node.raw(), nodes.at("d3/sub/deep"));
  restart();
  EXPECT_EQ(fs_.getattr(NodeId::from_raw(nodes.at("d3/sub/deep/x.txt")))->attributes.size,
            std::string("deep in d3").size());
}

TEST_F(DirectoryListingsTest, WhatWasNotListedIsAnErrorOfflineAndNotAbsent) {
  const NodeId listed = fs_.walk("acme/llm/d0/f1");
  const NodeId other = fs_.walk("acme/llm/d1");
  hub_->set_offline(true);
  restart();
  EXPECT_EQ(fs_.walk("acme/llm/d0/f1"), listed);
  const auto within = fs_.lookup(other, "f1");
  ASSERT_FALSE(within);
  EXPECT_EQ(within.error().code, ErrorCode::kOffline);
  EXPECT_EQ(fs_.opendir(other).error().code, ErrorCode::kOffline);
  hub_->set_offline(false);
  EXPECT_TRUE(fs_.lookup(other, "f1")->exists);
}

TEST_F(DirectoryListingsTest, LostListingsAreAskedAgainAndHaveTheSameNumbers) {
  const auto nodes = all_nodes();
  std::vector<std::string> listings;
  ASSERT_TRUE(meta_.for_each("public", "", [&](std::string_view text, ByteView) {
    const auto key = MetadataKey::parse(text);
    if (key && key->kind == "tree") listings.emplace_back(text);
  }));
  EXPECT_EQ(listings.size(), 1u + 4u * 3u);
  for (const std::string& key : listings) ASSERT_TRUE(meta_.erase("public", key));
  restart();
  // In another order than before.
  EXPECT_EQ(fs_.lookup(NodeId::from_raw(nodes.at("d2/sub/deep")), "x.txt")->attributes.node.raw(),
            nodes.at("d2/sub/deep/x.txt"));
  EXPECT_EQ(all_nodes(), nodes);
}

TEST_F(DirectoryListingsTest, EachPlaceOfACommitHasNodesOfItsOwnAndOneListing) {
  const auto branch = all_nodes();
  const auto asked = hub_->counts().tree;
  const auto pinned = all_nodes("acme/llm@" + commit_);
  EXPECT_EQ(hub_->counts().tree, asked);
  ASSERT_EQ(pinned.size(), branch.size());
  for (const auto& [path, node] : pinned) EXPECT_NE(branch.at(path), node) << path;
}

TEST_F(DirectoryListingsTest, HuggingfaceHubsViewIsListedSoToo) {
  const std::string folder = ".hf-cache/models--acme--llm/snapshots/" + commit_;
  const NodeId node = fs_.walk(folder + "/d1/sub/deep/x.txt");
  ASSERT_TRUE(fs_.open(node));
  EXPECT_EQ(*fs_.read(node, 0, 100), "deep in d1");
  EXPECT_EQ(hub_->counts().tree, 5u);
  EXPECT_EQ(all_nodes(folder).size(), files_.size() + 4u * 3u);
}

TEST_F(DirectoryListingsTest, SoManyEntriesAreListedAtOnceAndOneMoreIsNot) {
  const hub::RepoId small{hub::RepoType::kModel, "acme/small"};
  FakeHubClient::Files files;
  for (std::size_t i = 0; i < kMost - 1; ++i) files["d/f" + std::to_string(i)] = {"1", false};
  hub_->commit(small, files);
  fs_.walk("acme/small/d/f3");
  EXPECT_EQ(hub_->counts().tree, 1u) << "nine files and their directory";
  files["one more"] = {"1", false};
  const std::string larger = hub_->commit(small, files);
  fs_.walk("acme/small@" + larger + "/d/f3");
  EXPECT_EQ(hub_->counts().tree, 1u + 3u);
}

TEST_F(DirectoryListingsTest, WhoeverAsksMeanwhileGetsTheSameAnswer) {
  const NodeId d1 = fs_.walk("acme/llm/d1");
  const auto asked = hub_->counts().tree;
  hub_->hold_metadata(true);
  std::vector<Answer<Entry>> answers(5);
  for (auto& answer : answers) fs_->lookup(d1, "f1", answer.callback());
  hub_->hold_metadata(false);
  for (auto& answer : answers) EXPECT_TRUE(answer.get()->exists);
  EXPECT_EQ(hub_->counts().tree, asked + 1);
}

TEST_F(DirectoryListingsTest, AFailedListingIsAnErrorAndAskedAgain) {
  const NodeId d1 = fs_.walk("acme/llm/d1");
  hub_->fail_metadata(1, {ErrorCode::kUnavailable, "down"});
  EXPECT_EQ(fs_.opendir(d1).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(fs_.lookup(d1, "f1")->exists);
  hub_->fail_metadata(1, {ErrorCode::kUnavailable, "down"});
  EXPECT_FALSE(fs_.opendir(fs_.walk("acme/llm/d2")));
}

TEST_F(DirectoryListingsTest, TheWholeIsAskedForAtOnceAndThenEveryDirectoryIsKnown) {
  const NodeId before = fs_.walk("acme/llm/d1/f3");
  const auto asked = hub_->counts().tree;
  const auto whole = whole_listing();
  ASSERT_TRUE(whole) << whole.error().context;
  EXPECT_EQ(hub_->counts().tree, asked + 1) << "however many directories";
  EXPECT_FALSE((*whole)->is_one_directory());
  for (const std::string& path : file_paths()) EXPECT_TRUE((*whole)->find(path)) << path;
  restart();
  hub_->set_offline(true);
  EXPECT_EQ(fs_.walk("acme/llm/d1/f3"), before);
  EXPECT_EQ(all_nodes().size(), files_.size() + 4u * 3u);
  const auto again = whole_listing();
  ASSERT_TRUE(again) << again.error().context;
  EXPECT_EQ((*again)->encode(), (*whole)->encode());
}

TEST_F(DirectoryListingsTest, WhatIsLearntElsewhereIsNumberedAsTheHubsListing) {
  const auto nodes = all_nodes();
  Answer<SnapshotPtr> got;
  const PlacedPtr placed = catalog()->known(*Place::parse("acme", "llm"));
  catalog()->whole_listing(placed, got.callback());
  const SnapshotPtr whole = *got.get();
  stop();
  cache::MemoryMetaStore fresh;
  hub_->set_offline(true);
  backend_ = *Backend::create(options_, {*hub_, *hub_}, store_, fresh, log_, clock_);
  fs_ = SyncMount(*backend_->mount(mount_, notifier_));
  const Place place = *Place::parse("acme", "llm");
  ASSERT_TRUE(catalog()->learn(place, placed->info, *whole, Catalog::Listing::kWhole));
  EXPECT_EQ(catalog()->stored_whole(catalog()->known(place))->encode(), whole->encode());
  const auto learnt = all_nodes();
  ASSERT_EQ(learnt.size(), nodes.size());
  for (const auto& [path, raw] : nodes) {  // the numbers: serials go by who came first
    EXPECT_EQ(NodeId::from_raw(learnt.at(path)).entry, NodeId::from_raw(raw).entry) << path;
  }
  stop();
  start();
}

TEST_F(DirectoryListingsTest, LearningTheWholeCompletesWhatWasListedInPart) {
  const NodeId before = fs_.walk("acme/llm/d1/f3");
  const PlacedPtr placed = catalog()->known(*Place::parse("acme", "llm"));
  EXPECT_EQ(catalog()->stored_whole(placed), nullptr);
  std::vector<hub::TreeEntry> entries;
  for (const auto& [path, file] : files_) {
    entries.push_back({hub::TreeEntry::Kind::kFile, path, file.content.size(), file.lfs,
                       content_id_of(file.content, file.lfs)});
  }
  hub_->set_offline(true);
  ASSERT_TRUE(catalog()->learn(placed->place, placed->info, Snapshot::build(entries),
                               Catalog::Listing::kWhole));
  ASSERT_NE(catalog()->stored_whole(placed), nullptr);
  EXPECT_EQ(fs_.walk("acme/llm/d1/f3"), before);
  EXPECT_EQ(all_nodes().size(), files_.size() + 4u * 3u);
}

TEST_F(DirectoryListingsTest, AMaskedDirectoryIsAskedAgainByItselfAtAnOpen) {
  hub_->set_gate(repo_, hub::Gate::kManual, false);
  const NodeId masked = fs_.walk("acme/llm/d1/f2");
  EXPECT_EQ(fs_.open(masked).error().code, ErrorCode::kGated);
  hub_->set_gate(repo_, hub::Gate::kManual, true);
  clock_.advance(std::chrono::seconds(11));
  const auto asked = hub_->counts().tree;
  ASSERT_TRUE(fs_.open(masked));
  EXPECT_EQ(*fs_.read(masked, 0, 100), "d12");
  EXPECT_EQ(hub_->counts().tree, asked + 1);
}

TEST_F(DirectoryListingsTest, HiddenNamesAreCountedWhereTheyAre) {
  files_["d1/" + std::string(256, 'x')] = {"1", false};
  const std::string commit = hub_->commit(repo_, files_);
  EXPECT_EQ(fs_.xattr(fs_.walk("acme/llm@" + commit), "user.hubvfs.hidden"), "0");
  EXPECT_EQ(fs_.xattr(fs_.walk("acme/llm@" + commit + "/d1"), "user.hubvfs.hidden"), "1");
  EXPECT_EQ(fs_.list(fs_.walk("acme/llm@" + commit + "/d1")).size(), 5u + 1u + 2u);
}

TEST_F(DirectoryListingsTest, KernelsAreToldOfAFileByItsOwnNode) {
  const NodeId file = fs_.walk("acme/llm/d1/f1");
  const NodeId folder = fs_.walk("acme/llm/d1");
  ASSERT_TRUE(fs_.open(file));  // its content begins to come
  EXPECT_TRUE(was_told(folder, "f1"));
  const NodeId other = fs_.walk("acme/llm/d2/sub/deep/x.txt");
  const PlacedPtr placed = catalog()->known(*Place::parse("acme", "llm"));
  catalog()->note_content_changed(placed, "d2/sub/deep/x.txt");
  EXPECT_TRUE(was_told(fs_.walk("acme/llm/d2/sub/deep"), "x.txt"));
  const auto asked = hub_->counts().tree;
  catalog()->note_content_changed(placed, "d3/sub/deep/x.txt");  // no kernel has seen it
  catalog()->note_content_changed(placed, "d2/none/x.txt");
  EXPECT_EQ(hub_->counts().tree, asked);
  EXPECT_NE(other, file);
}

TEST_F(DirectoryListingsTest, AFolderOfItIsAMount) {
  stop();
  mount_.repo = *RepoScope::parse("hf://acme/llm/d1/sub");
  start();
  ASSERT_FALSE(fs_.check_root());
  EXPECT_EQ(hub_->counts().tree, 1u + 3u);
  EXPECT_EQ(fs_.list(kRoot, 1).size(), 3u);
  EXPECT_EQ(fs_.lookup(kRoot, "deep")->entry_timeout, options_.metadata_ttl);
  const NodeId file = fs_.walk("deep/x.txt");
  ASSERT_TRUE(fs_.open(file));
  EXPECT_EQ(*fs_.read(file, 0, 100), "deep in d1");
  EXPECT_TRUE(was_told(fs_.walk("deep"), "x.txt"));
  files_["d1/sub/new"] = {"1", false};
  hub_->commit(repo_, files_);
  clock_.advance(std::chrono::minutes(20));
  ASSERT_TRUE(fs_.getattr(kRoot));
  Answer<hub::RepoInfo> after;  // the fake answers in order
  hub_->repo_info(repo_, "", TimePoint::max(), after.callback());
  ASSERT_TRUE(after.get());
  EXPECT_TRUE(fs_.lookup(kRoot, "new")->exists);
  EXPECT_TRUE(was_told(kRoot, "deep"));
  stop();
  mount_.repo = *RepoScope::parse("hf://acme/llm/d1/none");
  start();
  EXPECT_EQ(fs_.check_root()->code, ErrorCode::kNotFound);
  stop();
  mount_.repo = *RepoScope::parse("hf://acme/llm/d1/f1");
  start();
  EXPECT_EQ(fs_.check_root()->code, ErrorCode::kNotDirectory);
}

}  // namespace
}  // namespace hubvfs::fs
