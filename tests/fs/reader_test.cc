// SPDX-License-Identifier: Apache-2.0
#include "fs/reader.h"

#include <gtest/gtest.h>

#include <future>
#include <set>
#include <thread>

#include "cache/memory_cache.h"
#include "tests/fs/waiting.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"
#include "tests/support/slow_blob_store.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kBlock = 256 * 1024;
constexpr std::uint64_t kSize = 10 * kBlock + 777;

class ReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    content_ = random_bytes(kSize, 1);
    commit_ = hub_->commit(repo_, {{"model.bin", {content_, true}},
                                   {"config.json", {"{\"a\": 1}", false}},
                                   {"same.bin", {content_, true}}});
    make_reader(256u << 20);
  }
  void TearDown() override {
    reader_->close();
    hub_.reset();
    reader_.reset();
  }
  void make_reader(std::uint64_t budget) {
    ReaderOptions options;
    options.endpoint = "http://hub";
    options.memory_budget = budget;
    reader_ = std::make_unique<Reader>(options, store_, failures_, clock_);
  }
  std::shared_ptr<OpenBlob> open(const std::string& path) {
    return *reader_->open("public", hub_->file(repo_, commit_, path), *hub_);
  }
  // Copies, since the view ends with the callback.
  Reader::Done into(Answer<std::string>& answer) {
    return [callback = answer.callback()](const Result<ByteView>& bytes) {
      if (!bytes) return callback(bytes.error());
      callback(std::string(as_text(*bytes)));
    };
  }
  Result<std::string> read(const std::shared_ptr<OpenBlob>& blob, ByteRange range) {
    Answer<std::string> answer;
    reader_->read(blob, range, into(answer));
    return answer.get();
  }

  const hub::RepoId repo_{hub::RepoType::kModel, "acme/llm"};
  std::string content_;
  std::string commit_;
  ManualClock clock_;
  ListLogger log_;
  std::shared_ptr<FailureLog> failures_ = std::make_shared<FailureLog>(log_, clock_);
  cache::MemoryBlobStore store_{kBlock, 0};
  std::unique_ptr<FakeHubClient> hub_ = std::make_unique<FakeHubClient>();
  std::unique_ptr<Reader> reader_;
};

TEST_F(ReaderTest, BytesAreThoseOfTheFileWhereverTheReadLies) {
  const auto blob = open("model.bin");
  for (const auto& [begin, end] :
       std::vector<std::pair<std::uint64_t, std::uint64_t>>{{0, 1},
                                                            {kBlock - 1, kBlock + 1},
                                                            {3 * kBlock, 6 * kBlock + 5},
                                                            {kSize - 1, kSize},
                                                            {0, kSize}}) {
    const auto got = read(blob, {begin, end});
    ASSERT_TRUE(got) << got.error().context;
    EXPECT_TRUE(*got == content_.substr(begin, end - begin)) << begin;
  }
}

TEST_F(ReaderTest, ASecondReadAsksTheHubNothing) {
  const auto blob = open("model.bin");
  ASSERT_TRUE(read(blob, {0, kSize}));
  const auto before = hub_->counts();
  ASSERT_TRUE(read(blob, {0, kSize}));
  EXPECT_EQ(hub_->counts().fetches, before.fetches);
  EXPECT_EQ(before.bytes, kSize);
}

TEST_F(ReaderTest, OneFetchABlockHoweverManyWait) {
  hub_->hold_fetches(true);
  const auto blob = open("model.bin");
  std::vector<Answer<std::string>> answers(32);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    reader_->read(blob, {5 * kBlock + i, 5 * kBlock + i + 100}, into(answers[i]));
  }
  ASSERT_TRUE(hub_->await_fetches(1));
  for (auto& answer : answers) EXPECT_FALSE(answer.has_come());
  hub_->hold_fetches(false);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(*answers[i].get(), content_.substr(5 * kBlock + i, 100));
  }
  EXPECT_EQ(hub_->counts().fetches, 1u);
}

