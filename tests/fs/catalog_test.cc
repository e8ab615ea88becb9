// SPDX-License-Identifier: Apache-2.0
#include "fs/catalog.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cache/memory_cache.h"
#include "fs/node_id.h"
#include "tests/fs/waiting.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::fs {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class RecordingListener final : public PlaceListener {
 public:
  void place_changed(hub::RepoType /*type*/, const Place& place, const PlacedPtr& before) override {
    MutexLock lock(mutex_);
    all_.emplace_back(place.text(), before);
  }
  void content_changed(hub::RepoType /*type*/, std::uint32_t /*serial*/,
                       std::uint32_t /*entry*/) override {}
  std::vector<std::pair<std::string, PlacedPtr>> all() const {
    MutexLock lock(mutex_);
    return all_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::pair<std::string, PlacedPtr>> all_ GUARDED_BY(mutex_);
};

class CatalogTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.own = "u1000";
    first_ = hub_->commit(repo_, {{"config.json", {"{}", false}}, {"dir/a", {"1", false}}});
    start();
  }
  void TearDown() override { stop(); }
  void start() {
    options_.endpoint = "http://hub";
    catalog_ = *Catalog::create(options_, *hub_, meta_, log_, failures_, clock_);
    catalog_->add_listener(changes_);
  }
  void stop() {
    catalog_->close();
    hub_->set_offline(false);
    hub_->hold_metadata(false);
  }
  Result<Catalog::Resolved> resolve(const std::string& name) {
    Answer<Catalog::Resolved> answer;
    catalog_->resolve(*Place::parse("acme", name), answer.callback());
    return answer.get();
  }
  Result<SnapshotPtr> snapshot(const PlacedPtr& placed) {
    Answer<SnapshotPtr> answer;
    catalog_->snapshot(placed, false, answer.callback());
    return answer.get();
  }
  void let_checks_end() {
    // The fake answers in order: once this is answered, so is what was asked before.
    Answer<hub::RepoInfo> after;
    hub_->repo_info(repo_, "", TimePoint::max(), after.callback());
    ASSERT_TRUE(after.get());
  }

  const hub::RepoId repo_{hub::RepoType::kModel, "acme/llm"};
  std::string first_;
  CatalogOptions options_;
  ManualClock clock_;
  ListLogger log_;
  std::shared_ptr<FailureLog> failures_ = std::make_shared<FailureLog>(log_, clock_);
  std::shared_ptr<RecordingListener> changes_ = std::make_shared<RecordingListener>();
  cache::MemoryMetaStore meta_;
  std::shared_ptr<Catalog> catalog_;
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
};

TEST_F(CatalogTest, ARepoIsAskedForOnceAndKeptOverARestartWithTheHubGone) {
  const auto placed = resolve("llm");
  ASSERT_TRUE(placed);
  ASSERT_TRUE(snapshot(placed->placed));
  const std::uint32_t serial = placed->placed->serial;
  EXPECT_EQ(hub_->counts().metadata(), 2u);
  stop();
  hub_->set_offline(true);
  start();
  const auto again = resolve("llm");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->placed->serial, serial);
  EXPECT_EQ(again->placed->info.commit, first_);
  ASSERT_TRUE(snapshot(again->placed));
  EXPECT_EQ(hub_->counts().metadata(), 2u);
}

