// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_threads.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>

#include "daemon/control_socket.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::seconds;

// A command's connection: what it sends to the worker, and its own end.
struct Connection {
  Connection() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()),
              0);
    command.reset(ends[0]);
    worker.reset(ends[1]);
  }
  Message order(Bytes body = CommandRequest().encode()) {
    Message message;
    message.kind = MessageKind::kCommand;
    message.body = std::move(body);
    message.fds.push_back(std::move(worker));
    return message;
  }
  // The next thing it hears; kFailed: the worker hung up.
  Message hear() const {
    EXPECT_TRUE(wait_readable(command.get(), seconds(20)));
    auto message = receive_message(command.get());
    return message ? std::move(*message) : Message();
  }
  std::string refusal() const {
    const Message message = hear();
    EXPECT_EQ(message.kind, MessageKind::kRefused);
    return std::string(as_text(message.body));
  }
  UniqueFd command;
  UniqueFd worker;
};

NullLogger nowhere;

Result<std::string> until_cancelled(const CommandRequest&, CommandCaller& caller) {
  while (!caller.cancelled()) ::poll(nullptr, 0, 1);
  return {ErrorCode::kCancelled, ""};
}

TEST(CommandThreads, ItemsProgressAndTheSummaryComeInOrder) {
  CommandThreads threads(
      [](const CommandRequest& request, CommandCaller& caller) -> Result<std::string> {
        EXPECT_EQ(request.kind, CommandRequest::Kind::kStats);
        CommandProgress progress;
        progress.doing = "counting";
        progress.done = 1;
        progress.total = 3;
        caller.progress(progress);
        progress.done = 2;
        caller.progress(progress);  // too soon to be told
        progress.done = 3;
        caller.progress(progress);  // the end is told all the same
        for (const char* item : {"{\"n\":1}", "{\"n\":2}"}) {
          if (auto sent = caller.item(item); !sent) return sent.error();
        }
        return std::string("{}");
      },
      nowhere);
  Connection connection;
  threads.start(connection.order());
  const auto progress = CommandProgress::decode(connection.hear().body);
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->doing, "counting");
  EXPECT_EQ(progress->done, 1u);
  EXPECT_EQ(CommandProgress::decode(connection.hear().body)->done, 3u);
  EXPECT_EQ(as_text(connection.hear().body), "{\"n\":1}");
  const Message second = connection.hear();
  EXPECT_EQ(second.kind, MessageKind::kItem);
  EXPECT_EQ(as_text(second.body), "{\"n\":2}");
  EXPECT_EQ(connection.hear().kind, MessageKind::kDone);
  EXPECT_EQ(connection.hear().kind, MessageKind::kFailed) << "and that is the end of it";
}

TEST(CommandThreads, ACallerThatReadsSlowlyLosesNothing) {
  constexpr int kItems = 5000;  // more than a socket holds
  CommandThreads threads(
      [](const CommandRequest&, CommandCaller& caller) -> Result<std::string> {
        for (int i = 0; i < kItems; ++i) {
          if (auto sent = caller.item(std::string(500, 'x')); !sent) return sent.error();
        }
        return std::string("{}");
      },
      nowhere);
  Connection connection;
  threads.start(connection.order());
  for (int i = 0; i < kItems; ++i) ASSERT_EQ(connection.hear().kind, MessageKind::kItem) << i;
  EXPECT_EQ(connection.hear().kind, MessageKind::kDone);
}

TEST(CommandThreads, ACommandThatHangsUpIsCancelled) {
  std::atomic<int> ended{0};
  CommandThreads threads(
      [&ended](const CommandRequest& request, CommandCaller& caller) {
        auto answer = until_cancelled(request, caller);
        ++ended;
        return answer;
      },
      nowhere);
  {
    Connection connection;
    threads.start(connection.order());
    EXPECT_EQ(ended, 0);
  }
  while (ended == 0) ::poll(nullptr, 0, 1);
  // So is one that hangs up while it does not read what it is told.
  CommandThreads talkative(
      [&ended](const CommandRequest&, CommandCaller& caller) -> Result<std::string> {
        for (;;) {
          if (auto sent = caller.item(std::string(500, 'x')); !sent) {
            ++ended;
            return sent.error();
          }
        }
      },
      nowhere);
  {
    Connection connection;
    talkative.start(connection.order());
    connection.hear();
  }
  while (ended == 1) ::poll(nullptr, 0, 1);
}

TEST(CommandThreads, AWorkerThatEndsSaysSoToEachCommand) {
  CommandThreads threads(until_cancelled, nowhere);
  Connection first;
  Connection second;
  threads.start(first.order());
  threads.start(second.order());
  threads.stop();
  EXPECT_NE(first.refusal().find("run the same command again"), std::string::npos);
  EXPECT_NE(second.refusal().find("run the same command again"), std::string::npos);
}

TEST(CommandThreads, OnlySoManyAtATimeAndAnEndedOneMakesRoom) {
  CommandThreads threads(until_cancelled, nowhere);
  std::array<Connection, 8> running;
  for (Connection& connection : running) threads.start(connection.order());
  Connection refused;
  threads.start(refused.order());
  EXPECT_NE(refused.refusal().find("8 commands"), std::string::npos);
  running[3].command.reset();
  for (;;) {  // its thread takes a moment to notice
    Connection next;
    threads.start(next.order());
    pollfd wait{next.command.get(), POLLIN, 0};
    if (::poll(&wait, 1, 10) == 0) break;  // not refused
  }
}

TEST(CommandThreads, WhatCannotBeReadIsRefused) {
  CommandThreads threads(until_cancelled, nowhere);
  Connection connection;
  threads.start(connection.order({std::byte{1}}));
  EXPECT_NE(connection.refusal().find("another version"), std::string::npos);
}

TEST(CommandThreads, AnAnswerThatIsTooLongIsAnErrorAndNoSilence) {
  CommandThreads threads(
      [](const CommandRequest&, CommandCaller&) -> Result<std::string> {
        return std::string(8u << 20, 'x');
      },
      nowhere);
  Connection connection;
  threads.start(connection.order());
  EXPECT_NE(connection.refusal(), "");
}

TEST(CommandRequest, SurvivesItsJourneyAndATornOneIsRefused) {
  CommandRequest request;
  request.kind = CommandRequest::Kind::kStats;
  const Bytes bytes = request.encode();
  const auto back = CommandRequest::decode(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, request.kind);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(CommandRequest::decode(ByteView(bytes).first(size))) << size;
  }
  Bytes longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(CommandRequest::decode(longer));
}

}  // namespace
}  // namespace hubvfs::daemon