TEST_F(ReaderTest, ADemandFarWithinABlockIsAskedForFromThere) {
  const std::uint64_t at = 5 * kBlock + 200'000;
  const std::uint64_t asked_from = 5 * kBlock + 200'000 / 4096 * 4096;
  hub_->hold_fetches(true);
  const auto blob = open("model.bin");
  Answer<std::string> first;
  reader_->read(blob, {at, at + 100}, into(first));
  ASSERT_TRUE(hub_->await_fetches(2));
  ASSERT_TRUE(hub_->release_one_fetch());  // the more urgent
  EXPECT_EQ(*first.get(), content_.substr(at, 100));
  Answer<std::string> before;  // what the head brings is waited for, and made urgent
  reader_->read(blob, {asked_from - 10, asked_from + 10}, into(before));
  EXPECT_FALSE(before.has_come());
  Answer<std::string> behind;
  reader_->read(blob, {6 * kBlock - 10, 6 * kBlock}, into(behind));
  EXPECT_EQ(*behind.get(), content_.substr(6 * kBlock - 10, 10));
  hub_->hold_fetches(false);
  EXPECT_EQ(*before.get(), content_.substr(asked_from - 10, 20));
  const auto fetches = hub_->fetches();
  ASSERT_EQ(fetches.size(), 2u);
  EXPECT_EQ(hub_->counts().bytes, kBlock);
  while (!Reader::stored(*blob).has(5)) std::this_thread::yield();
  EXPECT_EQ(*read(blob, {5 * kBlock, 6 * kBlock}), content_.substr(5 * kBlock, kBlock));
  EXPECT_EQ(hub_->counts().bytes, kBlock);
}

TEST_F(ReaderTest, WhenTheHeadOfABlockFailsItIsAskedForAgain) {
  const std::uint64_t at = 5 * kBlock + 200'000;
  hub_->hold_fetches(true);
  const auto blob = open("model.bin");
  Answer<std::string> first;
  reader_->read(blob, {at, at + 100}, into(first));
  ASSERT_TRUE(hub_->await_fetches(2));
  ASSERT_TRUE(hub_->release_one_fetch());
  ASSERT_TRUE(first.get());
  hub_->fail_fetches(1, {ErrorCode::kUnavailable, "cut"}, 100);
  Answer<std::string> head;
  reader_->read(blob, {5 * kBlock, 5 * kBlock + 1000}, into(head));
  hub_->hold_fetches(false);
  EXPECT_EQ(head.get().error().code, ErrorCode::kUnavailable);
  clock_.advance(std::chrono::seconds(2));
  EXPECT_EQ(*read(blob, {5 * kBlock, 6 * kBlock}), content_.substr(5 * kBlock, kBlock));
}

TEST_F(ReaderTest, WhatASecondRequestWouldNotSaveIsReadOver) {
  hub::FetchAdvice advice;
  advice.detour_bytes = 250'000;
  hub_->set_advice(advice);
  const auto blob = open("model.bin");
  ASSERT_TRUE(read(blob, {5 * kBlock + 200'000, 5 * kBlock + 200'100}));
  EXPECT_EQ(hub_->counts().fetches, 1u);
}

// Else it would wait for memory that is given back when it has come.
TEST_F(ReaderTest, TheHeadOfABlockWaitsForNoMemory) {
  reader_->close();
  make_reader(kBlock / 2);  // less than a block, which comes all the same
  const auto blob = open("model.bin");
  const std::uint64_t at = 5 * kBlock + 200'000;
  EXPECT_EQ(*read(blob, {at, at + 10}), content_.substr(at, 10));
  const auto other = read(blob, {0, 10});
  ASSERT_TRUE(other) << other.error().context;
  EXPECT_EQ(*other, content_.substr(0, 10));
}

// Its last bytes may come after it was asked for once more: whoever waits for that is answered too.
TEST_F(ReaderTest, TheOtherPartOfAFailedFetchEndsNotTheNextFetch) {
  const auto release_one = [this] {  // and waits until it is answered
    const std::size_t held = hub_->held_fetches();
    hub_->release_one_fetch();
    while (hub_->held_fetches() == held) std::this_thread::yield();
    Answer<hub::RepoInfo> info;
    hub_->repo_info(repo_, "main", TimePoint::max(), info.callback());
    EXPECT_TRUE(info.get());
  };
  const auto blob = open("model.bin");
  hub_->hold_fetches(true);
  hub_->fail_fetches(1, {ErrorCode::kUnavailable, "cut"}, kBlock);  // after its last byte
  Answer<std::string> deep;
  reader_->read(blob, {5 * kBlock + 200'000, 5 * kBlock + 200'010}, into(deep));
  ASSERT_EQ(hub_->held_fetches(), 2u);
  release_one();
  ASSERT_TRUE(deep.get());
  Answer<std::string> whole;
  reader_->prefetch(blob, {5 * kBlock, 6 * kBlock}, into(whole));
  ASSERT_EQ(hub_->held_fetches(), 2u);
  release_one();  // the head of the first
  hub_->fail_fetches(1, {ErrorCode::kUnavailable, "cut"}, 0);
  release_one();
  const auto prefetched = whole.get();
  ASSERT_FALSE(prefetched);
  EXPECT_EQ(prefetched.error().code, ErrorCode::kUnavailable) << prefetched.error().context;
}

