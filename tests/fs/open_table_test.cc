// SPDX-License-Identifier: Apache-2.0
#include "fs/open_table.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kNode = 0x1234'0000'0007;

class CountingLogger final : public Logger {
 public:
  void write(LogLevel, std::string_view line) override {
    ++lines;
    last = line;
  }
  int lines = 0;
  std::string last;
};

class OpenTableTest : public testing::Test {
 protected:
  std::unique_ptr<OpenTable> map() { return *OpenTable::map(memory_.get(), log_); }
  // Writes over the header, whose fields lie at fixed places.
  template <typename Int>
  void poke(off_t offset, Int value) {
    ASSERT_EQ(::pwrite(memory_.get(), &value, sizeof value, offset),
              static_cast<ssize_t>(sizeof value));
  }

  CountingLogger log_;
  UniqueFd memory_ = std::move(*OpenTable::create_memfd());
};

TEST_F(OpenTableTest, TellsTheNodesOfAMountThatHaveHandles) {
  const auto table = map();
  const auto keepers = map();
  using Nodes = std::unordered_set<std::uint64_t>;
  EXPECT_EQ(*keepers->open_nodes(1), Nodes());
  table->open(1, kNode, {2});
  table->open(1, kNode, {4});
  table->open(1, kNode + 1, {6});
  table->open(2, kNode + 2, {8});
  EXPECT_EQ(*keepers->open_nodes(1), (Nodes{kNode, kNode + 1}));
  table->close(1, kNode, {2});
  table->close(1, kNode + 1, {6});
  EXPECT_EQ(*keepers->open_nodes(1), Nodes{kNode});
  EXPECT_EQ(*keepers->open_nodes(2), Nodes{kNode + 2});
}

TEST_F(OpenTableTest, ANodeThatHasAHandleAllTheTimeIsNeverMissed) {
  const auto table = map();
  const auto keepers = map();
  // So that each new handle lies below the one before, whose place is looked at later.
  for (std::uint64_t i = 0; i < 2000; ++i) table->open(1, 1, {2 * i});
  for (std::uint64_t i = 0; i < 2000; ++i) table->close(1, 1, {2 * i});
  table->open(1, kNode, {9});
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    std::uint64_t handle = 10'001;
    std::uint64_t before = 9;
    while (!stop) {
      table->open(1, kNode, {handle});
      table->close(1, kNode, {before});
      before = std::exchange(handle, handle + 2);
    }
  });
  for (int i = 0; i < 20'000; ++i) {
    const auto nodes = keepers->open_nodes(1);
    EXPECT_TRUE(!nodes || nodes->contains(kNode)) << i;
  }
  stop = true;
  worker.join();
  EXPECT_EQ(*keepers->open_nodes(1), std::unordered_set<std::uint64_t>{kNode});
}

TEST_F(OpenTableTest, CountsHandlesByMountAndNode) {
  const auto table = map();
  EXPECT_EQ(table->count(1, kNode), 0u);
  table->open(1, kNode, {2});
  table->open(1, kNode, {4});
  table->open(2, kNode, {2});
  table->open(1, kNode + 1, {6});
  EXPECT_EQ(table->count(1, kNode), 2u);
  EXPECT_EQ(table->count(2, kNode), 1u);
  EXPECT_EQ(table->total(1), 3u);
  EXPECT_EQ(table->total(2), 1u);
  EXPECT_EQ(table->close(1, kNode, {2}), 1u);
  EXPECT_EQ(table->close(1, kNode, {4}), 0u);
  EXPECT_EQ(table->count(1, kNode), 0u);
  EXPECT_EQ(table->total(1), 1u);
  EXPECT_FALSE(table->overflowed());
  EXPECT_EQ(log_.lines, 0) << log_.last;
}

