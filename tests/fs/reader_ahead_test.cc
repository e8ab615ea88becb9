// SPDX-License-Identifier: Apache-2.0
// What a Reader fetches beyond what is read.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cache/memory_cache.h"
#include "fs/reader.h"
#include "tests/fs/waiting.h"
#include "tests/support/fake_hub_client.h"
#include "tests/support/list_logger.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kBlock = 256 * 1024;
constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kTensor = 4 * kMiB;
constexpr std::uint64_t kTensors = 8;
constexpr std::uint64_t kHeader = 1000;

// Eight tensors of 4 MiB.
std::string safetensors() {
  std::string json = "{";
  for (std::uint64_t i = 0; i < kTensors; ++i) {
    json += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) + "\":{\"data_offsets\":[" +
            std::to_string(i * kTensor) + "," + std::to_string((i + 1) * kTensor) + "]}";
  }
  json += "}";
  json.resize(kHeader - 8, ' ');
  std::string head(8, '\0');
  head[0] = static_cast<char>(json.size() & 0xff);
  head[1] = static_cast<char>(json.size() >> 8);
  return head + json + random_bytes(kTensors * kTensor, 5);
}

class ReaderAhead : public testing::Test {
 protected:
  void SetUp() override {
    content_ = safetensors();
    hub::FetchAdvice advice;
    advice.part_bytes = kMiB;
    hub_->set_advice(advice);
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
  void commit(const FakeHubClient::Files& files) { commit_ = hub_->commit(repo_, files); }
  hub::FileRef file(const std::string& path) { return hub_->file(repo_, commit_, path); }
  std::shared_ptr<OpenBlob> open(const std::string& path) {
    return *reader_->open("public", file(path), *hub_);
  }
  // Not waited for.
  void start(const std::shared_ptr<OpenBlob>& blob, ByteRange range, std::uint32_t thread = 1) {
    reader_->read(
        blob, range, [](const Result<ByteView>&) {}, thread);
  }
  void read(const std::shared_ptr<OpenBlob>& blob, ByteRange range, std::uint32_t thread = 1) {
    Answer<std::string> answer;
    reader_->read(
        blob, range,
        [callback = answer.callback()](const Result<ByteView>& bytes) {
          if (!bytes) return callback(bytes.error());
          callback(std::string(as_text(*bytes)));
        },
        thread);
    const auto got = answer.get();
    ASSERT_TRUE(got) << got.error().context;
    EXPECT_TRUE(*got == content_.substr(range.begin, range.size())) << range.begin;
  }
  // All that was asked of `path` once no fetch is left.
  std::vector<ByteRange> fetched(const std::string& path) {
    while (reader_->stats().buffer_bytes != 0) std::this_thread::yield();
    std::vector<ByteRange> ranges;
    for (const FakeFetch& fetch : hub_->fetches()) {
      if (fetch.path == path) ranges.push_back(fetch.range);
    }
    return ranges;
  }
  static std::uint64_t bytes(const std::vector<ByteRange>& ranges) {
    std::uint64_t sum = 0;
    for (const ByteRange& range : ranges) sum += range.size();
    return sum;
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

TEST_F(ReaderAhead, OneTensorCostsItsBlocksOnceTheHeaderWasRead) {
  commit({{"m.safetensors", {content_, true}}});
  const auto blob = open("m.safetensors");
  read(blob, {0, 8});
  read(blob, {8, kHeader});
  const std::uint64_t begin = kHeader + 3 * kTensor;
  for (std::uint64_t at = begin; at < begin + kTensor; at += kMiB / 2) {
    read(blob, {at, at + kMiB / 2});
  }
  const auto ranges = fetched("m.safetensors");
  EXPECT_EQ(bytes(ranges), kBlock + kTensor + kBlock);
  EXPECT_LE(ranges.size(), 10u);
}

TEST_F(ReaderAhead, TheSameWithoutALayoutCostsThreeTimesAtMost) {
  commit({{"m.bin", {content_, true}}});
  const auto blob = open("m.bin");
  read(blob, {0, kHeader});
  const std::uint64_t begin = kHeader + 3 * kTensor;
  for (std::uint64_t at = begin; at < begin + kTensor; at += kMiB / 2) {
    read(blob, {at, at + kMiB / 2});
  }
  const auto cost = bytes(fetched("m.bin"));
  EXPECT_GT(cost, kTensor + 3 * kBlock);
  EXPECT_LE(cost, 3 * kTensor + 3 * kBlock);
}

TEST_F(ReaderAhead, AHeaderThatIsKnownFromEarlierIsNotFetchedAgain) {
  commit({{"m.safetensors", {content_, true}}});
  read(open("m.safetensors"), {0, kHeader});
  fetched("m.safetensors");  // a reader is answered before its block is kept
  const auto blob = open("m.safetensors");
  const std::uint64_t begin = kHeader + kTensor;
  read(blob, {begin, begin + kMiB});
  read(blob, {begin + kMiB, begin + 2 * kMiB});
  EXPECT_EQ(bytes(fetched("m.safetensors")), 2 * kBlock + kTensor);
}

TEST_F(ReaderAhead, ADamagedHeaderIsNoErrorToItsReader) {
  content_[20] = '{';
  content_[0] = content_[1] = content_[2] = '\xff';
  commit({{"m.safetensors", {content_, true}}, {"m.gguf", {content_, true}}});
  for (const char* path : {"m.safetensors", "m.gguf"}) {
    const auto blob = open(path);
    for (std::uint64_t at = 0; at < 8 * kMiB; at += kMiB) read(blob, {at, at + kMiB});
  }
}

TEST_F(ReaderAhead, ThreadsThatReadAllOverHaveTheWholeFileOnce) {
  commit({{"m.bin", {content_, true}}});
  const auto blob = open("m.bin");
  const std::uint64_t blocks = content_.size() / kBlock;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t at = i * 53 % blocks * kBlock;  // each once: 128 blocks
    read(blob, {at, at + 4096}, static_cast<std::uint32_t>(1 + i % 8));
    if (i % 4 == 0) fetched("m.bin");
  }
  read(blob, {blocks * kBlock, content_.size()});
  const auto ranges = fetched("m.bin");
  std::set<std::uint64_t> begins;
  for (const ByteRange& range : ranges) EXPECT_TRUE(begins.insert(range.begin).second);
  EXPECT_EQ(bytes(ranges), content_.size());
  EXPECT_LT(reader_->stats().reads_waited, blocks / 2) << "most of it came before it was read";
}

TEST_F(ReaderAhead, InAStormABlockIsOneRequest) {
  commit({{"m.bin", {content_, true}}});
  const auto blob = open("m.bin");
  hub_->hold_fetches(true);
  for (std::uint32_t i = 0; i < 20; ++i) {
    const std::uint64_t at = i * 53 % 128 * kBlock + kBlock / 2;
    start(blob, {at, at + 4096}, 1 + i % 2);
  }
  std::size_t from_within = 0;
  for (const FakeFetch& fetch : hub_->fetches()) from_within += fetch.range.begin % kBlock != 0;
  EXPECT_EQ(from_within, 4u) << "those before it was one";
  hub_->hold_fetches(false);
}

// As urgent as a read that waits, which would else always go first.
TEST_F(ReaderAhead, OnAFastLinkTheBeginningOfWhatSeveralReadIsADemand) {
  hub::FetchAdvice advice;
  advice.part_bytes = kMiB;
  advice.fast = true;
  hub_->set_advice(advice);
  content_ = random_bytes(60 * kMiB, 6);
  commit({{"m.bin", {content_, true}}});
  const auto blob = open("m.bin");
  for (std::uint64_t at = 0; at < 10 * kMiB; at += kMiB / 2) {
    for (std::uint64_t i = 0; i < 3; ++i) {
      const std::uint64_t begin = i * 20 * kMiB + at;
      read(blob, {begin, begin + kMiB / 2}, static_cast<std::uint32_t>(1 + i));
    }
  }
  const std::uint64_t came = bytes(fetched("m.bin"));
  EXPECT_EQ(came, Reader::stored(*blob).cached_bytes()) << "nothing came twice";
  std::uint64_t first = 0;
  while (Reader::stored(*blob).has(first)) ++first;
  EXPECT_GT(first * kBlock, 18 * kMiB) << "where the first of them is not yet";
  for (const FakeFetch& fetch : hub_->fetches()) {
    if (fetch.range.begin > 11 * kMiB && fetch.range.end < 18 * kMiB) {
      EXPECT_EQ(fetch.priority, hub::Priority::kDemand) << fetch.range.begin;
      EXPECT_FALSE(fetch.hedged) << fetch.range.begin;
    }
  }
}

TEST_F(ReaderAhead, ThreadsInOneTensorGetNoMoreWhileItsHeaderIsOnItsWay) {
  commit({{"m.safetensors", {content_, true}}});
  const auto blob = open("m.safetensors");
  hub_->hold_fetches(true);
  start(blob, {0, kHeader});
  std::uint64_t asked = kBlock;
  const std::uint64_t begin = (kHeader + 3 * kTensor) / kBlock * kBlock;
  for (std::uint32_t i = 0; i < kTensor / kBlock; ++i, asked += kBlock) {
    const std::uint64_t at = begin + i * 7 % (kTensor / kBlock) * kBlock;
    start(blob, {at, at + 4096}, 1 + i % 8);
  }
  std::uint64_t bytes = 0;
  for (const FakeFetch& fetch : hub_->fetches()) bytes += fetch.range.size();
  EXPECT_EQ(bytes, asked);
  hub_->hold_fetches(false);
}

TEST_F(ReaderAhead, OneThreadThatReadsAllOverHasItsBlocksAlone) {
  commit({{"m.bin", {content_, true}}});
  const auto blob = open("m.bin");
  for (std::uint64_t i = 0; i < 12; ++i)
    read(blob, {i * 53 % 128 * kBlock, i * 53 % 128 * kBlock + 4096});
  EXPECT_EQ(bytes(fetched("m.bin")), 12 * kBlock);
}

TEST_F(ReaderAhead, TheNextShardIsBegunByWhoReadsTheOneBeforeToItsEnd) {
  const std::string second = "m-00002-of-00002.bin";
  commit(
      {{"m-00001-of-00002.bin", {content_, true}}, {second, {random_bytes(50 * kMiB, 6), true}}});
  const auto blob = *reader_->open("public", file("m-00001-of-00002.bin"), *hub_, file(second));
  const std::uint64_t size = content_.size();
  for (std::uint64_t at = size - 4 * kMiB; at < size; at += kBlock) {
    read(blob, {at, std::min(size, at + kBlock)});
  }
  EXPECT_EQ(bytes(fetched(second)), 0u) << "who reads the end of it alone goes on nowhere";
  for (std::uint64_t at = 0; at < size - 6 * kMiB; at += kBlock) read(blob, {at, at + kBlock});
  EXPECT_EQ(bytes(fetched(second)), 32 * kMiB);
  for (const FakeFetch& fetch : hub_->fetches()) {
    if (fetch.path == second) {
      EXPECT_EQ(fetch.priority, hub::Priority::kReadAhead);
    }
  }
  read(blob, {size - 6 * kMiB, size - 5 * kMiB});
  EXPECT_EQ(bytes(fetched(second)), 32 * kMiB) << "once";
}

// What comes faster than it is read is complete long before its reader's end.
TEST_F(ReaderAhead, TheNextShardIsBegunByWhoReadsWhatIsAllHere) {
  const std::string second = "m-00002-of-00002.bin";
  commit({{"m-00001-of-00002.bin", {content_, true}}, {second, {random_bytes(kMiB, 6), true}}});
  const auto blob = *reader_->open("public", file("m-00001-of-00002.bin"), *hub_, file(second));
  const std::uint64_t size = content_.size();
  for (std::uint64_t at = 0; at < 8 * kMiB; at += kBlock) read(blob, {at, at + kBlock});
  Answer<bool> rest;
  reader_->prefetch(blob, {0, size}, [callback = rest.callback()](const Result<ByteView>& done) {
    callback(done ? Result<bool>(true) : Result<bool>(done.error()));
  });
  ASSERT_TRUE(rest.get());
  ASSERT_TRUE(Reader::stored(*blob).complete());
  EXPECT_EQ(bytes(fetched(second)), 0u);
  for (std::uint64_t at = 8 * kMiB; at < size; at += kBlock) {
    read(blob, {at, std::min(size, at + kBlock)});
  }
  EXPECT_EQ(bytes(fetched(second)), kMiB);
}

TEST_F(ReaderAhead, OfManyFilesFetchedAtATimeNoneIsFarAheadByOneRequest) {
  FakeHubClient::Files files;
  for (unsigned i = 0; i < 16; ++i) {
    files["f" + std::to_string(10 + i)] = {random_bytes(8 * kBlock, 40 + i), true};
  }
  commit(files);
  hub::FetchAdvice advice;
  advice.part_bytes = 8 * kBlock;
  advice.parallel = 4;
  hub_->set_advice(advice);
  hub_->hold_fetches(true);
  for (const auto& [path, content] : files) {
    reader_->prefetch(open(path), {0, 8 * kBlock}, [](const Result<ByteView>&) {});
  }
  std::map<std::string, std::uint64_t> largest;
  for (const FakeFetch& fetch : hub_->fetches()) {
    largest[fetch.path] = std::max(largest[fetch.path], fetch.range.size());
  }
  EXPECT_EQ(largest["f10"], 8 * kBlock);
  EXPECT_EQ(largest["f13"], 8 * kBlock) << "as many as requests";
  EXPECT_EQ(largest["f25"], 2 * kBlock);
  reader_->close();
}

TEST_F(ReaderAhead, ReadersOfManyFilesShareWhatThereIs) {
  constexpr int kFiles = 16;
  reader_->close();
  make_reader(64 * kMiB);
  FakeHubClient::Files files;
  for (int i = 0; i < kFiles; ++i) {
    files["f" + std::to_string(i)] = {random_bytes(16 * kMiB, 20 + static_cast<unsigned>(i)), true};
  }
  commit(files);
  hub_->hold_fetches(true);
  std::vector<std::shared_ptr<OpenBlob>> blobs;
  for (const auto& [path, content] : files) blobs.push_back(open(path));
  for (std::uint64_t at = 0; at < 6 * kBlock; at += kBlock) {
    for (const auto& blob : blobs) start(blob, {at, at + kBlock});
  }
  std::map<std::string, std::uint64_t> ahead;
  for (const FakeFetch& fetch : hub_->fetches()) {
    if (fetch.priority == hub::Priority::kReadAhead) ahead[fetch.path] += fetch.range.size();
  }
  EXPECT_EQ(ahead.size(), files.size()) << "each has some";
  EXPECT_LE(reader_->stats().buffer_bytes, 64 * kMiB);
  reader_->close();
}

}  // namespace
}  // namespace hubvfs::fs
