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
#include <string>
#include <thread>
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

TEST_F(OpenTableTest, CountsHandlesByMountAndNode) {
  const auto table = map();
  EXPECT_EQ(table->count(1, kNode), 0u);
  table->open(1, kNode);
  table->open(1, kNode);
  table->open(2, kNode);
  table->open(1, kNode + 1);
  EXPECT_EQ(table->count(1, kNode), 2u);
  EXPECT_EQ(table->count(2, kNode), 1u);
  EXPECT_EQ(table->total(1), 3u);
  EXPECT_EQ(table->total(2), 1u);
  EXPECT_EQ(table->close(1, kNode), 1u);
  EXPECT_EQ(table->close(1, kNode), 0u);
  EXPECT_EQ(table->count(1, kNode), 0u);
  EXPECT_EQ(table->close(1, kNode), 0u) << "never below zero";
  EXPECT_EQ(table->total(1), 1u);
  EXPECT_FALSE(table->overflowed());
  EXPECT_EQ(log_.lines, 0) << log_.last;
}

TEST_F(OpenTableTest, TheNextProcessFindsAndReleasesWhatWasOpen) {
  auto table = map();
  for (std::uint64_t node = 0; node < 1000; ++node) table->open(1, node);
  for (std::uint64_t node = 0; node < 1000; node += 2) table->close(1, node);
  table.reset();  // as dead as a worker can be: nothing is closed
  table = map();
  EXPECT_EQ(table->total(1), 500u);
  for (std::uint64_t node = 1; node < 1000; node += 2) {
    EXPECT_EQ(table->count(1, node), 1u) << node;
    EXPECT_EQ(table->close(1, node), 0u);
  }
  EXPECT_EQ(table->total(1), 0u);
  for (std::uint64_t node = 0; node < OpenTable::kCapacity; ++node) table->open(1, node);
  EXPECT_FALSE(table->overflowed()) << "entries of the dead worker are used again";
}

// What a child did before it was killed at some moment.
struct Progress {
  std::atomic<std::uint64_t> opening, opened, closing, closed;
};

TEST_F(OpenTableTest, AKilledProcessLeavesNoCountTooLowAndOneTooHighAtMost) {
  void* memory =
      ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto& progress = *static_cast<Progress*>(memory);
  std::uint64_t kept = 0;  // too high in earlier rounds
  for (unsigned round = 0; round < 30; ++round) {
    const std::uint64_t before = map()->total(1);
    progress.opening = progress.opened = progress.closing = progress.closed = 0;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const auto table = map();
      for (std::uint64_t i = 0;; ++i) {
        ++progress.opening;
        table->open(1, i % 97);
        ++progress.opened;
        if (i % 3 == 0) continue;
        ++progress.closing;
        table->close(1, i % 97);
        ++progress.closed;
      }
    }
    while (progress.opened < 50 * (round + 1)) std::this_thread::yield();
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    const auto table = map();
    EXPECT_GE(table->total(1), before + progress.opened - progress.closing);
    EXPECT_LE(table->total(1), before + progress.opening - progress.closed);
    std::uint64_t sum = 0;
    for (std::uint64_t node = 0; node < 97; ++node) sum += table->count(1, node);
    EXPECT_EQ(sum, table->total(1)) << "one entry a node";
    kept = sum;
  }
  EXPECT_GT(kept, 0u);
  map()->forget_mount(1);
  EXPECT_EQ(map()->total(1), 0u);
  EXPECT_EQ(log_.lines, 0) << log_.last;
  ::munmap(memory, sizeof(Progress));
}