TEST_F(OpenTableTest, AHandleIsOpenedAndClosedOnceHoweverOften) {
  auto table = map();
  for (int i = 0; i < 3; ++i) {
    table->open(1, kNode, {2});
    table->open(1, kNode, {4});
    EXPECT_EQ(table->total(1), 2u);
    EXPECT_EQ(table->count(1, kNode), 2u);
    table = map();  // by the next worker too
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(table->close(1, kNode, {4}), 1u);
    EXPECT_EQ(table->close(1, kNode, {6}), 1u) << "one that never was";
    EXPECT_EQ(table->close(2, kNode, {2}), 0u) << "nor in this mount";
    EXPECT_EQ(table->total(1), 1u);
    table = map();
  }
  EXPECT_EQ(table->count(1, kNode), 1u);
}

TEST_F(OpenTableTest, TheNextProcessFindsAndReleasesWhatWasOpen) {
  auto table = map();
  for (std::uint64_t i = 0; i < 1000; ++i) table->open(1, i % 10, {i});
  for (std::uint64_t i = 0; i < 1000; i += 20) table->close(1, i % 10, {i});
  table.reset();  // as dead as a worker can be: nothing is closed
  table = map();
  EXPECT_EQ(table->total(1), 950u);
  EXPECT_EQ(table->count(1, 0), 50u);
  EXPECT_EQ(table->count(1, 1), 100u);
  for (std::uint64_t i = 0; i < 1000; ++i) table->close(1, i % 10, {i});
  EXPECT_EQ(table->total(1), 0u);
  for (std::uint64_t i = 0; i < OpenTable::kCapacity; ++i) table->open(1, i, {i});
  EXPECT_FALSE(table->overflowed()) << "entries of the dead worker are used again";
}

// A request of the kernel: an OPEN and a RELEASE in turn, of which the RELEASE ends a handle made
// `kOpen` opens ago.
struct Request {
  static constexpr std::uint64_t kNodes = 7;
  static constexpr std::uint64_t kOpen = 40;

  explicit Request(std::uint64_t number)
      : opens(number % 2 == 0), handle{opens ? number : number - 1 - 2 * kOpen} {}
  std::uint64_t node() const { return handle.number % kNodes; }
  void serve(OpenTable& table) const {
    if (opens) {
      table.open(1, node(), handle);
    } else {
      table.close(1, node(), handle);
    }
  }

  bool opens;
  Handle handle;
};

TEST_F(OpenTableTest, CountsAreExactWheneverAProcessIsKilled) {
  void* memory = ::mmap(nullptr, sizeof(std::atomic<std::uint64_t>), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto& in_hand = *static_cast<std::atomic<std::uint64_t>*>(memory);  // not answered
  in_hand = 2 * Request::kOpen;
  for (unsigned round = 0; round < 200; ++round) {
    const std::uint64_t first = in_hand;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const auto table = map();
      for (;; ++in_hand) Request(in_hand).serve(*table);  // the killed one's is sent again
    }
    while (in_hand < first + 10) std::this_thread::yield();
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    const auto table = map();
    Request(in_hand).serve(*table);
    std::map<std::uint64_t, std::uint32_t> wanted;
    std::uint64_t handles = 0;
    for (std::uint64_t n = in_hand - 2 * Request::kOpen; n <= in_hand; ++n) {
      const bool closed = n + 1 + 2 * Request::kOpen <= in_hand;
      if (!Request(n).opens || closed || n < 2 * Request::kOpen) continue;
      ++wanted[Request(n).node()];
      ++handles;
    }
    ASSERT_EQ(table->total(1), handles) << "round " << round;
    for (std::uint64_t node = 0; node < Request::kNodes; ++node) {
      ASSERT_EQ(table->count(1, node), wanted[node]) << "round " << round << ", node " << node;
    }
  }
  EXPECT_FALSE(map()->overflowed());
  EXPECT_EQ(log_.lines, 0) << log_.last;
  ::munmap(memory, sizeof(std::atomic<std::uint64_t>));
}

