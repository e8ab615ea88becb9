// SPDX-License-Identifier: Apache-2.0
#include "fs/read_storm.h"

#include <gtest/gtest.h>

#include <string>

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kBlob = 1000 * kMiB;

class ReadStormTest : public testing::Test {
 protected:
  // One read of 1 MiB that waited, each at a place of its own unless `place` says which.
  std::optional<ReadStorm::Sweep> wait(std::uint32_t thread, std::uint64_t at,
                                       std::uint64_t place = 0) {
    ++waits_;
    return storm_.on_read({{at, at + kMiB}, true, thread}, place == 0 ? 1000 + waits_ : place,
                          layout_.get(), 8 * kMiB);
  }
  std::optional<ReadStorm::Sweep> hit(std::uint64_t at, std::uint64_t room = 8 * kMiB) {
    return storm_.on_read({{at, at + kMiB}, false, 1}, 1, layout_.get(), room);
  }
  // Two tensors, of 100 MiB and the rest.
  void with_layout() {
    const std::string json = R"({"a":{"data_offsets":[0,104857600]}})";
    std::string head(8, '\0');
    head[0] = static_cast<char>(json.size());
    head += json;
    layout_ = TensorLayout::parse(TensorLayout::Format::kSafetensors, as_bytes(head), kBlob).layout;
    ASSERT_TRUE(layout_);
  }

  ReadStorm storm_{kBlob, kMiB};
  std::shared_ptr<const TensorLayout> layout_;
  std::uint64_t waits_ = 0;
};

TEST_F(ReadStormTest, ThreadsThatWaitAllOverMakeOne) {
  EXPECT_FALSE(wait(1, 100 * kMiB));
  EXPECT_FALSE(wait(2, 900 * kMiB));
  EXPECT_FALSE(wait(1, 500 * kMiB));
  const auto sweep = wait(2, 300 * kMiB + 5);
  ASSERT_TRUE(sweep);
  EXPECT_EQ(sweep->within, (ByteRange{0, kBlob}));
  EXPECT_EQ(sweep->from, 302 * kMiB) << "behind what was read last";
  EXPECT_EQ(sweep->most, 4 * kMiB);
}

TEST_F(ReadStormTest, OneThreadMakesNone) {
  for (std::uint64_t i = 0; i < 1000; ++i) EXPECT_FALSE(wait(1, i * 7919 % 999 * kMiB)) << i;
}

TEST_F(ReadStormTest, OneReadOfAnotherThreadMakesNone) {
  EXPECT_FALSE(wait(2, 0));
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_FALSE(wait(1, i * 7919 % 999 * kMiB)) << i;
}

TEST_F(ReadStormTest, TwoReadersInOrderMakeNone) {
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_FALSE(wait(1, i * kMiB, 1));
    EXPECT_FALSE(wait(2, (500 + i) * kMiB, 2));
  }
}

TEST_F(ReadStormTest, ItEndsWhenOneThreadIsLeft) {
  for (std::uint64_t i = 0; i < 20; ++i) wait(1 + i % 4, i * 7919 % 999 * kMiB);
  EXPECT_TRUE(hit(0));
  for (std::uint64_t i = 0; i < 16; ++i) wait(1, i * 7919 % 999 * kMiB);
  EXPECT_FALSE(hit(0));
}

TEST_F(ReadStormTest, ItStreamsNoMoreThanFourTimesWhatIsRead) {
  std::uint64_t streamed = 0;
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < 500; ++i) {
    const auto sweep = i % 5 == 0 ? wait(1 + i % 4, i * 7919 % 999 * kMiB) : hit(i * kMiB);
    if (!sweep) continue;
    EXPECT_LE(sweep->most, 8 * kMiB);
    next = (sweep->from + sweep->most) % kBlob;
    streamed += sweep->most;
    storm_.swept(sweep->most, next);
    EXPECT_LE(streamed, 4 * (i + 1) * kMiB);
  }
  EXPECT_GE(streamed, 1500 * kMiB);
}

TEST_F(ReadStormTest, SmallReadsThatNobodyWaitsForLetLittleBeStreamed) {
  for (std::uint64_t i = 0; i < 4; ++i) wait(1 + i % 2, i * 200 * kMiB);
  storm_.swept(4 * kMiB, 0);
  for (int i = 0; i < 60; ++i) {
    EXPECT_FALSE(storm_.on_read({{0, 4096}, false, 1}, 1, nullptr, 8 * kMiB)) << i;
  }
  for (int i = 0; i < 4; ++i) storm_.on_read({{0, 4096}, false, 1}, 1, nullptr, 8 * kMiB);
  EXPECT_TRUE(storm_.on_read({{0, 4096}, false, 1}, 1, nullptr, 8 * kMiB));
}

TEST_F(ReadStormTest, ASweepGoesOnWhereTheLastEndedUnlessAReaderWaits) {
  for (std::uint64_t i = 0; i < 4; ++i) wait(1 + i % 2, i * 200 * kMiB);
  storm_.swept(4 * kMiB, 700 * kMiB);
  EXPECT_EQ(hit(0)->from, 700 * kMiB);
  EXPECT_EQ(wait(1, 50 * kMiB)->from, 51 * kMiB);
  EXPECT_EQ(wait(1, kBlob - kMiB)->from, 0u) << "from the end on at the start";
}

TEST_F(ReadStormTest, WithoutRoomNothingIsStreamed) {
  for (std::uint64_t i = 0; i < 4; ++i) wait(1 + i % 2, i * 200 * kMiB);
  EXPECT_FALSE(hit(0, 0));
  EXPECT_FALSE(hit(0, kMiB - 1));
  EXPECT_TRUE(hit(0, kMiB));
}

TEST_F(ReadStormTest, ThreadsWithinOneTensorHaveThatAlone) {
  with_layout();
  const std::uint64_t end = layout_->extent_at(50 * kMiB).end;
  for (std::uint32_t i = 0; i < 8; ++i) wait(1 + i, i * 12 * kMiB + kMiB);
  const auto sweep = wait(1, 98 * kMiB);
  EXPECT_FALSE(sweep) << "eight threads once and one twice: not yet";
  const auto whole = wait(2, end + kMiB);  // the kernel's own read-ahead
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->within, (ByteRange{0, 101 * kMiB}));
  EXPECT_EQ(whole->from, 0u);
  EXPECT_EQ(wait(3, 400 * kMiB)->within, (ByteRange{0, kBlob}));
}

TEST_F(ReadStormTest, ALookAtTheHeaderBeforeTheLayoutWasKnownWidensNothing) {
  EXPECT_FALSE(wait(1, 0));
  with_layout();
  EXPECT_FALSE(wait(2, 120 * kMiB));
  EXPECT_FALSE(wait(1, 140 * kMiB));
  const auto sweep = wait(2, 160 * kMiB);
  ASSERT_TRUE(sweep);
  EXPECT_EQ(sweep->within, (ByteRange{100 * kMiB, kBlob}));
}

TEST_F(ReadStormTest, LooksAtTheHeaderDoNotCount) {
  with_layout();
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_FALSE(storm_.on_read({{i % 3, kMiB}, true, static_cast<std::uint32_t>(i % 4)}, i,
                                layout_.get(), 8 * kMiB));
  }
}

}  // namespace
}  // namespace hubvfs::fs
