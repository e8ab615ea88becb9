// SPDX-License-Identifier: Apache-2.0
#include "fs/request_journal.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kResent = 1ull << 63;

class RequestJournalTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = RequestJournal::create();
    ASSERT_TRUE(made) << made.error().context;
    fd_ = std::move(*made);
    keeper_ = map();
    worker_ = map();
  }
  std::unique_ptr<RequestJournal> map() const {
    auto mapped = RequestJournal::map(fd_.get());
    return mapped ? std::move(*mapped) : nullptr;
  }
  // A worker that dies with the request in hand: nobody leaves the scope.
  void die_with(std::uint32_t mount, std::uint64_t unique, bool crashed) {
    auto* never_ends = new RequestJournal::InHand(*worker_, worker_->claim_slot(), mount, unique);
    keeper_->bury_worker(crashed);
    delete never_ends;
    worker_ = map();
  }

  UniqueFd fd_;
  std::unique_ptr<RequestJournal> keeper_;
  std::unique_ptr<RequestJournal> worker_;
};

TEST_F(RequestJournalTest, TheKeeperSeesWhatTheWorkerCounts) {
  { const RequestJournal::InHand in_hand(*worker_, worker_->claim_slot(), 1, 10); }
  { const RequestJournal::InHand in_hand(*worker_, worker_->claim_slot(), 1, 10 | kResent); }
  worker_->note_answered();
  EXPECT_EQ(keeper_->counts().taken, 2u);
  EXPECT_EQ(keeper_->counts().resent, 1u);
  EXPECT_EQ(keeper_->counts().answered, 1u);
  EXPECT_EQ(keeper_->counts().refused, 0u);
}

TEST_F(RequestJournalTest, ARequestThatTwoWorkersCrashedOnIsRefused) {
  die_with(1, 10, true);
  EXPECT_FALSE(worker_->refuses(1, 10 | kResent)) << "once may be chance";
  die_with(1, 10 | kResent, true);
  EXPECT_TRUE(worker_->refuses(1, 10 | kResent));
  EXPECT_FALSE(worker_->refuses(2, 10 | kResent)) << "another connection's";
  EXPECT_FALSE(worker_->refuses(1, 12 | kResent));
  EXPECT_FALSE(worker_->refuses(1, 10)) << "a new one";
  EXPECT_EQ(keeper_->counts().refused, 1u);
}

TEST_F(RequestJournalTest, AKilledWorkerSaysNothingAboutItsRequests) {
  for (int i = 0; i < 5; ++i) die_with(1, 10 | kResent, false);
  EXPECT_FALSE(worker_->refuses(1, 10 | kResent));
}

TEST_F(RequestJournalTest, WhatWasFinishedIsNotSuspect) {
  for (int i = 0; i < 3; ++i) {
    { const RequestJournal::InHand done(*worker_, 0, 1, 10); }
    keeper_->bury_worker(true);
  }
  EXPECT_FALSE(worker_->refuses(1, 10 | kResent));
}

TEST_F(RequestJournalTest, ManySuspectsPushOutTheOldest) {
  for (std::uint64_t unique = 2; unique < 2 * 300; unique += 2) {
    die_with(1, unique, true);
    die_with(1, unique | kResent, true);
  }
  EXPECT_FALSE(worker_->refuses(1, 2 | kResent));
  EXPECT_TRUE(worker_->refuses(1, 598 | kResent));
}

TEST(RequestJournal, MemoryThatIsNoneIsRefused) {
  const UniqueFd empty(::memfd_create("empty", MFD_CLOEXEC));
  EXPECT_FALSE(RequestJournal::map(empty.get()));
  ASSERT_EQ(::ftruncate(empty.get(), 1u << 20), 0);
  EXPECT_FALSE(RequestJournal::map(empty.get()));
  auto made = RequestJournal::create();
  ASSERT_TRUE(made);
  const std::uint64_t other = 7;
  ASSERT_EQ(::pwrite(made->get(), &other, sizeof other, 0), 8);
  EXPECT_FALSE(RequestJournal::map(made->get()));
}

}  // namespace
}  // namespace hubvfs::fs
