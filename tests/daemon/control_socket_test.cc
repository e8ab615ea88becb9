// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "daemon/messages.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

WorkerSettings settings() {
  WorkerSettings s;
  s.endpoint = "https://hub";
  s.cache_path = "/c";
  s.hf_token = "hf_secret_of_ann";
  return s;
}

TEST(Introduction, TellsTokensApartAndGivesNoneAway) {
  const Introduction who = Introduction::of(settings());
  const Bytes bytes = who.encode();
  EXPECT_EQ(as_text(bytes).find("hf_secret"), std::string::npos);
  auto back = Introduction::decode(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->pid, ::getpid());
  EXPECT_NE(back->mount_namespace, 0u);
  EXPECT_EQ(back->settings.endpoint, "https://hub");
  EXPECT_NE(back->settings.hf_token, "");
  WorkerSettings other = settings();
  other.hf_token = "hf_secret_of_bob";
  EXPECT_NE(Introduction::of(other).settings.hf_token, back->settings.hf_token);
}

TEST(Introduction, AMountThatWouldShowSomethingElseIsRefused) {
  const Introduction running = Introduction::of(settings());
  EXPECT_TRUE(compare_settings(running, running));
  const auto refusal = [&](auto change) {
    WorkerSettings other = settings();
    change(other);
    auto compared = compare_settings(running, Introduction::of(other));
    return compared ? std::string() : compared.error().context;
  };
  const std::string endpoint = refusal([](WorkerSettings& s) { s.endpoint = "https://other"; });
  EXPECT_NE(endpoint.find("https://other"), std::string::npos);
  EXPECT_NE(endpoint.find("-o cache.path"), std::string::npos) << endpoint;
  EXPECT_NE(refusal([](WorkerSettings& s) { s.offline = true; }).find("offline"),
            std::string::npos);
  const std::string token = refusal([](WorkerSettings& s) { s.hf_token = "hf_secret_of_bob"; });
  EXPECT_NE(token.find("HF_TOKEN"), std::string::npos);
  EXPECT_EQ(token.find("hf_secret"), std::string::npos);
  Introduction elsewhere = running;
  ++elsewhere.mount_namespace;
  EXPECT_FALSE(compare_settings(running, elsewhere));
}

TEST(Introduction, WhatStaysAsItWasIsSaid) {
  const Introduction running = Introduction::of(settings());
  WorkerSettings other = settings();
  other.eviction.policy = cache::EvictionPolicy::kFifo;
  other.memory = 1u << 30;
  other.metadata_ttl_seconds = 1;
  other.metadata_settle_seconds = 1;
  other.hf_token = "";
  other.mirrors = {"https://mirror"};
  auto notes = compare_settings(running, Introduction::of(other));
  ASSERT_TRUE(notes) << notes.error().context;
  ASSERT_EQ(notes->size(), 6u);
  EXPECT_NE((*notes)[0].find("token"), std::string::npos);
  EXPECT_NE((*notes)[1].find("mirrors"), std::string::npos);
  EXPECT_NE((*notes)[2].find("evicts"), std::string::npos);
  EXPECT_NE((*notes)[3].find("memory"), std::string::npos);
  EXPECT_NE((*notes)[4].find("metadata.ttl"), std::string::npos);
  EXPECT_NE((*notes)[5].find("metadata.settle"), std::string::npos);
}

TEST(Introduction, ACommandThatAsksTheHubMeansTheDaemonsOrIsRefused) {
  const Introduction running = Introduction::of(settings());
  const auto refusal = [&](auto change) {
    WorkerSettings other = settings();
    change(other);
    auto compared = compare_hub(running, Introduction::of(other));
    return compared ? std::string() : compared.error().context;
  };
  // Nothing said: the daemon's own, whatever it is.
  EXPECT_EQ(refusal([](WorkerSettings& s) {
              s.endpoint = "https://huggingface.co";
              s.hf_token = "";
              s.memory = 1u << 30;
            }),
            "");
  EXPECT_NE(refusal([](WorkerSettings& s) { s.endpoint = "https://other"; }).find("https://other"),
            std::string::npos);
  EXPECT_NE(refusal([](WorkerSettings& s) { s.offline = true; }).find("offline"),
            std::string::npos);
  const std::string token = refusal([](WorkerSettings& s) { s.hf_token = "hf_secret_of_bob"; });
  EXPECT_NE(token.find("HF_TOKEN"), std::string::npos);
  EXPECT_EQ(token.find("hf_secret"), std::string::npos);
  // In another mount namespace there is nothing that the command would not see.
  Introduction elsewhere = running;
  ++elsewhere.mount_namespace;
  EXPECT_TRUE(compare_hub(elsewhere, running));
}

TEST(MountOrder, SurvivesItsJourneyAndATornOneIsRefused) {
  const MountOrder order{"/mnt/a b", true, {std::byte{1}, std::byte{0}}, false};
  const Bytes bytes = order.encode();
  auto back = MountOrder::decode(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->dir, order.dir);
  EXPECT_TRUE(back->allow_other);
  EXPECT_EQ(back->settings, order.settings);
  EXPECT_FALSE(back->passthrough);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(MountOrder::decode(ByteView(bytes).first(size))) << size;
  }
  EXPECT_FALSE(MountOrder::decode(MountOrder{"relative", false, {}}.encode()));
}

