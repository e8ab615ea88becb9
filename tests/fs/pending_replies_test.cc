// SPDX-License-Identifier: Apache-2.0
#include "fs/pending_replies.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace hubvfs::fs {
namespace {

const Error kEnd{ErrorCode::kCancelled, "ending"};

struct Seen {
  std::vector<std::string> all;
  PendingReplies::Reply<int> reply() {
    return [this](const Result<int>& result) {
      all.push_back(result ? std::to_string(*result) : to_string(result.error().code));
    };
  }
};

TEST(PendingReplies, AReplyIsGivenOnce) {
  PendingReplies pending;
  Seen seen;
  const auto reply = pending.hold<int>(seen.reply());
  reply(1);
  reply(2);
  pending.close(kEnd);
  EXPECT_EQ(seen.all, (std::vector<std::string>{"1"}));
}

TEST(PendingReplies, ClosingGivesWhatIsOwedAndWhatComesLater) {
  PendingReplies pending;
  Seen seen;
  const auto first = pending.hold<int>(seen.reply());
  const auto second = pending.owe<int>(seen.reply());
  pending.close(kEnd);
  EXPECT_EQ(seen.all, (std::vector<std::string>{"Cancelled", "Cancelled"}));
  first(1);
  second->give(2);
  second->run([](const auto&) { FAIL() << "its reply was given"; });
  EXPECT_EQ(seen.all.size(), 2u);
  EXPECT_FALSE(pending.hold<int>(seen.reply()));
  EXPECT_EQ(seen.all.size(), 3u);
  pending.close(kEnd);
  EXPECT_EQ(seen.all.size(), 3u);
}

TEST(PendingReplies, AReplyThatWasDroppedIsNobodysAnyMore) {
  PendingReplies pending;
  Seen seen;
  EXPECT_TRUE(pending.owe<int>(seen.reply()));
  pending.close(kEnd);
  EXPECT_TRUE(seen.all.empty());
}

TEST(PendingReplies, RepliesMayOutliveThem) {
  Seen seen;
  PendingReplies::Reply<int> reply;
  {
    PendingReplies pending;
    reply = pending.hold<int>(seen.reply());
  }
  reply(1);
  EXPECT_EQ(seen.all, (std::vector<std::string>{"1"}));
}

TEST(PendingReplies, ClosingWaitsForAReplyThatIsRunning) {
  PendingReplies pending;
  std::promise<void> started;
  std::promise<void> go_on;
  std::atomic<bool> ended{false};
  const auto owed = pending.owe<int>([&](const Result<int>&) {
    started.set_value();
    go_on.get_future().wait();
    ended = true;
  });
  std::thread answering([&] { owed->give(1); });
  started.get_future().wait();
  std::thread closing([&] {
    pending.close(kEnd);
    EXPECT_TRUE(ended);
  });
  // Once it has begun to close, nothing more is taken in.
  while (pending.owe<int>([](const Result<int>&) {})) std::this_thread::yield();
  go_on.set_value();
  closing.join();
  answering.join();
}

TEST(PendingReplies, EachReplyIsGivenOnceHoweverManyThreadsCompete) {
  std::atomic<int> given{0};
  for (int round = 0; round < 200; ++round) {
    PendingReplies pending;
    std::vector<PendingReplies::Reply<int>> replies;
    for (int i = 0; i < 20; ++i) {
      replies.push_back(pending.hold<int>([&](const Result<int>&) { ++given; }));
    }
    std::thread answering([&] {
      for (const auto& reply : replies) reply(1);
    });
    pending.close(kEnd);
    answering.join();
  }
  EXPECT_EQ(given, 200 * 20);
}

}  // namespace
}  // namespace hubvfs::fs