TEST_F(OpenTableTest, AFullTableSaysSoUntilWhatFoundNoEntryIsClosed) {
  const auto table = map();
  for (std::uint64_t node = 0; node < OpenTable::kCapacity; ++node) table->open(1, node);
  EXPECT_FALSE(table->overflowed());
  table->open(1, 900'000);
  table->open(1, 900'001);
  EXPECT_TRUE(table->overflowed());
  EXPECT_EQ(log_.lines, 1) << "said once";
  EXPECT_EQ(table->count(1, 900'000), 0u);
  table->open(1, 5);
  EXPECT_EQ(table->count(1, 5), 2u) << "what has an entry is counted";
  EXPECT_EQ(table->close(1, 900'000), 0u);
  EXPECT_TRUE(table->overflowed());
  EXPECT_EQ(table->close(1, 900'001), 0u);
  EXPECT_FALSE(table->overflowed());
  table->close(1, 7);
  table->open(1, 900'002);
  EXPECT_EQ(table->count(1, 900'002), 1u);
  EXPECT_FALSE(table->overflowed());
}

TEST_F(OpenTableTest, EntriesAreUsedAgain) {
  const auto table = map();
  for (std::uint64_t node = 0; node < 5ull * OpenTable::kCapacity; ++node) {
    table->open(1, node);
    table->close(1, node);
  }
  EXPECT_FALSE(table->overflowed());
  EXPECT_EQ(table->total(1), 0u);
}

TEST_F(OpenTableTest, AMountForgottenByTheKeeperIsForgottenForTheWorker) {
  const auto worker = map();
  const auto keeper = map();
  for (std::uint64_t node = 0; node < OpenTable::kCapacity - 1; ++node) worker->open(1, node);
  worker->open(2, kNode);
  EXPECT_EQ(keeper->count(2, kNode), 1u);
  EXPECT_EQ(keeper->total(1), OpenTable::kCapacity - 1);
  keeper->forget_mount(1);
  EXPECT_EQ(worker->total(1), 0u);
  EXPECT_EQ(worker->count(1, 3), 0u);
  EXPECT_EQ(worker->close(1, 3), 0u) << "a release that comes late";
  EXPECT_EQ(worker->count(2, kNode), 1u);
  worker->open(3, 3);
  worker->open(3, 4);
  EXPECT_EQ(keeper->total(3), 2u);
  EXPECT_FALSE(keeper->overflowed()) << "its entries are free";
  worker->open(1, 3);
  EXPECT_EQ(keeper->count(1, 3), 1u);
}

TEST_F(OpenTableTest, AHeaderOfAnotherVersionMeansThatEverythingMayBeOpen) {
  const std::vector<std::function<void()>> wrong = {
      [&] { poke<std::uint64_t>(0, 0x6873'6261'6567'6264); },
      [&] { poke<std::uint32_t>(8, 2); },
      [&] { poke<std::uint32_t>(12, 128); },
      [&] { poke<std::uint32_t>(16, 16); },
      [&] { poke<std::uint32_t>(20, 1024); },
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    memory_ = std::move(*OpenTable::create_memfd());
    map()->open(1, kNode);
    wrong[i]();
    log_.lines = 0;
    const auto table = map();
    EXPECT_TRUE(table->overflowed()) << i;
    EXPECT_EQ(log_.lines, 1) << i;
    EXPECT_EQ(table->total(1), 0u) << i;
    table->open(1, kNode);
    EXPECT_EQ(table->count(1, kNode), 1u) << i;
    table->close(1, kNode);
    table->close(1, kNode);
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
  map()->open(1, kNode);
  poke<std::uint32_t>(32, 0xffff'ffff);  // entries in use
  const auto table = map();
  EXPECT_EQ(table->total(1), 1u);
  EXPECT_EQ(table->count(1, kNode), 1u);
  table->forget_mount(1);
  EXPECT_EQ(table->total(1), 0u);
  table->open(1, kNode + 1);
  EXPECT_EQ(table->count(1, kNode + 1), 1u);
}

TEST_F(OpenTableTest, ManyThreadsCountRight) {
  const auto table = map();
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (std::uint64_t n = 0; n < 2000; ++n) {
        table->open(1, n % 50);
        table->open(2, i * 10'000 + n);
        if (n % 2 == 0) table->close(1, n % 50);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(table->total(1), 8u * 1000);
  EXPECT_EQ(table->total(2), 8u * 2000);
}

}  // namespace
}  // namespace hubvfs::fs
