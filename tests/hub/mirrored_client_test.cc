// SPDX-License-Identifier: Apache-2.0
#include "hub/mirrored_client.h"

#include <gtest/gtest.h>

#include <array>
#include <future>
#include <memory>
#include <utility>

#include "tests/support/fake_hub_client.h"
#include "tests/support/hub_calls.h"
#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"

namespace hubvfs {
namespace {

using hub::Mirror;
using hub::MirroredClient;
using std::chrono::seconds;

const hub::RepoId kRepo{hub::RepoType::kModel, "acme/tiny"};
const Error kDown{ErrorCode::kUnavailable, "HTTP 503 here", "HTTP 503"};
const Error kLate{ErrorCode::kTimedOut, "nothing in time", "no answer"};
constexpr seconds kAges{100'000};  // where the clock is put ahead of the real one
const char* const kNames[] = {"https://one", "https://two", "https://three"};

// Three mirrors with the same repo, of 100,000 bytes in one file among others.
class MirroredClientTest : public ::testing::Test {
 protected:
  MirroredClientTest() {
    for (int i = 0; i < 100'000; ++i) content_.push_back(static_cast<char>(i * 7 + i / 256));
    make(true);
  }

  void make(bool knows_caller) {
    client_.reset();
    std::vector<Mirror> mirrors;
    for (std::size_t i = 0; i < fakes_.size(); ++i) {
      auto fake = std::make_unique<FakeHubClient>();
      commit_ = fake->commit(
          kRepo, {{"a", {"x", false}}, {"b", {"y", false}}, {"weights", {content_, true}}});
      fake->set_piece_size(1000);
      fakes_[i] = fake.get();
      mirrors.push_back({kNames[i], std::move(fake), i == 0 || knows_caller});
    }
    client_ = std::make_unique<MirroredClient>(std::move(mirrors), log_, clock_);
  }
  hub::FileRef weights() { return fakes_[0]->file(kRepo, commit_, "weights"); }
  void expect_whole(Fetching& fetching) {
    const auto done = fetching.wait();
    ASSERT_TRUE(done) << done.error().context;
    EXPECT_TRUE(fetching.contiguous());
    EXPECT_TRUE(fetching.bytes() == content_);
    EXPECT_EQ(fetching.done_calls(), 1);
  }

  std::string content_;
  std::string commit_;
  ListLogger log_;
  ManualClock clock_;
  std::array<FakeHubClient*, 3> fakes_{};
  std::unique_ptr<MirroredClient> client_;
};

// Time is real for the deadlines that hub_calls.h makes.
class MirroredCalls : public MirroredClientTest {
 protected:
  MirroredCalls() { clock_.advance(SystemClock().now() - clock_.now()); }
};

TEST_F(MirroredCalls, TheFirstIsAskedAlone) {
  EXPECT_TRUE(info_of(*client_, kRepo, "main"));
  EXPECT_TRUE(refs_of(*client_, kRepo));
  EXPECT_TRUE(tree_of(*client_, kRepo, commit_, "", true).more);
  EXPECT_TRUE(list_of(*client_, hub::RepoType::kModel, "acme"));
  Fetching fetching(*client_, weights(), {0, content_.size()});
  expect_whole(fetching);
  EXPECT_EQ(fakes_[0]->counts().metadata(), 4u);
  EXPECT_EQ(fakes_[1]->counts().metadata() + fakes_[1]->counts().fetches, 0u);
}

TEST_F(MirroredCalls, WhereItGivesNoAnswerTheNextIsAsked) {
  for (const Error& error : {kDown, kLate}) {
    fakes_[0]->fail_metadata(4, error);
    fakes_[1]->fail_metadata(1, error);
    const auto info = info_of(*client_, kRepo, "main");
    ASSERT_TRUE(info) << info.error().context;
    EXPECT_EQ(info->commit, commit_);
    EXPECT_TRUE(refs_of(*client_, kRepo));
    const Listed listed = tree_of(*client_, kRepo, commit_, "", true);
    EXPECT_TRUE(listed.more);
    EXPECT_EQ(listed.entries.size(), 3u);
    EXPECT_TRUE(list_of(*client_, hub::RepoType::kModel, "acme"));
  }
  EXPECT_EQ(fakes_[0]->counts().metadata(), 0u);
  EXPECT_EQ(fakes_[1]->counts().metadata(), 6u);
  EXPECT_EQ(fakes_[2]->counts().metadata(), 2u);
  EXPECT_NE(log_.text().find("https://one gives no answer, https://two is asked: HTTP 503 here"),
            std::string::npos)
      << log_.text();
}

TEST_F(MirroredCalls, WhatTheFirstRefusesNoOtherIsAsked) {
  for (const ErrorCode code :
       {ErrorCode::kNotFound, ErrorCode::kGated, ErrorCode::kPermissionDenied,
        ErrorCode::kRateLimited, ErrorCode::kBadAnswer, ErrorCode::kOffline, ErrorCode::kCancelled,
        ErrorCode::kInvalidArgument}) {
    const Error error{code, "so it is"};
    fakes_[0]->fail_metadata(2, error);
    fakes_[0]->fail_fetches(1, error);
    const auto info = info_of(*client_, kRepo, "main");
    ASSERT_FALSE(info);
    EXPECT_EQ(info.error().code, code);
    EXPECT_EQ(info.error().context, "so it is");
    EXPECT_FALSE(tree_of(*client_, kRepo, commit_, "", true).more);
    Fetching fetching(*client_, weights(), {0, 100});
    const auto done = fetching.wait();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code);
  }
  EXPECT_EQ(fakes_[1]->counts().metadata() + fakes_[1]->counts().fetches, 0u);
}

TEST_F(MirroredCalls, TheLastErrorNamesEachMirrorAndItsFailure) {
  fakes_[0]->fail_metadata(1, kLate);
  fakes_[1]->fail_metadata(1, kDown);
  fakes_[2]->fail_metadata(1, {ErrorCode::kUnavailable, "no name", "DNS"});
  const auto info = info_of(*client_, kRepo, "main");
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kTimedOut) << "the first's";
  EXPECT_EQ(info.error().context,
            "no mirror answers: https://one: nothing in time; https://two: HTTP 503 here; "
            "https://three: no name");
  EXPECT_EQ(info.error().cause, "no answer; HTTP 503; DNS");
}

TEST_F(MirroredCalls, ALaterMirrorThatKnowsTheCallerMayRefuse) {
  fakes_[0]->fail_metadata(1, kDown);
  fakes_[1]->fail_metadata(1, {ErrorCode::kNotFound, "404"});
  EXPECT_EQ(info_of(*client_, kRepo, "main").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(fakes_[2]->counts().metadata(), 0u);
}

TEST_F(MirroredCalls, OneThatDoesNotKnowTheCallerRefusesNothing) {
  make(false);
  for (const ErrorCode code :
       {ErrorCode::kNotFound, ErrorCode::kGated, ErrorCode::kPermissionDenied}) {
    fakes_[0]->fail_metadata(1, kDown);
    fakes_[1]->fail_metadata(1, {code, "no"});
    fakes_[2]->fail_metadata(1, {code, "no"});
    const auto info = info_of(*client_, kRepo, "main");
    ASSERT_FALSE(info);
    EXPECT_EQ(info.error().code, ErrorCode::kUnavailable);
  }
}

TEST_F(MirroredCalls, AMirrorThatIsBehindBreaksNoRead) {
  fakes_[1]->commit(kRepo, {{"weights", {"other", true}}});
  const hub::RepoId newer{hub::RepoType::kModel, "acme/newer"};
  for (FakeHubClient* fake : {fakes_[0], fakes_[2]}) {
    commit_ = fake->commit(newer, {{"weights", {content_, true}}});
  }
  const hub::FileRef file = fakes_[0]->file(newer, commit_, "weights");
  fakes_[0]->fail_metadata(1, kDown);
  fakes_[0]->fail_fetches(1, kDown);
  EXPECT_EQ(tree_of(*client_, newer, commit_, "", true).entries.size(), 1u);
  Fetching fetching(*client_, file, {0, content_.size()});
  expect_whole(fetching);
  fakes_[0]->fail_fetches(1, kDown);
  fakes_[1]->fail_fetches(1, {ErrorCode::kBadAnswer, "another commit"});
  Fetching again(*client_, file, {0, content_.size()});
  expect_whole(again);
  fakes_[0]->fail_metadata(1, kDown);
  fakes_[2]->fail_metadata(1, kDown);
  const Listed listed = tree_of(*client_, newer, commit_, "", true);
  EXPECT_EQ(listed.more.error().code, ErrorCode::kUnavailable) << "absent it is not";
}

TEST_F(MirroredCalls, FurtherPagesComeFromTheMirrorThatGaveTheFirst) {
  for (FakeHubClient* fake : fakes_) {
    fake->commit({hub::RepoType::kModel, "acme/more"}, {{"a", {"x", false}}});
    fake->set_page_size(1);
  }
  fakes_[0]->fail_metadata(1, kDown);
  const auto page = list_of(*client_, hub::RepoType::kModel, "acme");
  ASSERT_TRUE(page);
  const auto further = list_of(*client_, hub::RepoType::kModel, "acme", page->next);
  ASSERT_TRUE(further) << further.error().context;
  EXPECT_EQ(further->repos.at(0).id.name, "acme/tiny");
  EXPECT_EQ(fakes_[0]->counts().lists, 0u);
  EXPECT_EQ(fakes_[1]->counts().lists, 2u);
  fakes_[1]->fail_metadata(1, kDown);
  EXPECT_FALSE(list_of(*client_, hub::RepoType::kModel, "acme", page->next));
  EXPECT_EQ(fakes_[2]->counts().lists, 0u);
}

TEST_F(MirroredCalls, AFetchGoesOnAtTheNextByte) {
  fakes_[0]->fail_fetches(1, kDown, 30'500);
  fakes_[1]->fail_fetches(1, kLate, 20'001);
  Fetching fetching(*client_, weights(), {0, content_.size()});
  expect_whole(fetching);
  EXPECT_EQ(fakes_[1]->fetches().at(0).range.begin, 30'500u);
  EXPECT_EQ(fakes_[2]->fetches().at(0).range.begin, 50'501u);
  EXPECT_EQ(fakes_[0]->counts().bytes + fakes_[1]->counts().bytes + fakes_[2]->counts().bytes,
            content_.size());
}

TEST_F(MirroredCalls, AFetchThatBrokeOffAfterItsLastByteIsWhole) {
  fakes_[0]->fail_fetches(1, kDown, content_.size());
  Fetching fetching(*client_, weights(), {0, content_.size()});
  expect_whole(fetching);
  EXPECT_EQ(fakes_[1]->counts().fetches, 0u);
}

TEST_F(MirroredCalls, FetchesPassByAMirrorThatFailedOneForAMinute) {
  fakes_[0]->fail_fetches(1, kDown);
  Fetching first(*client_, weights(), {0, content_.size()});
  expect_whole(first);
  Fetching second(*client_, weights(), {0, content_.size()});
  expect_whole(second);
  EXPECT_EQ(fakes_[0]->counts().fetches, 1u);
  EXPECT_EQ(fakes_[1]->counts().fetches, 2u);
  fakes_[1]->fail_fetches(1, kDown);
  fakes_[2]->fail_fetches(1, kDown);
  Fetching third(*client_, weights(), {0, content_.size()});
  expect_whole(third);
  EXPECT_EQ(fakes_[0]->counts().fetches, 2u) << "asked last, but asked";
  clock_.advance(MirroredClient::kAvoided);
  Fetching fourth(*client_, weights(), {0, content_.size()}, kAges);
  expect_whole(fourth);
  EXPECT_EQ(fakes_[0]->counts().fetches, 3u);
}

TEST_F(MirroredCalls, CancelReachesTheFetchThatIsUnderWay) {
  Fetching before(*client_, weights(), {0, 1000});  // so that ids are not by chance the same
  EXPECT_TRUE(before.wait());
  fakes_[0]->fail_fetches(1, kDown, 5000);
  fakes_[1]->hold_fetches(true);
  Fetching fetching(*client_, weights(), {0, content_.size()});
  ASSERT_TRUE(fakes_[1]->await_fetches(1));
  client_->cancel(before.id());
  client_->cancel(4711);
  EXPECT_EQ(fakes_[1]->counts().cancels, 0u);
  client_->cancel(fetching.id());
  const auto done = fetching.wait();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(fetching.done_calls(), 1);
  EXPECT_EQ(fetching.bytes().size(), 5000u);
  EXPECT_EQ(fakes_[1]->counts().cancels, 1u);
  EXPECT_EQ(fakes_[2]->counts().fetches, 0u);
}

TEST_F(MirroredCalls, ARaisedPriorityHoldsAtTheNextMirrorToo) {
  fakes_[0]->hold_fetches(true);
  fakes_[0]->fail_fetches(1, kDown);
  fakes_[1]->hold_fetches(true);
  Fetching fetching(*client_, weights(), {0, content_.size()}, seconds(10),
                    hub::Priority::kPrefetch, false);
  client_->raise_priority(fetching.id(), hub::Priority::kReadAhead);
  fakes_[0]->hold_fetches(false);
  ASSERT_TRUE(fakes_[1]->await_fetches(1));
  EXPECT_EQ(fakes_[1]->fetches().at(0).priority, hub::Priority::kReadAhead);
  EXPECT_FALSE(fakes_[1]->fetches().at(0).hedged);
  fakes_[1]->hold_fetches(false);
  expect_whole(fetching);
}

// Cancels come while fetches move from mirror to mirror: each ends once, in one way or the other.
TEST_F(MirroredCalls, ACancelDuringTheSwitchIsNeverLost) {
  for (int round = 0; round < 300; ++round) {
    fakes_[0]->fail_fetches(1, kDown, 1000);
    fakes_[1]->hold_fetches(true);
    Fetching fetching(*client_, weights(), {0, content_.size()}, kAges);
    for (int spin = 0; spin < round * 20; ++spin) static_cast<void>(clock_.now());
    client_->cancel(fetching.id());
    const auto done = fetching.wait();  // held for ever where the cancel was lost
    ASSERT_FALSE(done);
    ASSERT_EQ(done.error().code, ErrorCode::kCancelled) << done.error().context;
    ASSERT_EQ(fetching.done_calls(), 1);
    clock_.advance(MirroredClient::kAvoided);
  }
}

TEST_F(MirroredCalls, WhatIsUnderWayWhenItEndsIsCancelled) {
  for (FakeHubClient* fake : fakes_) fake->hold_fetches(true);
  for (FakeHubClient* fake : fakes_) fake->hold_metadata(true);
  Fetching fetching(*client_, weights(), {0, content_.size()});
  Answer<hub::RepoInfo> info;
  client_->repo_info(kRepo, "main", clock_.now() + seconds(10), info.callback());
  client_.reset();
  EXPECT_EQ(fetching.wait().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(info.wait().error().code, ErrorCode::kCancelled);
}

TEST_F(MirroredCalls, NothingMovesOnWhenItEnds) {
  Answer<hub::RepoInfo> late;
  fakes_[0]->hold_metadata(true);
  Answer<hub::RepoInfo> first;
  // Its answer, kCancelled, comes while the mirrors are being destroyed.
  client_->repo_info(kRepo, "main", clock_.now() + seconds(10),
                     [&, done = first.callback()](Result<hub::RepoInfo> answer) {
                       client_->repo_info(kRepo, "main", clock_.now() + seconds(10),
                                          late.callback());
                       done(std::move(answer));
                     });
  MirroredClient* ending = client_.get();
  delete ending;
  static_cast<void>(client_.release());
  EXPECT_EQ(first.wait().error().code, ErrorCode::kCancelled);
  static_cast<void>(late.wait().has_value());
  EXPECT_EQ(late.calls(), 1);
}

TEST_F(MirroredCalls, ATokenThatChangesIsToldOnce) {
  std::promise<void> told;
  client_->on_token_change([&] { told.set_value(); });
  for (FakeHubClient* fake : {fakes_[1], fakes_[2], fakes_[0]}) fake->change_token();
  EXPECT_EQ(told.get_future().wait_for(seconds(10)), std::future_status::ready);
}

// A client whose calls are answered, and whose deadlines are looked at, by the test.
class HandedClient final : public hub::HubClient {
 public:
  explicit HandedClient(const Clock& clock) : clock_(clock) {}
  Duration given;  // to the call under way
  hub::CrawlPtr crawl;
  hub::CrawlPtr raised;
  hub::Done<hub::RepoInfo> info;
  std::function<bool(std::vector<hub::TreeEntry>)> page;
  hub::Done<bool> tree;
  hub::FetchRequest request;
  hub::HubStats counted;
  hub::FetchAdvice advised;

  void repo_info(const hub::RepoId&, const std::string&, hub::Terms terms,
                 hub::Done<hub::RepoInfo> done) override {
    given = terms.deadline - clock_.now();
    crawl = terms.crawl;
    info = std::move(done);
  }
  void list_refs(const hub::RepoId&, hub::Terms, hub::Done<hub::RepoRefs>) override {}
  void list_tree(const hub::RepoId&, const std::string&, const std::string&, bool, hub::Terms,
                 std::function<bool(std::vector<hub::TreeEntry>)> on_page,
                 hub::Done<bool> done) override {
    page = std::move(on_page);
    tree = std::move(done);
  }
  void list_repos(hub::RepoType, const std::string&, const std::string&, hub::Terms,
                  hub::Done<hub::RepoPage>) override {}
  void raise(const hub::CrawlPtr& asked) override { raised = asked; }
  hub::FetchId fetch(hub::FetchRequest asked) override {
    given = asked.deadline - clock_.now();
    request = std::move(asked);
    return 7;
  }
  void cancel(hub::FetchId) override {}
  void raise_priority(hub::FetchId, hub::Priority) override {}
  void on_token_change(std::function<void()>) override {}
  hub::FetchAdvice advice() const override { return advised; }
  hub::HubStats stats() const override { return counted; }

 private:
  const Clock& clock_;
};

class MirrorsInHand : public ::testing::Test {
 protected:
  MirrorsInHand() {
    std::vector<Mirror> mirrors;
    for (std::size_t i = 0; i < hands_.size(); ++i) {
      auto hand = std::make_unique<HandedClient>(clock_);
      hands_[i] = hand.get();
      mirrors.push_back({kNames[i], std::move(hand)});
    }
    client_ = std::make_unique<MirroredClient>(std::move(mirrors), log_, clock_);
  }
  ListLogger log_;
  ManualClock clock_;
  std::array<HandedClient*, 3> hands_{};
  std::unique_ptr<MirroredClient> client_;
  Answer<hub::RepoInfo> info_;
  Answer<bool> tree_;
  Answer<void> fetched_;
};

TEST_F(MirrorsInHand, ACrawlMayWaitAtOneAndHasItsTimeAtTheNext) {
  const auto crawl = std::make_shared<hub::Crawl>();
  client_->repo_info(kRepo, "main", {clock_.now() + seconds(30), crawl}, info_.callback());
  EXPECT_EQ(hands_[0]->crawl, crawl);
  EXPECT_EQ(hands_[0]->given, Duration(seconds(10)));
  clock_.advance(std::chrono::minutes(5));
  hands_[0]->info(Error{ErrorCode::kUnavailable, "down"});
  EXPECT_EQ(hands_[1]->crawl, crawl);
  EXPECT_EQ(hands_[1]->given, Duration(seconds(15)));
  client_->raise(crawl);
  for (const HandedClient* hand : hands_) EXPECT_EQ(hand->raised, crawl);
  hands_[1]->info(hub::RepoInfo{});
  EXPECT_TRUE(info_.wait());
}

TEST_F(MirrorsInHand, EachGetsAnEqualShareOfWhatIsLeft) {
  client_->repo_info(kRepo, "main", clock_.now() + seconds(30), info_.callback());
  EXPECT_EQ(hands_[0]->given, seconds(10));
  clock_.advance(seconds(2));
  hands_[0]->info(kDown);
  EXPECT_EQ(hands_[1]->given, seconds(14));
  clock_.suspend(seconds(100));  // uses up nothing
  clock_.advance(seconds(14));
  hands_[1]->info(kLate);
  EXPECT_EQ(hands_[2]->given, seconds(14));
  hands_[2]->info(hub::RepoInfo{});
  EXPECT_TRUE(info_.wait());
}

TEST_F(MirrorsInHand, WhenTheTimeIsUpNobodyElseIsAsked) {
  client_->repo_info(kRepo, "main", clock_.now() + seconds(30), info_.callback());
  clock_.advance(seconds(30));
  hands_[0]->info(kLate);
  EXPECT_FALSE(hands_[1]->info);
  const auto answer = info_.wait();
  EXPECT_EQ(answer.error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(answer.error().context,
            "no mirror answers: https://one: nothing in time; https://two: not asked, no time was "
            "left; https://three: not asked, no time was left");
}

TEST_F(MirrorsInHand, AFetchHasItsTimeAnewWithEachByte) {
  hub::FetchRequest request;
  request.range = {100, 200};
  request.deadline = clock_.now() + seconds(30);
  std::uint64_t next = 100;
  request.on_bytes = [&](std::uint64_t offset, ByteView bytes) {
    EXPECT_EQ(offset, next);
    next = offset + bytes.size();
  };
  request.on_done = fetched_.callback();
  client_->fetch(std::move(request));
  EXPECT_EQ(hands_[0]->given, seconds(10));
  clock_.advance(seconds(9));
  hands_[0]->request.on_bytes(100, as_bytes("0123456789"));
  clock_.advance(seconds(10));
  hands_[0]->request.on_done(kLate);
  EXPECT_EQ(hands_[1]->given, seconds(10)) << "20 s are left for two";
  EXPECT_EQ(hands_[1]->request.range.begin, 110u);
  clock_.advance(seconds(20));
  hands_[1]->request.on_done(kLate);
  EXPECT_FALSE(hands_[2]->request.on_done);
  EXPECT_EQ(fetched_.wait().error().code, ErrorCode::kTimedOut);
}

TEST_F(MirrorsInHand, AListingThatBreaksOffAfterAPageIsNotAskedAnew) {
  int pages = 0;
  const auto list = [&](Answer<bool>& answer) {
    client_->list_tree(
        kRepo, "c", "", true, clock_.now() + seconds(30),
        [&](std::vector<hub::TreeEntry>) { return ++pages > 0; }, answer.callback());
  };
  list(tree_);
  hands_[0]->page({});
  hands_[0]->tree(kDown);
  EXPECT_FALSE(hands_[1]->tree);
  EXPECT_EQ(tree_.wait().error().code, ErrorCode::kUnavailable);
  Answer<bool> second;
  list(second);
  hands_[0]->tree(kDown);
  ASSERT_TRUE(hands_[1]->tree);
  hands_[1]->page({});
  hands_[1]->tree(false);
  EXPECT_TRUE(second.wait());
  EXPECT_EQ(pages, 2);
}

TEST_F(MirrorsInHand, AFetchThatWasCancelledDoesNotMoveOn) {
  hub::FetchRequest request;
  request.range = {0, 10};
  request.deadline = clock_.now() + seconds(30);
  request.on_done = fetched_.callback();
  const hub::FetchId id = client_->fetch(std::move(request));
  client_->cancel(id);
  hands_[0]->request.on_done(kDown);  // it had failed when the cancel came
  EXPECT_FALSE(hands_[1]->request.on_done);
  EXPECT_EQ(fetched_.wait().error().code, ErrorCode::kCancelled);
}

TEST_F(MirrorsInHand, AFetchBeginsWithAMirrorThatIsNotDown) {
  hands_[0]->counted.health.outage = "down";
  hub::FetchRequest request;
  request.range = {0, 10};
  request.deadline = clock_.now() + seconds(30);
  request.on_done = fetched_.callback();
  client_->fetch(std::move(request));
  EXPECT_FALSE(hands_[0]->request.on_done);
  ASSERT_TRUE(hands_[1]->request.on_done);
  hands_[1]->request.on_done({});
  EXPECT_TRUE(fetched_.wait());
}

TEST_F(MirrorsInHand, AdviceIsOfTheFirstThatIsNotDown) {
  hands_[0]->advised.parallel = 3;
  hands_[1]->advised.part_bytes = 2u << 20;
  EXPECT_EQ(client_->advice().parallel, 3);
  hands_[0]->counted.health.outage = "down";
  EXPECT_EQ(client_->advice().part_bytes, 2u << 20);
  for (HandedClient* hand : hands_) hand->counted.health.outage = "down";
  EXPECT_EQ(client_->advice().parallel, 3);
}

TEST_F(MirrorsInHand, CountersAreSumsAndHealthIsOfWhoAnswers) {
  hands_[0]->counted.requests = 3;
  hands_[0]->counted.last_failure = "old";
  hands_[0]->counted.last_failure_at = 1;
  hands_[0]->counted.health.refused_token = "HF_TOKEN";
  hands_[1]->counted.requests = 4;
  hands_[1]->counted.health.outage = "down too";
  hands_[2]->counted.requests = 5;
  hands_[2]->counted.last_failure = "new";
  hands_[2]->counted.last_failure_at = 2;
  hands_[2]->counted.health.limited_until = 9;
  EXPECT_EQ(client_->stats().requests, 12u);
  EXPECT_EQ(client_->stats().last_failure, "new");
  EXPECT_EQ(client_->stats().health.mirror, "");
  EXPECT_EQ(client_->stats().health.limited_until, 0);
  hands_[0]->counted.health.outage = "no way";
  const hub::HubHealth health = client_->stats().health;
  EXPECT_EQ(health.outage, "");
  EXPECT_EQ(health.mirror, "https://three instead of https://one: no way");
  EXPECT_EQ(health.limited_until, 9);
  EXPECT_EQ(health.refused_token, "HF_TOKEN");
  hands_[2]->counted.health.outage = "and this";
  EXPECT_EQ(client_->stats().health.outage, "no way");
}

}  // namespace
}  // namespace hubvfs