TEST_F(CatalogTest, ARefreshKnowsTheNewestCommitAndAnIdlePlaceShowsIt) {
  const auto refresh = [this](const std::string& name) {
    Answer<Catalog::Resolved> answer;
    catalog_->refresh(*Place::parse("acme", name), answer.callback());
    return answer.get();
  };
  EXPECT_EQ(refresh("llm")->placed->info.commit, first_);
  EXPECT_EQ(hub_->counts().info, 1u);
  const std::string second = hub_->commit(repo_, {{"config.json", {"{2}", false}}});
  EXPECT_EQ(refresh("llm")->placed->info.commit, second);
  EXPECT_EQ(resolve("llm")->placed->info.commit, second);
  // A place in use goes on showing what it shows, and comes to the same serial later.
  catalog_->note_open(*resolve("llm")->placed);
  const std::string third = hub_->commit(repo_, {{"config.json", {"{3}", false}}});
  const auto newest = refresh("llm")->placed;
  EXPECT_EQ(newest->info.commit, third);
  EXPECT_EQ(resolve("llm")->placed->info.commit, second);
  clock_.advance(seconds(61));
  EXPECT_EQ(resolve("llm")->placed->serial, newest->serial);
  // Known is served where the Hub is not to be had, but not what it says is gone.
  hub_->set_offline(true);
  EXPECT_EQ(refresh("llm")->placed->info.commit, third);
  hub_->set_offline(false);
  hub_->set_visible(repo_, false);
  EXPECT_EQ(refresh("llm").error().code, ErrorCode::kNotFound);
  hub_->set_visible(repo_, true);
  EXPECT_EQ(refresh("llm")->placed->info.commit, third) << "a refusal is not remembered";
  hub_->rename(repo_, "acme/llm-2");
  EXPECT_EQ(refresh("llm")->renamed, "acme/llm-2");
}

TEST_F(CatalogTest, ACommitThatABranchShowedIsThereByItsName) {
  const auto branch = resolve("llm")->placed;
  ASSERT_TRUE(snapshot(branch));
  hub_->set_offline(true);
  const auto pinned = resolve("llm@" + first_);
  ASSERT_TRUE(pinned) << pinned.error().context;
  EXPECT_EQ(pinned->placed->info.commit, first_);
  EXPECT_NE(pinned->placed->serial, branch->serial) << "another path is another node";
  EXPECT_TRUE(snapshot(pinned->placed));
  EXPECT_FALSE(resolve("llm@" + std::string(40, 'a')));
  EXPECT_FALSE(resolve("other@" + first_));
}

TEST_F(CatalogTest, WhatWasLearntElsewhereIsShownUntilTheHubKnowsBetter) {
  const Snapshot listing =
      Snapshot::build({{hub::TreeEntry::Kind::kFile, "x", 3, false, content_id_of("abc", false)}});
  hub::RepoInfo info;
  info.id = repo_;
  info.commit = std::string(40, 'a');
  info.last_modified = 1000;
  const Place place = *Place::parse("acme", "llm");
  hub_->set_offline(true);
  ASSERT_TRUE(catalog_->learn(place, info, listing, Catalog::Listing::kWhole));
  EXPECT_EQ(resolve("llm")->placed->info.commit, info.commit);
  EXPECT_EQ(resolve("llm@" + info.commit)->placed->info.commit, info.commit);
  EXPECT_TRUE((*snapshot(resolve("llm")->placed))->find("x"));
  // A newer one takes its place, an older one does not.
  hub::RepoInfo newer = info;
  newer.commit = std::string(40, 'b');
  newer.last_modified = 2000;
  ASSERT_TRUE(catalog_->learn(place, newer, listing, Catalog::Listing::kWhole));
  EXPECT_EQ(resolve("llm")->placed->info.commit, newer.commit);
  ASSERT_TRUE(catalog_->learn(place, info, listing, Catalog::Listing::kWhole));
  EXPECT_EQ(resolve("llm")->placed->info.commit, newer.commit);
  // All of it is there after a restart.
  stop();
  hub_->set_offline(true);
  start();
  EXPECT_EQ(resolve("llm")->placed->info.commit, newer.commit);
  EXPECT_TRUE(snapshot(resolve("llm")->placed));
  hub_->set_offline(false);
  clock_.advance(minutes(6));
  ASSERT_TRUE(resolve("llm"));
  let_checks_end();
  EXPECT_EQ(resolve("llm")->placed->info.commit, first_);
}