TEST_F(ReaderTest, PartsOfReadAheadAreAsLargeAsAdvised) {
  hub::FetchAdvice advice;
  advice.part_bytes = 2 * kBlock;
  hub_->set_advice(advice);
  const auto blob = open("model.bin");
  Answer<std::string> done;
  reader_->prefetch(blob, {0, 8 * kBlock}, into(done));
  ASSERT_TRUE(done.get());
  for (const FakeFetch& fetch : hub_->fetches()) EXPECT_EQ(fetch.range.size(), 2 * kBlock);
  EXPECT_EQ(hub_->counts().fetches, 4u);
}

TEST_F(ReaderTest, TheSameContentUnderTwoNamesIsFetchedOnce) {
  ASSERT_TRUE(read(open("model.bin"), {0, kSize}));
  const auto before = hub_->counts().bytes;
  EXPECT_EQ(*read(open("same.bin"), {0, kSize}), content_);
  EXPECT_EQ(hub_->counts().bytes, before);
}

TEST_F(ReaderTest, ReadersAreAnsweredBeforeTheirBlockIsComplete) {
  hub_->set_piece_size(4096);
  hub_->fail_fetches(1, {ErrorCode::kUnavailable, "cut"}, kBlock / 2);
  const auto blob = open("model.bin");
  const auto first = read(blob, {0, 4096});  // within the half that came
  ASSERT_TRUE(first);
  EXPECT_EQ(*first, content_.substr(0, 4096));
}

TEST_F(ReaderTest, AFailedFetchIsAnErrorNeverFewerBytes) {
  hub_->fail_fetches(1, {ErrorCode::kUnavailable, "cut"}, 100);
  const auto got = read(open("model.bin"), {0, kBlock});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kUnavailable);
}

TEST_F(ReaderTest, AFailureIsRememberedForAMomentOnly) {
  hub_->fail_fetches(1, {ErrorCode::kUnavailable, "cut"});
  const auto blob = open("model.bin");
  ASSERT_FALSE(read(blob, {0, 100}));
  const auto asked = hub_->counts().fetches;
  ASSERT_FALSE(read(blob, {4096, 4196}));  // the kernel asks again page by page
  EXPECT_EQ(hub_->counts().fetches, asked);
  EXPECT_TRUE(read(blob, {3 * kBlock, 3 * kBlock + 1})) << "another block is not concerned";
  clock_.advance(std::chrono::seconds(2));
  EXPECT_EQ(*read(blob, {0, 100}), content_.substr(0, 100));
}

TEST_F(ReaderTest, SmallContentIsCheckedBeforeAnybodyGetsAByte) {
  hub_->corrupt_fetches("config.json", 1);
  const auto got = read(open("config.json"), {0, 8});
  ASSERT_TRUE(got) << got.error().context;
  EXPECT_EQ(*got, "{\"a\": 1}");
  EXPECT_EQ(hub_->counts().fetches, 2u);
}

TEST_F(ReaderTest, ContentThatComesWrongTwiceIsRefused) {
  hub_->corrupt_fetches("config.json", 2);
  const auto got = read(open("config.json"), {0, 8});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(got.error().context.find("config.json"), std::string::npos);
  EXPECT_EQ(reader_->open("public", hub_->file(repo_, commit_, "config.json"), *hub_).error().code,
            ErrorCode::kCorrupt);
  EXPECT_EQ(hub_->counts().fetches, 2u);
}