TEST_F(OpenTableTest, AnEntryThatAKilledProcessHadNotFinishedIsFree) {
  map()->open(1, kNode, {2});
  poke<std::uint32_t>(32, 3);                           // entries in use
  poke<std::uint64_t>(64 + 24 + 8, kNode);              // the second's node
  poke<std::uint64_t>(64 + 24 + 16, std::uint64_t{4});  // and handle
  const auto table = map();
  EXPECT_EQ(table->count(1, kNode), 1u);
  EXPECT_EQ(table->total(1), 1u);
  for (std::uint64_t i = 1; i < OpenTable::kCapacity; ++i) table->open(1, kNode, {2 + 2 * i});
  EXPECT_EQ(table->count(1, kNode), OpenTable::kCapacity);
  EXPECT_FALSE(table->overflowed());
}

TEST_F(OpenTableTest, AFullTableSaysSoUntilWhatFoundNoEntryIsClosed) {
  const auto table = map();
  for (std::uint64_t i = 0; i < OpenTable::kCapacity; ++i) table->open(1, i, {i});
  EXPECT_FALSE(table->overflowed());
  for (int i = 0; i < 3; ++i) {
    table->open(1, 5, {900'000});
    table->open(1, 6, {900'001});
    table->open(1, 7, {7});
    EXPECT_TRUE(table->overflowed());
  }
  EXPECT_EQ(log_.lines, 1) << "said once";
  EXPECT_EQ(table->count(1, 5), 1u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(table->close(1, 5, {900'000}), 1u);
    EXPECT_EQ(table->close(1, 5, {900'002}), 1u) << "one that never was";
    EXPECT_TRUE(table->overflowed());
  }
  EXPECT_EQ(table->close(1, 6, {900'001}), 1u);
  EXPECT_FALSE(table->overflowed());
  table->close(1, 7, {7});
  table->open(1, 7, {900'004});
  EXPECT_EQ(table->count(1, 7), 1u);
  EXPECT_FALSE(table->overflowed());
  table->open(1, 8, {900'006});
  table->open(2, 8, {900'006});
  table->forget_mount(1);
  EXPECT_TRUE(table->overflowed());
  table->close(2, 8, {900'006});
  EXPECT_FALSE(table->overflowed());
}

TEST_F(OpenTableTest, WhatADeadWorkerCouldNotRecordKeepsItOverflowed) {
  auto table = map();
  for (std::uint64_t i = 0; i <= OpenTable::kCapacity; ++i) table->open(1, i, {i});
  table = map();
  for (int again = 0; again < 2; ++again) {
    for (std::uint64_t i = 0; i <= OpenTable::kCapacity; ++i) table->close(1, i, {i});
    EXPECT_TRUE(table->overflowed());
  }
  EXPECT_EQ(table->total(1), 0u);
}

TEST_F(OpenTableTest, EntriesAreUsedAgain) {
  const auto table = map();
  for (std::uint64_t i = 0; i < 5ull * OpenTable::kCapacity; ++i) {
    table->open(1, kNode, {i});
    table->close(1, kNode, {i});
  }
  EXPECT_FALSE(table->overflowed());
  EXPECT_EQ(table->total(1), 0u);
}

TEST_F(OpenTableTest, AMountForgottenByTheKeeperIsForgottenForTheWorker) {
  const auto worker = map();
  const auto keeper = map();
  for (std::uint64_t i = 0; i < OpenTable::kCapacity - 1; ++i) worker->open(1, i, {i});
  worker->open(2, kNode, {2});
  EXPECT_EQ(keeper->total(2), 1u);
  EXPECT_EQ(keeper->total(1), OpenTable::kCapacity - 1);
  keeper->forget_mount(1);
  EXPECT_EQ(worker->total(1), 0u);
  EXPECT_EQ(worker->count(1, 3), 0u);
  EXPECT_EQ(worker->close(1, 3, {3}), 0u) << "a release that comes late";
  EXPECT_EQ(worker->count(2, kNode), 1u);
  worker->open(3, 3, {3});
  worker->open(3, 4, {4});
  EXPECT_EQ(keeper->total(3), 2u);
  EXPECT_FALSE(keeper->overflowed()) << "its entries are free";
  worker->open(1, 3, {3});
  EXPECT_EQ(keeper->total(1), 1u) << "the next connection gives the same numbers";
  keeper->forget_mount(1);
  worker->open(1, 3, {3});
  EXPECT_EQ(keeper->total(1), 1u);
  EXPECT_EQ(worker->count(1, 3), 1u);
}

TEST_F(OpenTableTest, AHeaderOfAnotherVersionMeansThatEverythingMayBeOpen) {
  const std::vector<std::function<void()>> wrong = {
      [&] { poke<std::uint64_t>(0, 0x6873'6261'6567'6264); },
      [&] { poke<std::uint32_t>(8, 1); },
      [&] { poke<std::uint32_t>(12, 128); },
      [&] { poke<std::uint32_t>(16, 16); },
      [&] { poke<std::uint32_t>(20, 1024); },
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    memory_ = std::move(*OpenTable::create_memfd());
    map()->open(1, kNode, {2});
    wrong[i]();
    log_.lines = 0;
    const auto table = map();
    EXPECT_TRUE(table->overflowed()) << i;
    EXPECT_EQ(log_.lines, 1) << i;
    EXPECT_EQ(table->total(1), 0u) << i;
    table->open(1, kNode, {2});
    EXPECT_EQ(table->count(1, kNode), 1u) << i;
    table->close(1, kNode, {2});
    table->close(1, kNode, {4});
    EXPECT_TRUE(table->overflowed()) << i << ": nobody knows what else is open";
    EXPECT_TRUE(map()->overflowed()) << i;
    EXPECT_EQ(log_.lines, 1) << i << ": it fits now";
  }
}

TEST_F(OpenTableTest, MemoryThatWasNeverATableIsNoEmptyTable) {
  const off_t size = ::lseek(memory_.get(), 0, SEEK_END);
  memory_.reset(::memfd_create("zeros", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(memory_.get(), size), 0);
  EXPECT_TRUE(map()->overflowed());
  ASSERT_EQ(::ftruncate(memory_.get(), size - 24), 0);
  const auto small = OpenTable::map(memory_.get(), log_);
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(OpenTable::map(-1, log_));
}

TEST_F(OpenTableTest, ItsMemoryCannotBeMadeSmallerUnderTheKeeper) {
  EXPECT_NE(::ftruncate(memory_.get(), 0), 0);
}

TEST_F(OpenTableTest, WhatAWorkerWroteCannotLeadTheKeeperAstray) {
  map()->open(1, kNode, {2});
  poke<std::uint32_t>(32, 0xffff'ffff);  // entries in use
  const auto table = map();
  EXPECT_EQ(table->total(1), 1u);
  EXPECT_EQ(table->count(1, kNode), 1u);
  table->forget_mount(1);
  EXPECT_EQ(table->total(1), 0u);
  table->open(1, kNode + 1, {4});
  EXPECT_EQ(table->count(1, kNode + 1), 1u);
}

TEST_F(OpenTableTest, ManyThreadsCountRight) {
  const auto table = map();
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (std::uint64_t n = 0; n < 2000; ++n) {
        const Handle handle{i * 10'000 + n};
        table->open(1, n % 50, handle);
        table->open(2, handle.number, handle);
        if (n % 2 == 0) table->close(1, n % 50, handle);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(table->total(1), 8u * 1000);
  EXPECT_EQ(table->total(2), 8u * 2000);
  EXPECT_EQ(table->count(1, 1), 8u * 40);
  EXPECT_EQ(table->count(1, 2), 0u);
}

}  // namespace
}  // namespace hubvfs::fs
