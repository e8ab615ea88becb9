// SPDX-License-Identifier: Apache-2.0
// What only the kernel can do: it sends an OPEN again as the same handle, and no longer takes the
// answer of the first.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "fs/fuse_device.h"
#include "fs/fuse_session.h"
#include "fs/operations.h"
#include "fs/request_journal.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::fs {
namespace {

const NodeId kFile{false, 1, 1};

// A root with one file, whose opens are parked.
class ParkedOpens final : public Operations {
 public:
  void close() override {}
  void check_root(Done reply) override { reply({}); }
  void lookup(NodeId, const std::string& name, Reply<Entry> reply) override {
    Entry entry = entry_of(kFile);
    entry.exists = name == "file";
    reply(entry);
  }
  void getattr(NodeId node, Reply<Entry> reply) override { reply(entry_of(node)); }
  void readlink(NodeId, Reply<std::string> reply) override { reply(refused()); }
  void opendir(NodeId, Reply<OpenFlags> reply) override { reply(OpenFlags{}); }
  void readdir(NodeId, std::uint64_t, Fill, Done reply) override { reply({}); }
  void open(NodeId, Handle handle, Reply<OpenFlags> reply) override {
    MutexLock lock(mutex_);
    parked_.emplace_back(handle, std::move(reply));
  }
  void release(NodeId, Handle handle) override {
    MutexLock lock(mutex_);
    released_.push_back(handle);
  }
  void read(NodeId, Handle, std::uint64_t, std::size_t, std::uint32_t,
            std::function<void(const Result<ByteView>&)> reply) override {
    reply(ByteView());
  }
  void getxattr(NodeId, const std::string&, Reply<std::string> reply) override { reply(refused()); }
  void listxattr(NodeId, Reply<std::vector<std::string>> reply) override { reply(refused()); }
  FilesystemSpace space() const override { return {}; }
  void set_passthrough(bool, const std::string&) override {}
  std::string status_json() const override { return "{}"; }

  std::size_t parked() const {
    MutexLock lock(mutex_);
    return parked_.size();
  }
  Handle handle(std::size_t index) const {
    MutexLock lock(mutex_);
    return parked_.at(index).first;
  }
  std::vector<Handle> released() const {
    MutexLock lock(mutex_);
    return released_;
  }
  void answer(std::size_t index) {
    Reply<OpenFlags> reply;
    {
      MutexLock lock(mutex_);
      reply = parked_.at(index).second;
    }
    reply(OpenFlags{});
  }

 private:
  static Error refused() { return {ErrorCode::kUnsupported, "not here"}; }
  static Entry entry_of(NodeId node) {
    Entry entry;
    entry.attributes.node = node;
    entry.attributes.kind = node == kFile ? Attributes::Kind::kFile : Attributes::Kind::kDirectory;
    entry.attributes.mode = node == kFile ? S_IFREG | 0444 : S_IFDIR | 0555;
    return entry;
  }

  mutable Mutex mutex_;
  std::vector<std::pair<Handle, Reply<OpenFlags>>> parked_ GUARDED_BY(mutex_);
  std::vector<Handle> released_ GUARDED_BY(mutex_);
};

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 4000; ++i) {
    if (condition()) return true;
    ::usleep(5000);
  }
  return false;
}

TEST(FuseResend, AnOpenSentAgainIsOneHandleAndReleasedOnce) {
  UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device || ::geteuid() != 0) GTEST_SKIP() << "needs root and /dev/fuse";
  const TempDir dir;
  const std::string options =
      "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=0,group_id=0";
  ASSERT_EQ(::mount("hubvfs", dir.path().c_str(), "fuse.hubvfs", MS_RDONLY | MS_NOSUID | MS_NODEV,
                    options.c_str()),
            0);
  const auto init = read_init_request(device.get(), std::chrono::seconds(20));
  NullLogger log;
  const UniqueFd journal_memory = *RequestJournal::create();
  const auto journal = *RequestJournal::map(journal_memory.get());
  FuseSessionOptions session_options;
  session_options.journal = journal.get();
  session_options.dev_fd = device.get();
  if (init) session_options.init_request = *init;
  const auto session = FuseSession::create(session_options, log);
  ParkedOpens operations;
  std::thread serving;
  pid_t opener = -1;
  const auto end = [&] {
    if (opener > 0) ::kill(opener, SIGKILL);
    ::umount2(dir.path().c_str(), MNT_DETACH);
    if (session) (*session)->stop();
    if (serving.joinable()) serving.join();
    // The connection goes with its last descriptor, and with it whoever still waits.
    device.reset();
  };
  if (!init || !session || !offers_resend(*init)) {
    end();
    GTEST_SKIP() << "this kernel sends nothing again";
  }
  // Before any thread of this process, which must not touch the mount itself.
  opener = ::fork();
  if (opener == 0) {
    device.reset();  // whoever holds it keeps the connection alive
    const int fd = ::open((dir.path() + "/file").c_str(), O_RDONLY);
    ::_exit(fd >= 0 ? 0 : 1);
  }
  serving = std::thread([&] { EXPECT_TRUE((*session)->run(operations)); });
  EXPECT_TRUE(eventually([&] { return operations.parked() == 1; }));
  EXPECT_TRUE(write_resend(device.get()));
  EXPECT_TRUE(eventually([&] { return operations.parked() == 2; }));
  const Handle handle = operations.handle(0);
  EXPECT_NE(handle.number, 0u);
  EXPECT_EQ(operations.handle(1), handle);
  operations.answer(1);
  int status = -1;
  EXPECT_TRUE(eventually([&] { return ::waitpid(opener, &status, WNOHANG) == opener; }));
  opener = -1;
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(eventually([&] { return !operations.released().empty(); })) << "at its close";
  operations.answer(0);  // the kernel knows that request no more
  EXPECT_EQ(operations.released(), std::vector{handle});
  end();
}

}  // namespace
}  // namespace hubvfs::fs