TEST_F(ReaderTest, AReadThatNobodyAnswersEndsAtItsDeadline) {
  hub_->hold_fetches(true);
  Answer<std::string> answer;
  reader_->read(open("model.bin"), {0, 100}, into(answer));
  clock_.advance(std::chrono::seconds(100));
  reader_->expire();
  EXPECT_FALSE(answer.has_come());
  clock_.advance(std::chrono::seconds(30));
  reader_->expire();
  ASSERT_TRUE(answer.has_come());
  EXPECT_EQ(answer.get().error().code, ErrorCode::kTimedOut);
}

TEST_F(ReaderTest, ASuspendIsNoReasonToEndARead) {
  hub_->hold_fetches(true);
  Answer<std::string> answer;
  reader_->read(open("model.bin"), {0, 100}, into(answer));
  clock_.suspend(std::chrono::hours(8));
  reader_->expire();
  EXPECT_FALSE(answer.has_come());
  clock_.advance(std::chrono::seconds(130));
  reader_->expire();
  EXPECT_TRUE(answer.has_come());
}

TEST_F(ReaderTest, SequentialReadingNeedsFarFewerRequestsThanBlocks) {
  content_ = random_bytes(64 * kBlock, 9);
  commit_ = hub_->commit(repo_, {{"big.bin", {content_, true}}});
  const auto blob = open("big.bin");
  for (std::uint64_t at = 0; at < content_.size(); at += kBlock / 2) {
    ASSERT_EQ(*read(blob, {at, at + kBlock / 2}), content_.substr(at, kBlock / 2));
  }
  EXPECT_EQ(hub_->counts().bytes, content_.size());
  EXPECT_LT(hub_->counts().fetches, 40u);
}

TEST_F(ReaderTest, ATinyMemoryBudgetOnlyMakesReadsTakeTurns) {
  reader_->close();
  make_reader(kBlock);
  const auto blob = open("model.bin");
  std::vector<Answer<std::string>> answers(10);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    reader_->read(blob, {i * kBlock, i * kBlock + 10}, into(answers[i]));
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(*answers[i].get(), content_.substr(i * kBlock, 10));
  }
}

// Four blocks of a content are as much as the store may keep of one.
class SlowDisk : public ReaderTest {
 protected:
  void SetUp() override {
    ReaderTest::SetUp();
    reader_->close();
    ReaderOptions options;
    options.endpoint = "http://hub";
    options.memory_budget = 32 * kBlock;
    reader_ = std::make_unique<Reader>(options, slow_, failures_, clock_);
    for (std::uint64_t block = 0; block < 8; block += 2) {
      EXPECT_EQ(*read(blob(), {block * kBlock, block * kBlock + 10}),
                content_.substr(block * kBlock, 10));
      while (!Reader::stored(*blob()).has(block)) std::this_thread::yield();
    }
  }
  void TearDown() override {
    blob_.reset();
    ReaderTest::TearDown();
    slow_.let_go();
  }
  const std::shared_ptr<OpenBlob>& blob() {
    if (!blob_) blob_ = open("model.bin");
    return blob_;
  }

  SlowBlobStore slow_{store_};
  std::shared_ptr<OpenBlob> blob_;
};

// It would else fill the budget with what waits, for all others too.
TEST_F(SlowDisk, AContentWaitsForItAndNoOtherDoes) {
  const auto fetches = hub_->counts().fetches;
  Answer<std::string> fifth;
  reader_->read(blob(), {8 * kBlock, 8 * kBlock + 10}, into(fifth));
  EXPECT_EQ(hub_->counts().fetches, fetches);
  EXPECT_TRUE(read(open("config.json"), {0, 8})) << "though it was asked for later";
  EXPECT_FALSE(fifth.has_come());
  slow_.let_go();
  EXPECT_EQ(*fifth.get(), content_.substr(8 * kBlock, 10));
}

TEST_F(SlowDisk, AReadThatItKeepsWaitingNamesIt) {
  Answer<std::string> fifth;
  reader_->read(blob(), {8 * kBlock, 8 * kBlock + 10}, into(fifth));
  clock_.advance(std::chrono::seconds(130));
  reader_->expire();
  const auto got = fifth.get();
  ASSERT_EQ(got.error().code, ErrorCode::kTimedOut);
  EXPECT_NE(got.error().context.find("check its disk"), std::string::npos) << got.error().context;
}

