// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_commands.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <map>
#include <set>

#include "cache/memory_cache.h"
#include "daemon/json_values.h"
#include "tests/fs/waiting.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

using Kind = CommandRequest::Kind;

constexpr std::uint64_t kBlock = 256 * 1024;
constexpr std::uint64_t kSize = 4 * kBlock;
constexpr std::uint64_t kLimit = 40 * kBlock;

// A command's answer.
struct Told {
  std::optional<Error> error;
  JsonValues summary;
  std::vector<JsonValues> items;
  std::uint64_t number(const std::string& path) const { return summary.number(path); }
  std::string refusal() const { return error ? error->context : "it was carried out"; }
};

class WorkerCommandsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (unsigned i = 0; i < 6; ++i) content_.push_back(random_bytes(kSize, i + 1));
    first_ = hub_->commit(llm_, {{"shared.bin", {content_[0], true}},
                                 {"old.bin", {content_[1], true}},
                                 {"config.json", {"{}", false}}});
    hub_->commit(fork_, {{"weights.bin", {content_[0], true}}, {"own.bin", {content_[2], true}}});
    start();
  }
  void TearDown() override { stop(); }
  void start(const std::string& offline_because = "") {
    fs::BackendOptions options;
    options.endpoint = "http://hub";
    options.uid = 1000;
    options.most_at_once = most_at_once_;
    backend_ = *fs::Backend::create(options, {*hub_, *hub_}, store_, meta_, log_, clock_);
    commands_ = std::make_unique<WorkerCommands>(CommandParts{
        *backend_, store_, meta_, *hub_, log_, clock_, "u1000", "http://hub", offline_because});
    commands_->load_pins();
  }
  void stop() {
    commands_.reset();
    backend_->close();
    hub_.reset();
    backend_.reset();
  }
  Told ask(const CommandRequest& request) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()),
              0);
    const UniqueFd command(ends[0]);
    CommandCaller caller{UniqueFd(ends[1]), UniqueFd()};
    Told told;
    auto answer = commands_->carry_out(request, caller);
    if (answer) {
      told.summary = *JsonValues::parse(*answer);
    } else {
      told.error = answer.error();
    }
    while (auto message = receive_message(command.get())) {
      if (message->kind != MessageKind::kItem) continue;
      told.items.push_back(*JsonValues::parse(as_text(message->body)));
    }
    return told;
  }
  Told ask(Kind kind, const hub::RepoId& repo = {}, const std::string& revision = "") {
    CommandRequest request;
    request.kind = kind;
    request.repo = repo;
    request.revision = revision;
    return ask(request);
  }
  // A repo listed a directory at a time, of which one directory is known.
  void make_large_repo() {
    FakeHubClient::Files files;
    for (unsigned i = 0; i < 3; ++i) {
      files["d" + std::to_string(i) + "/deep/part.bin"] = {content_[i], true};
    }
    hub_->commit(large_, files);
    stop_commands();
    most_at_once_ = 4;
    start();
    const auto catalog = *backend_->catalog(hub::RepoType::kModel);
    Answer<fs::Catalog::Resolved> placed;
    catalog->resolve({large_.name, ""}, placed.callback());
    Answer<fs::SnapshotPtr> root;
    catalog->snapshot(placed.get()->placed, false, root.callback());
    ASSERT_TRUE((*root.get())->is_one_directory());
  }
  void stop_commands() {
    commands_.reset();
    backend_->close();
    backend_.reset();
  }
  std::uint64_t used() const { return store_.stats().bytes_used; }

  const hub::RepoId llm_{hub::RepoType::kModel, "acme/llm"};
  const hub::RepoId fork_{hub::RepoType::kModel, "acme/fork"};
  const hub::RepoId large_{hub::RepoType::kModel, "acme/large"};
  std::size_t most_at_once_ = 20'000;
  std::vector<std::string> content_;
  std::string first_;
  ManualClock clock_;
  NullLogger log_;
  cache::MemoryBlobStore store_{kBlock, kLimit};
  cache::MemoryMetaStore meta_;
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<fs::Backend> backend_;
  std::unique_ptr<WorkerCommands> commands_;
};

