// SPDX-License-Identifier: Apache-2.0
// The kernel's side of a mount, with a socket in the kernel's place.
#include "fs/fuse_ops.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <future>
#include <thread>

#include "cache/memory_cache.h"
#include "fs/backend.h"
#include "fs/fuse_device.h"
#include "fs/fuse_session.h"
#include "fs/request_journal.h"
#include "tests/fs/sync_mount.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/manual_clock.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint32_t kMountNumber = 5;

template <typename Body>
Bytes request_bytes(std::uint32_t opcode, std::uint64_t unique, std::uint64_t node,
                    const Body& body) {
  fuse_in_header header{};
  header.len = sizeof header + sizeof body;
  header.opcode = opcode;
  header.unique = unique;
  header.nodeid = node;
  Bytes bytes(header.len);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &body, sizeof body);
  return bytes;
}

Bytes init_request() {
  fuse_init_in init{};
  init.major = 7;
  init.minor = 31;
  init.max_readahead = 128 << 10;
  return request_bytes(FUSE_INIT, 1, 0, init);
}

class FuseOpsTest : public testing::Test {
 protected:
  void SetUp() override {
    hub_->commit({hub::RepoType::kModel, "acme/llm"}, {{"config.json", {"{}", false}}});
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    kernel_.reset(ends[0]);
    device_.reset(ends[1]);
    const timeval limit{20, 0};
    ASSERT_EQ(::setsockopt(kernel_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);

    FuseSessionOptions session;
    session.dev_fd = device_.get();
    session.init_request = init_request();
    session.threads = 2;
    std::promise<void> ready;
    session.on_ready = [&ready] { ready.set_value(); };
    session.number = kMountNumber;
    session.journal = journal_.get();
    session_ = *FuseSession::create(session, log_);
    BackendOptions options;
    options.endpoint = "http://hub";
    options.open_table = table_.get();
    backend_ = *Backend::create(options, {*hub_, *hub_}, store_, meta_, log_, clock_);
    operations_ =
        *backend_->mount({hub::RepoType::kModel, false, {}, kMountNumber}, session_->notifier());
    file_ = SyncMount(operations_).walk("acme/llm/config.json");
    serving_ = std::thread([this] { EXPECT_TRUE(session_->run(*operations_)); });
    EXPECT_EQ(receive().unique, 1u) << "INIT";
    ready.get_future().wait();
  }
  void TearDown() override {
    stop_serving();
    backend_->close();
    hub_.reset();
  }
  void stop_serving() {
    session_->stop();
    if (serving_.joinable()) serving_.join();
  }

  template <typename Body>
  void send(std::uint32_t opcode, NodeId node, const Body& body) {
    send_as(++unique_, opcode, node, body);
  }
  template <typename Body>
  void send_as(std::uint64_t unique, std::uint32_t opcode, NodeId node, const Body& body) {
    const Bytes bytes = request_bytes(opcode, unique, node.raw(), body);
    ASSERT_EQ(::send(kernel_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  fuse_out_header receive() {
    fuse_open_out ignored{};
    return receive(ignored);
  }
  template <typename Body>
  fuse_out_header receive(Body& body) {
    std::array<std::byte, 65536> bytes{};
    fuse_out_header header{};
    header.unique = ~std::uint64_t{0};  // nothing came
    if (::recv(kernel_.get(), bytes.data(), bytes.size(), 0) >=
        static_cast<ssize_t>(sizeof header)) {
      std::memcpy(&header, bytes.data(), sizeof header);
      std::memcpy(&body, bytes.data() + sizeof header, sizeof body);
    }
    return header;
  }
  // The next that is an answer: between them the kernel may be told to forget something.
  fuse_out_header answer() {
    fuse_open_out ignored{};
    return answer(ignored);
  }
  template <typename Body>
  fuse_out_header answer(Body& body) {
    fuse_out_header header = receive(body);
    while (header.unique == 0) header = receive(body);
    return header;
  }
  void await_answered(std::uint64_t count) {
    while (journal_->counts().answered < count)
      std::this_thread::yield();  // the answer is sent first
  }

  UniqueFd kernel_;
  UniqueFd device_;
  std::uint64_t unique_ = 1;
  ManualClock clock_;
  NullLogger log_;
  std::unique_ptr<OpenTable> table_ = *OpenTable::make_private(log_);
  const UniqueFd journal_memory_ = *RequestJournal::create();
  std::unique_ptr<RequestJournal> journal_ = *RequestJournal::map(journal_memory_.get());
  NodeId file_;
  cache::MemoryMetaStore meta_;
  cache::MemoryBlobStore store_{256 * 1024, 0};
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<FuseSession> session_;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<Operations> operations_;
  std::thread serving_;
};

TEST_F(FuseOpsTest, EveryAnswerIsCountedButThatOfInit) {
  EXPECT_EQ(journal_->counts().answered, 0u);
  send(FUSE_GETATTR, kRoot, fuse_getattr_in{});
  EXPECT_EQ(receive().error, 0);
  await_answered(1);
  send(FUSE_GETATTR, {false, 77, 0}, fuse_getattr_in{});
  EXPECT_EQ(receive().error, -ESTALE) << "an error is an answer";
  await_answered(2);
  send(FUSE_FLUSH, file_, fuse_flush_in{});
  EXPECT_EQ(receive().error, -ENOSYS) << "and so is libfuse's own";
  await_answered(3);
  EXPECT_EQ(journal_->counts().answered, 3u);
}

TEST_F(FuseOpsTest, ANotificationIsNoAnswer) {
  session_->notifier().invalidate_entry(kRoot.raw(), "acme");
  const fuse_out_header notification = receive();
  EXPECT_EQ(notification.unique, 0u);
  EXPECT_EQ(notification.error, FUSE_NOTIFY_INVAL_ENTRY);
  send(FUSE_GETATTR, kRoot, fuse_getattr_in{});
  EXPECT_EQ(receive().unique, unique_);
  stop_serving();
  EXPECT_EQ(journal_->counts().answered, 1u);
}

TEST_F(FuseOpsTest, AnOpenIsCountedBeforeItsAnswer) {
  fuse_open_in open{};
  open.flags = O_RDONLY;
  send(FUSE_OPEN, file_, open);
  fuse_open_out opened{};
  EXPECT_EQ(answer(opened).error, 0);
  EXPECT_EQ(table_->count(kMountNumber, file_.raw()), 1u);
  fuse_release_in release{};
  release.fh = opened.fh;
  // Many, since the answer is seen by another thread than the one that counts.
  for (int i = 0; i < 100; ++i) {
    send(FUSE_RELEASE, file_, release);
    EXPECT_EQ(answer().error, 0);
    ASSERT_EQ(table_->total(kMountNumber), 0u) << "and so is a close";
    send(FUSE_OPEN, file_, open);
    EXPECT_EQ(answer(opened).error, 0);
    ASSERT_EQ(table_->total(kMountNumber), 1u);
    release.fh = opened.fh;
  }
}

TEST_F(FuseOpsTest, AnOpenOrReleaseSentAgainIsCountedOnce) {
  fuse_open_in open{};
  open.flags = O_RDONLY;
  fuse_release_in release{};
  for (const std::uint64_t unique : {std::uint64_t{100}, std::uint64_t{102}}) {
    for (const std::uint64_t sent_as : {unique, unique | kResentBit, unique | kResentBit}) {
      send_as(sent_as, FUSE_OPEN, file_, open);
      fuse_open_out opened{};
      EXPECT_EQ(answer(opened).error, 0);
      EXPECT_EQ(opened.fh, unique);
    }
  }
  EXPECT_EQ(table_->count(kMountNumber, file_.raw()), 2u);
  release.fh = 102;
  for (const std::uint64_t sent_as : {std::uint64_t{104}, 104 | kResentBit}) {
    send_as(sent_as, FUSE_RELEASE, file_, release);
    EXPECT_EQ(answer().error, 0);
  }
  EXPECT_EQ(table_->count(kMountNumber, file_.raw()), 1u);
}

TEST_F(FuseOpsTest, AnOpenThatFailsWhenSentAgainIsNotOpen) {
  const NodeId gone{false, 77, 5};
  table_->open(kMountNumber, gone.raw(), {100});  // by a worker that died before the answer
  fuse_open_in open{};
  open.flags = O_RDONLY;
  send_as(100 | kResentBit, FUSE_OPEN, gone, open);
  EXPECT_EQ(answer().error, -ESTALE);
  EXPECT_EQ(table_->total(kMountNumber), 0u);
}

TEST_F(FuseOpsTest, AnOpenForWritingIsRefusedAndNotCounted) {
  fuse_open_in open{};
  open.flags = O_RDWR;
  send(FUSE_OPEN, file_, open);
  EXPECT_EQ(answer().error, -EROFS);
  await_answered(1);
  EXPECT_EQ(table_->total(kMountNumber), 0u);
}

// `ls -l` asks every file for these, until it hears that there is no such kind here.
TEST_F(FuseOpsTest, AttributesOfTheSystemAreNotSupported) {
  struct Ask {
    fuse_getxattr_in in{};
    std::array<char, 32> name{};
  };
  for (const auto& [name, error] :
       {std::pair("security.selinux", -EOPNOTSUPP),
        std::pair("system.posix_acl_access", -EOPNOTSUPP), std::pair("user.other", -ENODATA)}) {
    Ask ask;
    std::strcpy(ask.name.data(), name);
    send(FUSE_GETXATTR, file_, ask);
    EXPECT_EQ(answer().error, error) << name;
  }
}

TEST_F(FuseOpsTest, AParkedRequestIsAnsweredWhenItsMountIsClosed) {
  hub_->hold_metadata(true);
  const std::array<char, 6> name{'o', 't', 'h', 'e', 'r', '\0'};
  send(FUSE_LOOKUP, kRoot, name);
  send(FUSE_GETATTR, kRoot, fuse_getattr_in{});
  // Taken or not by now, it is not answered by the Hub.
  EXPECT_EQ(answer().unique, unique_);
  operations_->close();
  const fuse_out_header parked = answer();
  EXPECT_EQ(parked.unique, unique_ - 1);
  EXPECT_EQ(parked.error, -EIO);
  hub_->hold_metadata(false);
}

}  // namespace
}  // namespace hubvfs::fs