TEST_F(ReaderTest, ATightMemoryBudgetIsStillFarFewerRequestsThanBlocks) {
  reader_->close();
  make_reader(16 * kBlock);
  content_ = random_bytes(128 * kBlock, 9);
  commit_ = hub_->commit(repo_, {{"big.bin", {content_, true}}});
  const auto blob = open("big.bin");
  for (std::uint64_t at = 0; at < content_.size(); at += kBlock / 2) {
    ASSERT_EQ(*read(blob, {at, at + kBlock / 2}), content_.substr(at, kBlock / 2));
  }
  EXPECT_EQ(hub_->counts().bytes, content_.size());
  EXPECT_LT(hub_->counts().fetches, 64u);
}

TEST_F(ReaderTest, AReaderThatWaitsMakesItsReadAheadUrgent) {
  const auto blob = open("model.bin");
  ASSERT_TRUE(read(blob, {0, 4 * kBlock}));
  hub_->hold_fetches(true);
  Answer<std::string> second;
  reader_->read(blob, {4 * kBlock, 5 * kBlock}, into(second));
  ASSERT_TRUE(hub_->await_fetches(3));  // the first blocks, the next, and what is read ahead
  EXPECT_EQ(hub_->fetches().back().priority, hub::Priority::kReadAhead);
  const ByteRange ahead = hub_->fetches().back().range;
  Answer<std::string> waits;
  reader_->read(blob, {ahead.begin, ahead.begin + 10}, into(waits));
  ASSERT_TRUE(hub_->release_one_fetch());
  ASSERT_TRUE(hub_->release_one_fetch());
  EXPECT_EQ(*waits.get(), content_.substr(ahead.begin, 10));
  for (std::size_t i = 3; i < hub_->fetches().size(); ++i) {
    EXPECT_GE(hub_->fetches()[i].range.begin, ahead.end) << "fetched twice";
  }
}

TEST_F(ReaderTest, BlocksAreAskedForByWhoOpenedTheBlobFirst) {
  FakeHubClient anonymous;
  ASSERT_EQ(anonymous.commit(repo_, {{"model.bin", {content_, true}},
                                     {"config.json", {"{\"a\": 1}", false}},
                                     {"same.bin", {content_, true}}}),
            commit_);
  const hub::FileRef file = hub_->file(repo_, commit_, "model.bin");
  const auto blob = *reader_->open("public", file, anonymous);
  EXPECT_EQ(*reader_->open("public", file, *hub_), blob) << "one blob, so one fetch a block";
  ASSERT_TRUE(read(blob, {0, 10}));
  EXPECT_EQ(anonymous.counts().fetches, 1u);
  EXPECT_EQ(hub_->counts().fetches, 0u);
  const auto own = *reader_->open("u1000", file, *hub_);
  ASSERT_TRUE(read(own, {0, 10}));
  EXPECT_EQ(anonymous.counts().fetches, 1u);
  EXPECT_EQ(hub_->counts().fetches, 1u) << "nothing of one namespace is read for another";
  reader_->close();
}