TEST_F(WorkerCommandsTest, EvictKeepsWhatAnotherKnownCommitUsesAndSaysWhatItFreed) {
  ASSERT_FALSE(ask(Kind::kPrefetch, llm_).error);
  ASSERT_FALSE(ask(Kind::kPrefetch, fork_).error);
  EXPECT_EQ(used(), 3 * kSize + 2);
  const Told first = ask(Kind::kEvict, llm_);
  ASSERT_FALSE(first.error) << first.refusal();
  EXPECT_EQ(first.number("bytes_freed"), kSize + 2);
  EXPECT_EQ(first.number("bytes_kept_for_others"), kSize);
  EXPECT_EQ(used(), 2 * kSize);
  // The one that was evicted holds on to nothing.
  const Told second = ask(Kind::kEvict, fork_);
  EXPECT_EQ(second.number("bytes_freed"), 2 * kSize);
  EXPECT_EQ(used(), 0u);
}

TEST_F(WorkerCommandsTest, WhatCameBackAfterAnEvictionIsKeptAgain) {
  ASSERT_FALSE(ask(Kind::kPrefetch, llm_).error);
  ASSERT_FALSE(ask(Kind::kEvict, llm_).error);
  // Wanted again by name.
  ASSERT_FALSE(ask(Kind::kPrefetch, llm_).error);
  ASSERT_FALSE(ask(Kind::kPrefetch, fork_).error);
  EXPECT_EQ(ask(Kind::kEvict, fork_).number("bytes_kept_for_others"), kSize);
  // Or read again by somebody: then something is here that it alone has.
  ASSERT_FALSE(ask(Kind::kEvict, llm_).error);
  EXPECT_EQ(used(), 0u);
  ASSERT_FALSE(ask(Kind::kPrefetch, fork_).error);
  const hub::FileRef file = hub_->file(llm_, first_, "config.json");
  (*store_.open({"public", file.content}, "http://hub"))
      ->put(0, std::make_shared<const Bytes>(as_bytes("{}").begin(), as_bytes("{}").end()));
  ASSERT_TRUE(store_.flush());
  EXPECT_EQ(ask(Kind::kEvict, fork_).number("bytes_kept_for_others"), kSize);
}

TEST_F(WorkerCommandsTest, ARepoIsEvictedWithAllItsCommitsAndARevisionAlone) {
  ASSERT_FALSE(ask(Kind::kPrefetch, llm_).error);
  const std::string second =
      hub_->commit(llm_, {{"shared.bin", {content_[0], true}}, {"new.bin", {content_[3], true}}});
  ASSERT_FALSE(ask(Kind::kPrefetch, llm_).error);
  EXPECT_EQ(used(), 3 * kSize + 2);
  const Told old = ask(Kind::kEvict, llm_, first_);
  EXPECT_EQ(old.number("bytes_freed"), kSize + 2) << "old.bin and config.json";
  EXPECT_EQ(old.summary.texts("commits[]"), std::vector<std::string>{first_});
  const Told all = ask(Kind::kEvict, llm_);
  EXPECT_EQ(all.number("bytes_freed"), 2 * kSize);
  EXPECT_EQ(all.summary.texts("commits[]").size(), 2u);
  EXPECT_NE(ask(Kind::kEvict, llm_, "v9").refusal().find("nothing is known of acme/llm@v9"),
            std::string::npos);
}

TEST_F(WorkerCommandsTest, ABranchIsEvictedByItsName) {
  hub_->set_ref(llm_, "refs/heads/dev", first_);
  ASSERT_FALSE(ask(Kind::kPrefetch, llm_, "dev").error);
  EXPECT_TRUE(ask(Kind::kEvict, llm_, "main").error) << "nobody ever asked for main";
  EXPECT_EQ(ask(Kind::kEvict, llm_, "dev").number("bytes_freed"), 2 * kSize + 2);
  ASSERT_FALSE(ask(Kind::kPrefetch, llm_).error);
  EXPECT_EQ(ask(Kind::kEvict, llm_, "main").number("bytes_freed"), 2 * kSize + 2);
}

