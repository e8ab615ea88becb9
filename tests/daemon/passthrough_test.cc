// SPDX-License-Identifier: Apache-2.0
// What the keeper opens for its worker, and how the two talk of it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "daemon/backing_requests.h"
#include "daemon/blob_folder.h"
#include "daemon/messages.h"
#include "daemon/mount_passthrough.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::daemon {
namespace {

constexpr const char* kGood = "public/ab/sha256-abcd-70000";

TEST(BlobName, IsANamespaceTwoDigitsAndAnId) {
  EXPECT_TRUE(is_blob_name(kGood));
  EXPECT_TRUE(is_blob_name("u1000/0f/git-sha1-0f00-65536"));
  for (const char* bad :
       {"", "public", "public/ab", "public/ab/", "/ab/x", "public//x", "public/abc/x", "../ab/x",
        "public/../x", "public/ab/..", "public/ab/x/y", "public/ab/x.map", "/etc/passwd",
        "public/ab/x y", "PUBLIC/ab/x", "public/ab/x\n"}) {
    EXPECT_FALSE(is_blob_name(bad)) << bad;
  }
  EXPECT_FALSE(is_blob_name("public/ab/" + std::string(500, 'a')));
  EXPECT_FALSE(is_blob_name(std::string_view("public/ab/x\0y", 13)));
}

class BlobFolderTest : public testing::Test {
 protected:
  BlobFolderTest() { write_file(dir_ / (std::string("blobs/") + kGood), "content"); }
  ErrorCode code_of(const std::string& name) {
    const auto opened = folder_.open(name);
    return opened ? ErrorCode::kInternal : opened.error().code;
  }
  std::string place(const std::string& name) const { return dir_ / ("blobs/public/ab/" + name); }

  TempDir dir_;
  BlobFolder folder_{dir_.path()};
};

TEST_F(BlobFolderTest, OpensARegularFileToBeRead) {
  const auto file = folder_.open(kGood);
  ASSERT_TRUE(file) << file.error().context;
  EXPECT_EQ(::fcntl(file->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(code_of("public/ab/sha256-absent-1"), ErrorCode::kNotFound);
  EXPECT_EQ(code_of("../cache/x"), ErrorCode::kInvalidArgument);
}

TEST_F(BlobFolderTest, RefusesWhatIsNoRegularFileOfThisFolder) {
  write_file(dir_ / "secret", "of the keeper");
  ASSERT_EQ(::symlink((dir_ / "secret").c_str(), place("link").c_str()), 0);
  ASSERT_EQ(::symlink(kGood, place("inner").c_str()), 0);
  ASSERT_EQ(::mkdir(place("folder").c_str(), 0700), 0);
  ASSERT_EQ(::mkfifo(place("pipe").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("/etc", (dir_ / "blobs/u1").c_str()), 0);
  for (const char* name : {"public/ab/link", "public/ab/inner", "public/ab/folder",
                           "public/ab/pipe", "u1/ab/passwd"}) {
    const auto opened = folder_.open(name);
    EXPECT_FALSE(opened) << name;
  }
}

TEST_F(BlobFolderTest, OpensNothingThatTheWorkerCouldNot) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: a file that root owns no right to";
  ASSERT_EQ(::chmod(place("sha256-abcd-70000").c_str(), 0000), 0);
  EXPECT_EQ(code_of(kGood), ErrorCode::kPermissionDenied);
  ASSERT_EQ(::chmod(place("sha256-abcd-70000").c_str(), 0600), 0);
  ASSERT_EQ(::chown(place("sha256-abcd-70000").c_str(), 12345, 12345), 0);
  EXPECT_EQ(code_of(kGood), ErrorCode::kPermissionDenied);
  // And it has its own rights back.
  const UniqueFd own(::open(place("sha256-abcd-70000").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(own);
}

TEST(MountPassthroughTest, IsOffWhereItIsNotWantedOrNotOffered) {
  const MountPassthrough unwanted(false, {});
  EXPECT_EQ(unwanted.state(), MountPassthrough::State::kOff);
  EXPECT_NE(unwanted.why_not().find("passthrough=off"), std::string::npos);
  const MountPassthrough old_kernel(true, {});
  EXPECT_EQ(old_kernel.state(), MountPassthrough::State::kOff);
  EXPECT_NE(old_kernel.why_not().find("kernel"), std::string::npos);
}

class BackingRequestsTest : public testing::Test {
 protected:
  BackingRequestsTest() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    worker_.reset(ends[0]);
    keeper_.reset(ends[1]);
    requests_.emplace(worker_.get(), clock_);
  }
  void ask() {
    requests_->open(3, {true, 5, 6}, kGood,
                    [this](const Result<std::int32_t>& id) { answers_.push_back(id); });
  }
  // What the keeper is asked: the number to be answered with.
  std::uint64_t hear() {
    auto message = receive_message(keeper_.get());
    EXPECT_TRUE(message && message->kind == MessageKind::kOpenBacking);
    ByteReader in(message->body);
    EXPECT_EQ(in.integer<std::uint32_t>(), 3u);
    EXPECT_EQ(in.integer<std::uint64_t>(), (fs::NodeId{true, 5, 6}.raw()));
    const auto number = in.integer<std::uint64_t>();
    EXPECT_EQ(in.string(), kGood);
    EXPECT_TRUE(in.ok() && in.at_end());
    return number;
  }
  void answer(std::uint64_t number, std::uint32_t id) {
    ByteWriter body;
    body.integer(number);
    body.integer(id);
    body.string("why");
    requests_->take_answer(body.bytes());
  }

  ManualClock clock_;
  UniqueFd worker_;
  UniqueFd keeper_;
  std::optional<BackingRequests> requests_;
  std::vector<Result<std::int32_t>> answers_;
};

TEST_F(BackingRequestsTest, EachIsAnsweredWithItsOwn) {
  ask();
  ask();
  const auto first = hear();
  const auto second = hear();
  answer(second, 22);
  answer(first, 0);
  answer(first, 11);  // too late
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].value_or(0), 22);
  EXPECT_EQ(answers_[1].error().context, "why");
}

TEST_F(BackingRequestsTest, AKeeperThatDoesNotAnswerOrListenIsNotWaitedFor) {
  ask();
  clock_.advance(std::chrono::seconds(4));
  requests_->expire();
  EXPECT_TRUE(answers_.empty());
  clock_.advance(std::chrono::seconds(2));
  requests_->expire();
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].error().code, ErrorCode::kTimedOut);
  keeper_.reset();
  ask();
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_FALSE(answers_[1]);
}

TEST_F(BackingRequestsTest, ThatFilesWereClosedIsToldOnceForAllThatTheKeeperWillSee) {
  const auto told = [this] {
    int count = 0;
    ::fcntl(keeper_.get(), F_SETFL, O_NONBLOCK);
    while (auto message = receive_message(keeper_.get())) {
      EXPECT_EQ(message->kind, MessageKind::kClosedBacking);
      ++count;
    }
    return count;
  };
  for (int i = 0; i < 10; ++i) requests_->closed();
  EXPECT_EQ(told(), 1);
  clock_.advance(kClosedHintAge / 2);
  for (int i = 0; i < 10; ++i) requests_->closed();
  EXPECT_EQ(told(), 1);
}

TEST_F(BackingRequestsTest, WhatWaitsAtTheEndIsToldSo) {
  ask();
  requests_.reset();
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_FALSE(answers_[0]);
}

}  // namespace
}  // namespace hubvfs::daemon