TEST(ControlFolder, ADaemonIsFoundAndItsEndNoticed) {
  TempDir dir;
  auto folder = ControlFolder::open(dir / "deep/cache");
  ASSERT_TRUE(folder) << folder.error().context;
  auto nobody = folder->connect();
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, ErrorCode::kNotFound);
  const std::string name = dir / "deep/cache/control.sock";
  {
    auto socket = folder->listen();
    ASSERT_TRUE(socket) << socket.error().context;
    struct stat info {};
    ASSERT_EQ(::stat(name.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    auto connection = folder->connect();
    ASSERT_TRUE(connection);
    EXPECT_EQ(peer_of(connection->get(), ::geteuid()), ::getpid());
  }
  EXPECT_EQ(::access(name.c_str(), F_OK), -1) << "the name goes with the daemon";
  EXPECT_FALSE(folder->connect());
}

TEST(ControlFolder, ADeadDaemonsSocketIsReplaced) {
  TempDir dir;
  auto folder = ControlFolder::open(dir / "cache");
  ASSERT_TRUE(folder);
  {
    auto dead = folder->listen();
    ASSERT_TRUE(dead);
    dead->disown();  // as after SIGKILL: nobody takes the name away
  }
  EXPECT_EQ(folder->connect().error().code, ErrorCode::kNotFound);
  auto socket = folder->listen();
  ASSERT_TRUE(socket) << socket.error().context;
  EXPECT_TRUE(folder->connect());
}

TEST(ControlFolder, OneCommandAtATime) {
  TempDir dir;
  auto first = ControlFolder::open(dir / "cache");
  auto second = ControlFolder::open(dir / "cache");
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(first->lock(seconds(0)));
  auto waiting = second->lock(milliseconds(30));
  ASSERT_FALSE(waiting);
  EXPECT_EQ(waiting.error().code, ErrorCode::kTimedOut);
  EXPECT_NE(waiting.error().context.find("hubvfs status"), std::string::npos);
  first->unlock();
  EXPECT_TRUE(second->lock(seconds(0)));
}

TEST(ControlFolder, AFolderThatIsNoCacheIsRefused) {
  TempDir dir;
  ASSERT_EQ(::mkdir((dir / "home").c_str(), 0700), 0);
  write_file(dir / "home/thesis.tex", "x");
  EXPECT_FALSE(ControlFolder::open(dir / "home"));
  ASSERT_EQ(::mkdir((dir / "open").c_str(), 0700), 0);
  ASSERT_EQ(::chmod((dir / "open").c_str(), 0777), 0);
  EXPECT_FALSE(ControlFolder::open(dir / "open"));
  ASSERT_EQ(::symlink("home", (dir / "link").c_str()), 0);
  EXPECT_FALSE(ControlFolder::open(dir / "link"));
}

TEST(Messages, DescriptorsTravelAndTooManyAreRefused) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd left(ends[0]);
  const UniqueFd right(ends[1]);
  const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(send_message(left.get(), MessageKind::kServe, as_bytes("x"), {file.get(), 1}));
  auto message = receive_message(right.get());
  ASSERT_TRUE(message);
  ASSERT_EQ(message->fds.size(), 2u);
  EXPECT_NE(::fcntl(message->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE(send_message(left.get(), MessageKind::kServe, {}, {1, 1, 1}));
  EXPECT_EQ(::fcntl(right.get(), F_SETFL, O_NONBLOCK), 0);
  auto nothing = receive_message(right.get());
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kTimedOut);
}

TEST(Messages, TheLastWordsOfAProcessThatLeftSomethingUnreadAreHeard) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd left(ends[0]);
  UniqueFd right(ends[1]);
  ASSERT_TRUE(send_message(left.get(), MessageKind::kServe, as_bytes("unread")));
  ASSERT_TRUE(send_message(right.get(), MessageKind::kFailed, as_bytes("why")));
  right.reset();
  auto message = receive_message(left.get());
  ASSERT_TRUE(message) << message.error().context;
  EXPECT_EQ(as_text(message->body), "why");
  EXPECT_EQ(receive_message(left.get()).error().code, ErrorCode::kNotFound);
}

// Whatever answers, the command says something that helps.
TEST(ControlSocket, AnswersOfADaemon) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd command(ends[0]);
  UniqueFd daemon(ends[1]);
  const MountOrder order{"/m", false, {}};
  ASSERT_TRUE(send_message(daemon.get(), MessageKind::kRefused, as_bytes("no such repo")));
  auto refused = ask_for_mount(command.get(), order, seconds(10));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().context, "no such repo");
  ASSERT_TRUE(send_message(daemon.get(), MessageKind::kDone, {}));
  EXPECT_TRUE(ask_for_mount(command.get(), order, seconds(10)));
  auto silent = ask_for_mount(command.get(), order, milliseconds(10));
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, ErrorCode::kTimedOut);
  ASSERT_TRUE(send_message(daemon.get(), MessageKind::kDone, as_bytes("nonsense")));
  EXPECT_FALSE(ask_introduction(command.get(), seconds(10)));
  daemon.reset();
  auto gone = ask_for_mount(command.get(), order, seconds(10));
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace hubvfs::daemon