TEST_F(WorkerCommandsTest, WhatIsPinnedStaysWhateverIsAsked) {
  ASSERT_FALSE(ask(Kind::kPin, llm_).error);
  ASSERT_FALSE(ask(Kind::kPrefetch, fork_).error);
  const Told refused = ask(Kind::kEvict, llm_);
  EXPECT_NE(refused.refusal().find("hubvfs unpin acme/llm"), std::string::npos);
  const Told fork = ask(Kind::kEvict, fork_);
  EXPECT_EQ(fork.number("bytes_freed"), kSize);
  EXPECT_EQ(fork.number("bytes_kept_pinned"), kSize);
  CommandRequest prune;
  prune.kind = Kind::kPrune;
  prune.to_bytes = 0;
  EXPECT_EQ(ask(prune).number("bytes_freed"), 0u);
  EXPECT_EQ(used(), 2 * kSize + 2);
  ASSERT_FALSE(ask(Kind::kUnpin, llm_).error);
  EXPECT_EQ(ask(Kind::kEvict, llm_).number("bytes_freed"), 2 * kSize + 2);
}

TEST_F(WorkerCommandsTest, PinsHoldInTheNextWorkersLifeToo) {
  ASSERT_FALSE(ask(Kind::kPin, llm_).error);
  commands_.reset();
  store_.set_pinned({});  // as in a new process
  commands_ = std::make_unique<WorkerCommands>(
      CommandParts{*backend_, store_, meta_, *hub_, log_, clock_, "u1000", "http://other-hub", ""});
  commands_->load_pins();
  EXPECT_EQ(store_.stats().pinned_bytes, 2 * kSize + 2) << "though it asks another endpoint";
}

TEST_F(WorkerCommandsTest, PinningABranchAgainMovesItsPin) {
  ASSERT_FALSE(ask(Kind::kPin, llm_).error);
  hub_->commit(llm_, {{"new.bin", {content_[3], true}}});
  ASSERT_FALSE(ask(Kind::kPin, llm_).error);
  EXPECT_EQ(store_.stats().pinned_bytes, kSize);
  EXPECT_EQ(ask(Kind::kEvict, llm_, first_).number("bytes_freed"), 2 * kSize + 2);
  // Two names of one commit are two pins.
  ASSERT_FALSE(ask(Kind::kPin, llm_, "main").error);
  ASSERT_FALSE(ask(Kind::kUnpin, llm_).error);
  EXPECT_EQ(store_.stats().pinned_bytes, kSize);
  EXPECT_NE(ask(Kind::kUnpin, llm_).refusal().find("pinned is acme/llm@main"), std::string::npos);
  ASSERT_FALSE(ask(Kind::kUnpin, llm_, "main").error);
  EXPECT_EQ(store_.stats().pinned_bytes, 0u);
}

TEST_F(WorkerCommandsTest, APinIsFoundByItsCommit) {
  ASSERT_FALSE(ask(Kind::kPin, llm_).error);
  const Told gone = ask(Kind::kUnpin, llm_, first_);
  ASSERT_FALSE(gone.error) << gone.refusal();
  EXPECT_EQ(gone.summary.texts("unpinned[]"), std::vector<std::string>{"acme/llm"});
}

TEST_F(WorkerCommandsTest, MoreThanTheCacheHoldsIsRefusedUpFrontWithBothNumbers) {
  const std::string limit = std::to_string(kLimit) + " bytes";
  hub_->commit({hub::RepoType::kModel, "acme/huge"}, {{"w", {random_bytes(kLimit + 1, 9), true}}});
  for (const Kind kind : {Kind::kPrefetch, Kind::kPin}) {
    const std::string said = ask(kind, {hub::RepoType::kModel, "acme/huge"}).refusal();
    EXPECT_NE(said.find(std::to_string(kLimit + 1) + " bytes"), std::string::npos) << said;
    EXPECT_NE(said.find(limit), std::string::npos) << said;
  }
  // So are pins that are too much together; what two of them share counts once.
  hub_->commit({hub::RepoType::kModel, "acme/half"},
               {{"w", {random_bytes(kLimit - 3 * kSize, 8), true}}});
  ASSERT_FALSE(ask(Kind::kPin, {hub::RepoType::kModel, "acme/half"}).error);
  ASSERT_FALSE(ask(Kind::kPin, fork_).error);
  const auto before = hub_->counts().fetches;
  const std::string said = ask(Kind::kPin, llm_).refusal();
  EXPECT_NE(said.find(std::to_string(kLimit + 2) + " bytes"), std::string::npos) << said;
  EXPECT_NE(said.find(limit), std::string::npos) << said;
  EXPECT_EQ(hub_->counts().fetches, before);
  EXPECT_EQ(store_.stats().pinned_bytes, kLimit - kSize) << "nothing of it is pinned";
}