TEST_F(CatalogTest, APartOfAListingIsShownOnlyUntilTheHubAnswers) {
  hub::RepoInfo info;
  info.id = repo_;
  info.commit = first_;
  info.is_private = true;
  const Snapshot part = Snapshot::build(
      {{hub::TreeEntry::Kind::kFile, "dir/a", 1, false, content_id_of("1", false)}});
  hub_->set_offline(true);
  for (const std::string& name : {std::string("llm"), "llm@" + first_}) {
    ASSERT_TRUE(
        catalog_->learn(*Place::parse("acme", name), info, part, Catalog::Listing::kPartial));
  }
  const auto shown = resolve("llm")->placed;
  EXPECT_TRUE(shown->partial);
  EXPECT_TRUE((*snapshot(shown))->find("dir/a"));
  EXPECT_FALSE((*snapshot(shown))->find("config.json"));
  stop();
  start();
  EXPECT_TRUE(resolve("llm")->placed->partial) << "in the next life, too, until it is asked";
  for (const std::string& name : {std::string("llm"), "llm@" + first_}) {
    ASSERT_TRUE(resolve(name));
    let_checks_end();
    const auto whole = resolve(name)->placed;
    EXPECT_FALSE(whole->partial) << name;
    EXPECT_EQ(whole->info.commit, first_);
    EXPECT_NE(whole->serial, shown->serial) << "its files are numbered otherwise";
    EXPECT_TRUE((*snapshot(whole))->find("config.json"));
    EXPECT_TRUE((*snapshot(whole))->find("dir/a"));
  }
  EXPECT_FALSE((*snapshot(shown))->find("config.json")) << "whoever is in the old one stays there";
}

TEST_F(CatalogTest, ManyWhoAskAtOnceCauseOneRequest) {
  hub_->hold_metadata(true);
  std::vector<Answer<Catalog::Resolved>> answers(20);
  for (auto& answer : answers) {
    catalog_->resolve(*Place::parse("acme", "llm"), answer.callback());
  }
  hub_->hold_metadata(false);
  for (auto& answer : answers) EXPECT_TRUE(answer.get());
  EXPECT_EQ(hub_->counts().info, 1u);
}