TEST_F(ReaderTest, ClosingAnswersWhatIsParked) {
  hub_->hold_fetches(true);
  Answer<std::string> answer;
  const auto blob = open("model.bin");
  reader_->read(blob, {0, 100}, into(answer));
  reader_->close();
  EXPECT_EQ(answer.get().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(read(blob, {0, 1}).error().code, ErrorCode::kCancelled);
}

TEST_F(ReaderTest, ManyThreadsReadingAtRandomGetTheRightBytes) {
  const auto blob = open("model.bin");
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned seed = 0; seed < 8; ++seed) {
    threads.emplace_back([&, seed] {
      std::uint64_t state = seed + 1;
      for (int i = 0; i < 200; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const std::uint64_t begin = (state >> 20) % (kSize - 1);
        const std::uint64_t end = std::min(kSize, begin + 1 + (state >> 40) % (3 * kBlock));
        const auto got = read(blob, {begin, end});
        if (!got || *got != content_.substr(begin, end - begin)) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(hub_->counts().bytes, kSize);
}

class WrongContent : public ReaderTest {
 protected:
  // Reads the file from its start, a block at a time, as far as it gets.
  Result<std::string> read_through(const std::shared_ptr<OpenBlob>& blob) {
    std::string all;
    for (std::uint64_t at = 0; at < kSize; at += kBlock) {
      const auto piece = read(blob, {at, std::min(kSize, at + kBlock)});
      if (!piece) return piece.error();
      all += *piece;
    }
    return all;
  }
};

TEST_F(WrongContent, AReaderNeverComesToTheEndOfALargeFileThatIsWrong) {
  hub_->corrupt_fetches("model.bin", 1);
  const auto blob = open("model.bin");
  const auto got = read_through(blob);
  ASSERT_FALSE(got) << "wrong bytes, and no error";
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(read(blob, {0, 10}).error().code, ErrorCode::kCorrupt)
      << "it may hold wrong bytes, and must not go on as if nothing was";
  EXPECT_EQ(reader_->times_wrong(*blob), 1u);
  EXPECT_EQ(*read_through(open("model.bin")), content_) << "fetched again for whoever opens it";
}

TEST_F(WrongContent, TheLogHasBothHashesAndTheFile) {
  const std::string right = content_id_of(content_, true).hex();
  hub_->corrupt_fetches("model.bin", 1);
  ASSERT_FALSE(read_through(open("model.bin")));
  ASSERT_EQ(log_.lines().size(), 1u) << log_.text();
  const std::string line = log_.lines()[0].text;
  EXPECT_EQ(log_.lines()[0].level, LogLevel::kError);
  EXPECT_EQ(line.find("acme/llm/model.bin: content does not match its hash: expected sha256:" +
                      right + ", found sha256:"),
            0u)
      << line;
  EXPECT_NE(line.find("fetched again"), std::string::npos) << line;
}

TEST_F(WrongContent, ALargeFileThatComesWrongTwiceIsRefused) {
  hub_->corrupt_fetches("model.bin", 1000);
  ASSERT_FALSE(read_through(open("model.bin")));
  ASSERT_FALSE(read_through(open("model.bin")));
  const auto refused =
      reader_->open("public", hub_->file(repo_, commit_, "model.bin"), *hub_).error();
  EXPECT_EQ(refused.code, ErrorCode::kCorrupt);
  EXPECT_NE(refused.context.find("came wrong twice"), std::string::npos) << refused.context;
  EXPECT_NE(refused.context.find("mount anew"), std::string::npos) << refused.context;
  EXPECT_EQ(reader_->stats().corrupt_blobs, 2u);
}

TEST_F(WrongContent, AnOldMismatchDoesNotCountOnceItCameRight) {
  for (int i = 0; i < 3; ++i) {
    hub_->corrupt_fetches("model.bin", 1);
    ASSERT_FALSE(read_through(open("model.bin"))) << i;
    const auto blob = open("model.bin");
    ASSERT_TRUE(read_through(blob)) << i;
    ASSERT_TRUE(store_.flush());
    store_.open({"public", content_id_of(content_, true)}, "http://hub").value()->drop();
  }
  EXPECT_EQ(reader_->times_wrong(*open("model.bin")), 3u);
}

// The last block pushes an earlier one out: no verdict will come.
TEST_F(WrongContent, AReaderIsNotHeldAtTheEndForAVerdictThatCannotCome) {
  cache::MemoryBlobStore small(kBlock, kSize - 1);
  ReaderOptions options;
  options.endpoint = "http://hub";
  Reader reader(options, small, failures_, clock_);
  const auto blob = *reader.open("public", hub_->file(repo_, commit_, "model.bin"), *hub_);
  for (std::uint64_t at = 0; at + kBlock < kSize; at += kBlock) {
    Answer<std::string> answer;
    reader.read(blob, {at, at + kBlock}, into(answer));
    ASSERT_TRUE(answer.get());
  }
  Answer<std::string> end;
  reader.read(blob, {kSize - 777, kSize}, into(end));
  const auto got = end.get();  // and the clock stands still
  ASSERT_TRUE(got) << got.error().context;
  EXPECT_EQ(*got, content_.substr(kSize - 777));
  reader.close();
}

// The store's thread is busy with another content meanwhile: it waits to log what it found there.
TEST_F(WrongContent, AReaderIsNotHeldWhenItsContentLosesABlockBeforeItIsJudged) {
  struct HeldLogger final : Logger {
    void write(LogLevel, std::string_view) override {
      reached.set_value();
      go_on.get_future().wait();
    }
    std::promise<void> reached;
    std::promise<void> go_on;
  } held;
  reader_->close();
  failures_ = std::make_shared<FailureLog>(held, clock_);
  make_reader(256u << 20);
  commit_ = hub_->commit(
      repo_, {{"model.bin", {content_, true}}, {"wrong.bin", {random_bytes(kBlock + 1, 2), true}}});
  hub_->corrupt_fetches("wrong.bin", 1);
  Answer<std::string> wrong;
  reader_->read(open("wrong.bin"), {0, kBlock + 1}, into(wrong));
  held.reached.get_future().wait();

  const auto blob = open("model.bin");
  for (std::uint64_t at = 0; at + kBlock < kSize; at += kBlock) {
    EXPECT_TRUE(read(blob, {at, at + kBlock}));
  }
  Answer<std::string> end;
  reader_->read(blob, {kSize - 777, kSize}, into(end));
  while (!Reader::stored(*blob).complete()) std::this_thread::yield();
  EXPECT_FALSE(end.has_come());
  EXPECT_TRUE(store_.evict(Reader::stored(*blob).key()));
  held.go_on.set_value();
  EXPECT_EQ(wrong.get().error().code, ErrorCode::kCorrupt) << "though nobody has it open";
  const auto got = end.get();
  ASSERT_TRUE(got) << got.error().context;
  EXPECT_EQ(*got, content_.substr(kSize - 777));
  EXPECT_EQ(reader_->times_wrong(*blob), 0u);
}

TEST_F(ReaderTest, ADenialIsForgottenWithAnotherToken) {
  hub_->fail_fetches(1, {ErrorCode::kPermissionDenied, "refused"});
  const auto blob = open("model.bin");
  ASSERT_FALSE(read(blob, {0, 100}));
  ASSERT_FALSE(read(blob, {0, 100})) << "remembered";
  reader_->forget_denials();
  EXPECT_TRUE(read(blob, {0, 100}));
  hub_->fail_fetches(1, {ErrorCode::kUnavailable, "down"});
  ASSERT_FALSE(read(blob, {3 * kBlock, 3 * kBlock + 1}));
  reader_->forget_denials();
  EXPECT_FALSE(read(blob, {3 * kBlock, 3 * kBlock + 1})) << "no token helps against that";
}

TEST_F(ReaderTest, ADenialIsRememberedForTenSecondsAtMost) {
  const auto blob = open("model.bin");
  for (int i = 0; i < 8; ++i) {
    hub_->fail_fetches(1, {ErrorCode::kGated, "not granted"});
    ASSERT_FALSE(read(blob, {0, 100}));
    clock_.advance(std::chrono::seconds(10));
  }
  EXPECT_TRUE(read(blob, {0, 100})) << "it was granted meanwhile";
}

TEST_F(ReaderTest, AFailureIsRememberedBeyondTheLastClose) {
  hub_->fail_fetches(1, {ErrorCode::kUnavailable, "cut"});
  ASSERT_FALSE(read(open("model.bin"), {0, 100}));
  const auto asked = hub_->counts().fetches;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(read(open("model.bin"), {0, 100}));
  EXPECT_EQ(hub_->counts().fetches, asked);
  clock_.advance(std::chrono::seconds(2));
  reader_->expire();
  EXPECT_TRUE(read(open("model.bin"), {0, 100}));
}

// The kernel reads ahead, so that the file's end may be the first that a program's pages have.
class WrongContentInAnOrder : public WrongContent,
                              public testing::WithParamInterface<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(LastBlock, WrongContentInAnOrder, testing::Range<std::uint64_t>(0, 11));

TEST_P(WrongContentInAnOrder, NobodyGetsAllOfIt) {
  const std::uint64_t last = GetParam();
  hub_->corrupt_fetches("model.bin", 1000);
  const auto blob = open("model.bin");
  std::set<std::string> ends;
  for (std::uint64_t i = 0; i < 11; ++i) {
    const std::uint64_t begin = (i < last ? i : i == 10 ? last : i + 1) * kBlock;
    const auto piece = read(blob, {begin, std::min(kSize, begin + kBlock)});
    ends.insert(piece ? "given" : to_string(piece.error().code));
  }
  EXPECT_EQ(ends, (std::set<std::string>{"given", "Corrupt"}));
}

}  // namespace
}  // namespace hubvfs::fs