TEST_F(WorkerCommandsTest, OfflineItSaysWhatIsMissing) {
  CommandRequest some;
  some.kind = Kind::kPrefetch;
  some.repo = llm_;
  some.include = {"*.json"};
  ASSERT_FALSE(ask(some).error);
  commands_.reset();
  hub_->set_offline(true);
  commands_ = std::make_unique<WorkerCommands>(CommandParts{
      *backend_, store_, meta_, *hub_, log_, clock_, "u1000", "http://hub", "HF_HUB_OFFLINE"});
  EXPECT_FALSE(ask(some).error);
  const std::string said = ask(Kind::kPrefetch, llm_).refusal();
  EXPECT_NE(said.find("HF_HUB_OFFLINE"), std::string::npos) << said;
  EXPECT_NE(said.find("2 of 3 files"), std::string::npos) << said;
  EXPECT_NE(said.find("old.bin, shared.bin"), std::string::npos) << said;
  const std::string pinned = ask(Kind::kPin, llm_).refusal();
  EXPECT_NE(pinned.find("acme/llm is pinned, but not all of it is here"), std::string::npos);
  EXPECT_NE(ask(Kind::kPrefetch, fork_).error, std::nullopt) << "of which nothing is known";
  hub_->set_offline(false);
}

TEST_F(WorkerCommandsTest, ARepoListedByDirectoryIsFetchedPinnedAndEvictedAsAWhole) {
  make_large_repo();
  const auto item = [this] {
    for (const JsonValues& one : ask(Kind::kList).items) {
      if (one.text("repo") == large_.name) return one;
    }
    return JsonValues();
  };
  EXPECT_TRUE(item().flag("partial"));
  EXPECT_EQ(item().number("files"), 0u);
  const auto asked = hub_->counts().tree;
  const Told fetched = ask(Kind::kPrefetch, large_);
  ASSERT_FALSE(fetched.error) << fetched.refusal();
  EXPECT_EQ(hub_->counts().tree, asked + 1) << "not one for each directory";
  EXPECT_EQ(fetched.number("files"), 3u);
  EXPECT_EQ(used(), 3 * kSize);
  EXPECT_FALSE(item().flag("partial"));
  EXPECT_TRUE(item().flag("complete"));
  EXPECT_EQ(item().number("files"), 3u);
  ASSERT_FALSE(ask(Kind::kPin, large_).error);
  EXPECT_EQ(hub_->counts().tree, asked + 1);
  stop_commands();
  hub_->set_offline(true);
  start();
  EXPECT_EQ(store_.stats().pinned_bytes, 3 * kSize) << "in the next worker's life, too";
  EXPECT_FALSE(ask(Kind::kPrefetch, large_).error);
  hub_->set_offline(false);
  ASSERT_FALSE(ask(Kind::kUnpin, large_).error);
  EXPECT_EQ(ask(Kind::kEvict, large_).number("bytes_freed"), 3 * kSize);
  EXPECT_EQ(used(), 0u);
}

TEST_F(WorkerCommandsTest, WhatIsGatedIsSaidWithThePageToAskAt) {
  hub_->set_gate(llm_, hub::Gate::kManual, false);
  const std::string said = ask(Kind::kPrefetch, llm_).refusal();
  EXPECT_NE(said.find("ask for access at http://hub/acme/llm"), std::string::npos) << said;
}

TEST_F(WorkerCommandsTest, ARenamedRepoIsTakenByItsNewName) {
  hub_->rename(llm_, "acme/llm-2");
  const Told told = ask(Kind::kPrefetch, llm_);
  ASSERT_FALSE(told.error) << told.refusal();
  EXPECT_EQ(told.summary.text("repo"), "acme/llm-2");
}