TEST_F(CatalogTest, AbsentReposAreRememberedForTheTtl) {
  EXPECT_EQ(resolve("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(resolve("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(hub_->counts().info, 1u);
  EXPECT_GT(catalog_->absent_for("acme/nothing"), Duration::zero());
  clock_.advance(minutes(6));
  EXPECT_EQ(resolve("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(hub_->counts().info, 2u);
}

TEST_F(CatalogTest, AMovedBranchShowsTheNewCommitToNewWalks) {
  const auto before = resolve("llm")->placed;
  const std::string second = hub_->commit(repo_, {{"config.json", {"{2}", false}}});
  clock_.advance(minutes(6));
  EXPECT_EQ(resolve("llm")->placed->info.commit, first_) << "answered from what is known";
  let_checks_end();
  const auto after = resolve("llm")->placed;
  EXPECT_EQ(after->info.commit, second);
  EXPECT_NE(after->serial, before->serial);
  EXPECT_EQ(catalog_->placed(before->serial)->info.commit, first_) << "the old one stays";
  ASSERT_EQ(changes_->all().size(), 1u);
  EXPECT_EQ(changes_->all()[0].first, "acme/llm");
  EXPECT_EQ(changes_->all()[0].second->serial, before->serial);
}

TEST_F(CatalogTest, ALoaderThatOpensFilesStaysOnItsCommitForFifteenMinutesAtMost) {
  const auto before = resolve("llm")->placed;
  const std::string second = hub_->commit(repo_, {{"config.json", {"{2}", false}}});
  clock_.advance(minutes(6));
  catalog_->note_open(*before);
  ASSERT_TRUE(resolve("llm"));
  let_checks_end();
  for (int passed = 0; passed < 14 * 60; passed += 30) {
    EXPECT_EQ(resolve("llm")->placed->info.commit, first_) << passed;
    catalog_->note_open(*before);
    clock_.advance(seconds(30));
  }
  clock_.advance(seconds(59));
  catalog_->note_open(*before);
  clock_.advance(seconds(2));
  EXPECT_EQ(resolve("llm")->placed->info.commit, second);
}

TEST_F(CatalogTest, APinnedCommitIsNeverCheckedAgain) {
  ASSERT_TRUE(resolve("llm@" + first_));
  const auto asked = hub_->counts().info;
  clock_.advance(std::chrono::hours(1000));
  ASSERT_TRUE(resolve("llm@" + first_));
  let_checks_end();
  EXPECT_EQ(hub_->counts().info, asked + 1) << "only the one of the test itself";
}

TEST_F(CatalogTest, StaleBeforeErrorWhenTheHubFails) {
  ASSERT_TRUE(resolve("llm"));
  clock_.advance(minutes(6));
  hub_->fail_metadata(1, {ErrorCode::kUnavailable, "down"});
  EXPECT_TRUE(resolve("llm"));
  let_checks_end();
  EXPECT_TRUE(resolve("llm"));
}

TEST_F(CatalogTest, ARepoThatIsGoneIsNoLongerFound) {
  ASSERT_TRUE(resolve("llm"));
  clock_.advance(minutes(6));
  hub_->set_visible(repo_, false);
  ASSERT_TRUE(resolve("llm"));
  Answer<hub::RepoInfo> after;
  hub_->repo_info(repo_, "", TimePoint::max(), after.callback());
  EXPECT_FALSE(after.get());
  EXPECT_EQ(resolve("llm").error().code, ErrorCode::kNotFound);
}

TEST_F(CatalogTest, PrivateReposHaveTheUsersNamespaceAndPublicOnesTheSharedOne) {
  EXPECT_EQ(resolve("llm")->placed->space, "public");
  const hub::RepoId secret{hub::RepoType::kModel, "acme/secret"};
  hub_->commit(secret, {{"a", {"1", false}}});
  hub_->set_private(secret, true);
  EXPECT_EQ(resolve("secret")->placed->space, "u1000");
}

TEST_F(CatalogTest, ASharedMountShowsNeitherPrivateNorGatedRepos) {
  stop();
  options_.own = "public";
  start();
  const hub::RepoId secret{hub::RepoType::kModel, "acme/secret"};
  hub_->commit(secret, {{"a", {"1", false}}});
  hub_->set_private(secret, true);
  EXPECT_EQ(resolve("secret").error().code, ErrorCode::kPermissionDenied);
  const hub::RepoId gated{hub::RepoType::kModel, "acme/gated"};
  hub_->commit(gated, {{"a", {"1", false}}});
  hub_->set_gate(gated, hub::Gate::kAuto, true);
  EXPECT_EQ(resolve("gated").error().code, ErrorCode::kGated);
  const auto asked = hub_->counts().info;
  EXPECT_EQ(resolve("secret").error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(resolve("gated").error().code, ErrorCode::kGated);
  EXPECT_EQ(hub_->counts().info, asked) << "remembered";
  EXPECT_EQ(catalog_->absent_for("acme/gated"), Duration::zero()) << "it is not absent";
}

TEST_F(CatalogTest, ARepoThatIsGatedLaterLeavesASharedMount) {
  stop();
  options_.own = "public";
  start();
  const auto before = resolve("llm")->placed;
  hub_->set_gate(repo_, hub::Gate::kAuto, true);
  clock_.advance(minutes(6));
  ASSERT_TRUE(resolve("llm")) << "answered from what is known";
  let_checks_end();
  EXPECT_EQ(resolve("llm").error().code, ErrorCode::kGated);
  ASSERT_EQ(changes_->all().size(), 1u);
  EXPECT_EQ(changes_->all()[0].second->serial, before->serial);
  stop();
  start();
  EXPECT_EQ(resolve("llm").error().code, ErrorCode::kGated) << "a restart does not bring it back";
}

TEST_F(CatalogTest, AListenerThatIsGoneIsNotTold) {
  ASSERT_TRUE(resolve("llm"));
  auto other = std::make_shared<RecordingListener>();
  catalog_->add_listener(other);
  changes_.reset();
  hub_->commit(repo_, {{"config.json", {"{2}", false}}});
  clock_.advance(minutes(6));
  ASSERT_TRUE(resolve("llm"));
  let_checks_end();
  EXPECT_EQ(other->all().size(), 1u);
}

TEST_F(CatalogTest, AForgottenRefusalIsAskedAgain) {
  EXPECT_EQ(resolve("late").error().code, ErrorCode::kNotFound);
  hub_->commit({hub::RepoType::kModel, "acme/late"}, {{"a", {"1", false}}});
  EXPECT_EQ(resolve("late").error().code, ErrorCode::kNotFound);
  catalog_->forget_refusal(*Place::parse("acme", "late"));
  EXPECT_TRUE(resolve("late"));
}

TEST_F(CatalogTest, StoredSnapshotsCauseNoQuestion) {
  const auto placed = resolve("llm")->placed;
  EXPECT_EQ(catalog_->stored_snapshot(placed), nullptr) << "never listed";
  ASSERT_TRUE(snapshot(placed));
  stop();
  hub_->set_offline(true);
  start();
  EXPECT_NE(catalog_->stored_snapshot(placed), nullptr);
  EXPECT_EQ(hub_->counts().tree, 1u);
}

TEST_F(CatalogTest, ARenamedIdTellsItsNewOne) {
  const hub::RepoId old{hub::RepoType::kModel, "acme/old"};
  hub_->commit(old, {{"a", {"1", false}}});
  hub_->rename(old, "acme/new");
  const auto got = resolve("old");
  ASSERT_TRUE(got);
  EXPECT_FALSE(got->placed);
  EXPECT_EQ(got->renamed, "acme/new");
}

TEST_F(CatalogTest, TheSameCommitAtTwoPlacesHasTwoSerials) {
  const auto plain = resolve("llm")->placed;
  const auto pinned = resolve("llm@" + first_)->placed;
  EXPECT_NE(plain->serial, pinned->serial);
  EXPECT_EQ(plain->info.commit, pinned->info.commit);
}

TEST_F(CatalogTest, ADamagedListingIsAskedAgain) {
  const auto placed = resolve("llm")->placed;
  ASSERT_TRUE(snapshot(placed));
  stop();
  std::string tree_key;
  ASSERT_TRUE(meta_.for_each("public", "", [&](std::string_view key, ByteView) {
    if (key.find(first_) != std::string_view::npos) tree_key = key;
  }));
  ASSERT_FALSE(tree_key.empty());
  ASSERT_TRUE(meta_.put("public", tree_key, as_bytes("noise")));
  start();
  EXPECT_TRUE(snapshot(resolve("llm")->placed));
  EXPECT_EQ(hub_->counts().tree, 2u);
}

TEST_F(CatalogTest, MaskedListingsAreAskedAgainAfterTenSeconds) {
  const hub::RepoId gated{hub::RepoType::kModel, "acme/gated"};
  hub_->commit(gated, {{"model.bin", {"weights", true}}});
  hub_->set_gate(gated, hub::Gate::kManual, false);
  const auto placed = resolve("gated")->placed;
  ASSERT_TRUE((*snapshot(placed))->masked());
  hub_->set_gate(gated, hub::Gate::kManual, true);
  const auto ask = [&] {
    Answer<SnapshotPtr> answer;
    catalog_->snapshot(placed, true, answer.callback());
    return *answer.get();
  };
  EXPECT_TRUE(ask()->masked()) << "not again so soon";
  clock_.advance(seconds(11));
  EXPECT_FALSE(ask()->masked());
}

TEST_F(CatalogTest, DenialsAreRememberedForTenSeconds) {
  hub_->fail_metadata(2, {ErrorCode::kPermissionDenied, "403"});
  EXPECT_EQ(resolve("llm").error().code, ErrorCode::kPermissionDenied);
  clock_.advance(seconds(9));
  EXPECT_EQ(resolve("llm").error().code, ErrorCode::kPermissionDenied);
  clock_.advance(seconds(2));
  EXPECT_EQ(resolve("llm").error().code, ErrorCode::kPermissionDenied);
  clock_.advance(seconds(11));
  EXPECT_TRUE(resolve("llm")) << "both failures of the Hub are used up";
}

TEST_F(CatalogTest, AnotherTokenForgetsWhatWasDeniedAndTellsTheKernels) {
  hub_->set_visible(repo_, false);
  EXPECT_EQ(resolve("llm").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(resolve("llm@dev").error().code, ErrorCode::kNotFound);
  hub_->set_visible(repo_, true);
  EXPECT_EQ(resolve("llm").error().code, ErrorCode::kNotFound) << "remembered";
  catalog_->forget_denials();
  EXPECT_TRUE(resolve("llm"));
  std::map<std::string, PlacedPtr> told;
  for (const auto& [place, before] : changes_->all()) told[place] = before;
  EXPECT_EQ(told,
            (std::map<std::string, PlacedPtr>{{"acme/llm", nullptr}, {"acme/llm@dev", nullptr}}));
}

TEST_F(CatalogTest, ADenialOfTheOldTokenIsNotRememberedForTheNew) {
  hub_->set_visible(repo_, false);
  hub_->hold_metadata(true);
  Answer<Catalog::Resolved> old;
  catalog_->resolve(*Place::parse("acme", "llm"), old.callback());
  catalog_->forget_denials();
  hub_->hold_metadata(false);
  EXPECT_EQ(old.get().error().code, ErrorCode::kNotFound);
  EXPECT_EQ(catalog_->absent_for("acme/llm"), Duration::zero());
  hub_->set_visible(repo_, true);
  EXPECT_TRUE(resolve("llm"));
}

TEST_F(CatalogTest, AMaskedListingIsAskedAgainAtOnceWithAnotherTokenAndAfterARestart) {
  const hub::RepoId gated{hub::RepoType::kModel, "acme/gated"};
  hub_->commit(gated, {{"model.bin", {"weights", true}}});
  hub_->set_gate(gated, hub::Gate::kManual, false);
  const auto ask = [&] {
    Answer<SnapshotPtr> answer;
    catalog_->snapshot(resolve("gated")->placed, true, answer.callback());
    return *answer.get();
  };
  EXPECT_TRUE(ask()->masked());
  stop();
  start();
  hub_->set_gate(gated, hub::Gate::kManual, true);
  EXPECT_FALSE(ask()->masked()) << "nobody knows how old the stored one is";
  hub_->set_gate(gated, hub::Gate::kManual, false);
  const std::string again = hub_->commit(gated, {{"model.bin", {"weights", true}}});
  const auto pinned = [&] {
    Answer<SnapshotPtr> answer;
    catalog_->snapshot(resolve("gated@" + again)->placed, true, answer.callback());
    return *answer.get();
  };
  EXPECT_TRUE(pinned()->masked());
  hub_->set_gate(gated, hub::Gate::kManual, true);
  EXPECT_TRUE(pinned()->masked());
  catalog_->forget_denials();
  EXPECT_FALSE(pinned()->masked());
}

TEST_F(CatalogTest, AnOwnerIsListedAgainWithAnotherToken) {
  Answer<NameTable::Name> found;
  catalog_->find_root_name("acme", found.callback());
  const NameTable::Name owner = *found.get();
  const auto names = [&] {
    Answer<bool> listed;
    catalog_->list_owner(owner, listed.callback());
    EXPECT_TRUE(listed.get());
    std::set<std::string> all;
    for (const auto& name : catalog_->names().children(owner.number, 0, 99)) all.insert(name.name);
    return all;
  };
  EXPECT_EQ(names(), std::set<std::string>{"llm"});
  hub_->commit({hub::RepoType::kModel, "acme/secret"}, {{"a", {"1", false}}});
  EXPECT_EQ(names(), std::set<std::string>{"llm"}) << "listed a moment ago";
  clock_.advance(seconds(2));
  catalog_->forget_denials();
  EXPECT_EQ(names(), (std::set<std::string>{"llm", "secret"}));
  clock_.advance(seconds(2));
  catalog_->forget_denials();
  hub_->fail_metadata(1, {ErrorCode::kUnavailable, "the Hub is down"});
  EXPECT_EQ(names(), (std::set<std::string>{"llm", "secret"})) << "stale before error";
  EXPECT_NE(log_.text().find("what is known of acme is shown: the Hub is down"), std::string::npos)
      << log_.text();
}

TEST_F(CatalogTest, WhoLooksForAThingDoesNotWaitWithTheCrawlThatAskedForIt) {
  hub_->hold_crawls(true);
  Answer<Catalog::Resolved> crawler;
  catalog_->resolve(*Place::parse("acme", "llm"), crawler.callback(), Purpose::kCrawl);
  Answer<Catalog::Resolved> another;
  catalog_->resolve(*Place::parse("acme", "llm"), another.callback(), Purpose::kCrawl);
  hub_->commit({hub::RepoType::kModel, "acme/other"}, {{"a", {"1", false}}});
  EXPECT_TRUE(resolve("other"));
  EXPECT_FALSE(crawler.has_come() || another.has_come());
  EXPECT_EQ(hub_->counts().crawls, 1u);
  const auto reader = resolve("llm");
  ASSERT_TRUE(reader);
  EXPECT_EQ(crawler.get()->placed, reader->placed);
  EXPECT_EQ(another.get()->placed, reader->placed);
  EXPECT_EQ(hub_->counts().info, 2u) << "one for each repo";

  Answer<SnapshotPtr> crawled;
  catalog_->snapshot(reader->placed, false, crawled.callback(), Purpose::kCrawl);
  EXPECT_TRUE(resolve("llm"));
  EXPECT_FALSE(crawled.has_come());
  EXPECT_TRUE(snapshot(reader->placed));
  EXPECT_TRUE(crawled.get());
  EXPECT_EQ(hub_->counts().tree, 1u);
  EXPECT_EQ(hub_->counts().crawls, 2u);
}

TEST_F(CatalogTest, ListsOfReposAreACrawlsButForTheRoots) {
  Answer<bool> root;
  catalog_->list_root(root.callback());
  ASSERT_TRUE(root.get());
  EXPECT_EQ(hub_->counts().crawls, 0u);
  hub_->set_page_size(1);
  hub_->commit({hub::RepoType::kModel, "acme/other"}, {{"a", {"1", false}}});
  Answer<bool> repos;
  catalog_->list_owner(*catalog_->names().find(kRootEntry, "acme"), repos.callback());
  ASSERT_TRUE(repos.get());
  EXPECT_EQ(hub_->counts().crawls, 2u) << "a page each";
}

TEST_F(CatalogTest, ABranchIsCheckedAsACrawlsUntilAFileOfItIsOpened) {
  ASSERT_TRUE(resolve("llm"));
  clock_.advance(minutes(6));
  hub_->hold_crawls(true);
  const auto shown = resolve("llm");
  EXPECT_EQ(hub_->counts().crawls, 1u);
  EXPECT_EQ(hub_->counts().info, 1u) << "it waits";
  catalog_->note_open(*shown->placed);
  let_checks_end();
  EXPECT_EQ(hub_->counts().info, 3u) << "raised: the check, and ours";
  clock_.advance(minutes(6));
  ASSERT_TRUE(resolve("llm"));
  let_checks_end();
  EXPECT_EQ(hub_->counts().info, 5u);
  Answer<SnapshotPtr> listing;
  catalog_->snapshot(shown->placed, false, listing.callback(), Purpose::kCrawl);
  EXPECT_TRUE(listing.get()) << "nor is who lists it a crawler";
  EXPECT_EQ(hub_->counts().crawls, 1u);
}

TEST_F(CatalogTest, TheLogTellsThatWhatIsShownMayBeStaleAndWhy) {
  ASSERT_TRUE(resolve("llm"));
  for (int i = 0; i < 10; ++i) {
    clock_.advance(minutes(6));
    hub_->fail_metadata(1, {ErrorCode::kUnavailable, "the Hub is down"});
    ASSERT_TRUE(resolve("llm"));
    let_checks_end();
  }
  const auto lines = log_.lines();
  ASSERT_EQ(lines.size(), 10u) << "one each time, since they are minutes apart";
  EXPECT_EQ(lines[0].text, "what is known of acme/llm is shown: the Hub is down");
  EXPECT_EQ(lines[0].level, LogLevel::kWarning);
}

}  // namespace
}  // namespace hubvfs::fs