TEST_F(WorkerCommandsTest, WhatIsKnownAndHereIsListed) {
  ASSERT_FALSE(ask(Kind::kPin, llm_).error);
  hub_->set_ref(
      fork_, "refs/tags/v1",
      hub_->commit(fork_, {{"own.bin", {content_[2], true}}, {"a", {content_[0], true}}}));
  CommandRequest some;
  some.kind = Kind::kPrefetch;
  some.repo = fork_;
  some.revision = "v1";
  some.include = {"a"};
  ASSERT_FALSE(ask(some).error);
  ASSERT_FALSE(ask(Kind::kPrefetch, fork_, "main").error);
  std::map<std::string, JsonValues> by_repo;
  const Told list = ask(Kind::kList);
  EXPECT_EQ(list.number("bytes_used"), used());
  for (const JsonValues& item : list.items) by_repo[item.text("repo")] = item;
  ASSERT_EQ(list.items.size(), 2u);
  EXPECT_TRUE(by_repo["acme/llm"].flag("pinned"));
  EXPECT_TRUE(by_repo["acme/llm"].flag("complete"));
  EXPECT_EQ(by_repo["acme/llm"].text("commit"), first_);
  EXPECT_EQ(by_repo["acme/llm"].number("files"), 3u);
  EXPECT_EQ(by_repo["acme/fork"].texts("revisions[]"), (std::vector<std::string>{"main", "v1"}));
  EXPECT_FALSE(by_repo["acme/fork"].flag("pinned"));
  EXPECT_EQ(by_repo["acme/fork"].number("bytes_cached"), 2 * kSize);

  const Told usage = ask(Kind::kUsage);
  by_repo.clear();
  for (const JsonValues& item : usage.items) by_repo[item.text("repo")] = item;
  EXPECT_EQ(by_repo["acme/llm"].number("bytes_cached"), 2 * kSize + 2);
  EXPECT_EQ(by_repo["acme/llm"].number("bytes_of_it_alone"), kSize + 2);
  EXPECT_EQ(by_repo["acme/fork"].number("bytes_of_it_alone"), kSize);
  EXPECT_EQ(usage.number("bytes_cached"), 3 * kSize + 2);
  EXPECT_EQ(usage.number("namespaces.public"), 3 * kSize + 2);
  EXPECT_EQ(usage.number("bytes_of_no_known_repo"), 0u);
}

TEST_F(WorkerCommandsTest, PrivateContentIsCountedInItsNamespace) {
  hub_->set_private(llm_, true);
  ASSERT_FALSE(ask(Kind::kPin, llm_).error);
  ASSERT_FALSE(ask(Kind::kPrefetch, fork_).error);
  const Told usage = ask(Kind::kUsage);
  EXPECT_EQ(usage.number("namespaces.u1000"), 2 * kSize + 2);
  EXPECT_EQ(usage.number("namespaces.public"), 2 * kSize);
  // What is private is another blob, though it is the same content.
  EXPECT_EQ(ask(Kind::kEvict, fork_).number("bytes_freed"), 2 * kSize);
}

TEST_F(WorkerCommandsTest, PruneGoesDownToASizeOrAPart) {
  ASSERT_FALSE(ask(Kind::kPrefetch, llm_).error);
  CommandRequest prune;
  prune.kind = Kind::kPrune;
  prune.to_percent = 5;  // two blocks
  const Told told = ask(prune);
  EXPECT_EQ(told.number("to_bytes"), 2 * kBlock);
  EXPECT_LE(told.number("bytes_used"), 2 * kBlock);
  EXPECT_EQ(told.number("bytes_freed"), 2 * kSize + 2 - told.number("bytes_used"));
}

TEST_F(WorkerCommandsTest, NoFileThatIsMeantIsAnError) {
  CommandRequest request;
  request.kind = Kind::kPrefetch;
  request.repo = llm_;
  request.exclude = {"*"};
  EXPECT_NE(ask(request).refusal().find("no file of acme/llm"), std::string::npos);
}

}  // namespace
}  // namespace hubvfs::daemon
