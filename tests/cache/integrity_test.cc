// SPDX-License-Identifier: Apache-2.0
// What is hashed, and how often it is read for that.
#include <chrono>
#include <fstream>
#include <future>
#include <thread>

#include "cache/names.h"
#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {
namespace {

class IntegrityTest : public OpenedCache {
 protected:
  void SetUp() override {
    if (bytes_read() == 0) GTEST_SKIP() << "this kernel does not count what a process reads";
    open();
  }
  // By read calls of this process, from the page cache or not.
  static std::uint64_t bytes_read() {
    std::ifstream file("/proc/self/io");
    std::string key;
    std::uint64_t value = 0;
    while (file >> key >> value) {
      if (key == "rchar:") return value;
    }
    return 0;
  }
  // From here on the verifier does nothing, until release().
  void hold_verifier() {
    store().on_verdict([this](const BlobKey& key, Result<void> verdict) {
      if (!(key == first_.key)) return verdicts_.push_back(verdict ? "" : verdict.error().context);
      held_.set_value();
      released_.get_future().wait();
    });
    put_all(*blob(first_), first_);
    held_.get_future().wait();
  }
  void release() { released_.set_value(); }
  void wait_until_written() {
    while (store().stats().pending_bytes > 0) std::this_thread::yield();
  }
  // Bytes that the held verifier reads to hash what was put since.
  std::uint64_t read_back_to_hash() {
    wait_until_written();
    const std::uint64_t before = bytes_read();
    release();
    flush();
    return bytes_read() - before;
  }

  const TestBlob first_ = make_blob(100, 1);
  std::promise<void> held_;
  std::promise<void> released_;
  std::vector<std::string> verdicts_;  // the verifier's until a flush, then the test's
};

TEST_F(IntegrityTest, AFileThatCameInOrderIsHashedWithoutBeingReadAgain) {
  hold_verifier();
  const TestBlob source = make_blob(30 * kTestBlock + 99, 2);
  const auto opened = blob(source);
  put_all(*opened, source);
  EXPECT_LT(read_back_to_hash(), kTestBlock);
  EXPECT_TRUE(opened->verified());
}

TEST_F(IntegrityTest, FilesThatComeTogetherAreHashedWithoutBeingReadAgain) {
  hold_verifier();
  std::vector<TestBlob> sources;
  for (unsigned i = 0; i < 4; ++i) sources.push_back(make_blob(8 * kTestBlock, 10 + i));
  std::vector<std::shared_ptr<Blob>> blobs;
  for (const TestBlob& source : sources) blobs.push_back(blob(source));
  for (std::uint64_t block = 0; block < 8; ++block) {
    for (std::size_t i = 0; i < sources.size(); ++i) blobs[i]->put(block, sources[i].block(block));
  }
  EXPECT_LT(read_back_to_hash(), kTestBlock);
  for (const auto& each : blobs) EXPECT_TRUE(each->verified());
}

TEST_F(IntegrityTest, WhatComesALittleEarlyIsHashedWithoutBeingReadAgain) {
  hold_verifier();
  const TestBlob source = make_blob(24 * kTestBlock, 3);
  const auto opened = blob(source);
  for (std::uint64_t part = 0; part < 24; part += 8) {  // two requests at a time
    for (std::uint64_t i = 4; i < 8; ++i) opened->put(part + i, source.block(part + i));
    for (std::uint64_t i = 0; i < 4; ++i) opened->put(part + i, source.block(part + i));
  }
  EXPECT_LT(read_back_to_hash(), kTestBlock);
  EXPECT_TRUE(opened->verified());
}

TEST_F(IntegrityTest, WhatCameFarTooEarlyIsReadBackOnce) {
  const TestBlob source = make_blob(80 * kTestBlock, 3);
  const auto opened = blob(source);
  for (std::uint64_t block = 70; block < 80; ++block) opened->put(block, source.block(block));
  flush();
  const std::uint64_t before = bytes_read();
  for (std::uint64_t block = 0; block < 70; ++block) {
    opened->put(block, source.block(block));
    if (block % 16 == 0) flush();  // what is hashed keeps up
  }
  flush();
  EXPECT_TRUE(opened->verified());
  EXPECT_GE(bytes_read() - before, 10 * kTestBlock);
  EXPECT_LT(bytes_read() - before, 12 * kTestBlock);
}

TEST_F(IntegrityTest, WhatCameEarlyIsNotHeldForEver) {
  const TestBlob source = make_blob(12 * kTestBlock, 3);
  const auto opened = blob(source);
  auto bytes = source.block(5);
  const std::weak_ptr<const Bytes> held = bytes;
  opened->put(5, std::move(bytes));
  wait_until_written();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!held.expired() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  EXPECT_TRUE(held.expired());
  for (std::uint64_t block = 0; block < 12; ++block) opened->put(block, source.block(block));
  flush();
  EXPECT_TRUE(opened->verified());
}

TEST_F(IntegrityTest, WhatWaitsToBeHashedIsBoundedAndReadBackBeyondThat) {
  hold_verifier();
  std::vector<TestBlob> sources;
  std::vector<std::weak_ptr<const Bytes>> handed_in;
  std::vector<std::shared_ptr<Blob>> blobs;
  for (unsigned i = 0; i < 10; ++i) {  // 100 MiB
    sources.push_back(make_blob(40 * kTestBlock, 20 + i));
    blobs.push_back(blob(sources.back()));
    for (std::uint64_t block = 0; block < 40; ++block) {
      auto bytes = sources.back().block(block);
      handed_in.push_back(bytes);
      blobs.back()->put(block, std::move(bytes));
    }
    wait_until_written();
  }
  const auto held = [&] {
    std::uint64_t bytes = 0;
    for (const auto& each : handed_in) bytes += each.expired() ? 0 : kTestBlock;
    return bytes;
  };
  EXPECT_GT(held(), 0u);
  // The writer lets go of the last a moment after it is written.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const std::uint64_t most = 4 * (DiskCacheOptions().pending_limit / kHeldShare);
  while (held() > most && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  EXPECT_LE(held(), most);
  release();
  flush();
  for (const auto& each : blobs) EXPECT_TRUE(each->verified());
  for (const auto& each : handed_in) EXPECT_TRUE(each.expired());
}

// What the verifier was handed and what took its place meanwhile are not to be mixed up.
TEST_F(IntegrityTest, ABlockThatWasReplacedBeforeItWasHashedIsHashedAsItIs) {
  const TestBlob source = make_blob(4 * kTestBlock, 4);
  const TestBlob lie = [&] {
    TestBlob changed = source;
    changed.content[kTestBlock + 7] = static_cast<char>(changed.content[kTestBlock + 7] ^ 1);
    return changed;
  }();
  hold_verifier();
  const auto opened = blob(source);
  put_all(*opened, source);
  opened->drop();
  put_all(*opened, lie);
  release();
  flush();
  EXPECT_FALSE(opened->verified());
  EXPECT_EQ(opened->cached_bytes(), 0u);
  ASSERT_EQ(verdicts_.size(), 1u);
  EXPECT_NE(verdicts_[0].find(source.key.content.hex()), std::string::npos) << verdicts_[0];
  EXPECT_NE(verdicts_[0].find(sha256_hex(as_bytes(lie.content))), std::string::npos);

  put_all(*opened, source);
  flush();
  EXPECT_TRUE(opened->verified());
  EXPECT_EQ(brief(read_text(*opened)), brief(source.content));
}

// What the kernel does where it cannot write a page: it forgets it, and tells nobody who reads.
TEST_F(IntegrityTest, APageThatWasLostBeforeItsSyncIsNotReadAsZeros) {
  const TestBlob source = make_blob(3 * kTestBlock, 6);
  const auto opened = blob(source);
  put_all(*opened, source);
  wait_until_written();
  EXPECT_EQ(brief(read_text(*opened)), brief(source.content));  // every block is checked now
  const UniqueFd fd(::open(data_file(source).c_str(), O_WRONLY | O_CLOEXEC));
  const std::string zeros(4096, '\0');
  const off_t at = kTestBlock + 8192;
  ASSERT_EQ(::pwrite(fd.get(), zeros.data(), zeros.size(), at), 4096);
  EXPECT_EQ(read_text(*opened, static_cast<std::uint64_t>(at) + 4000, 200), "<NotFound>");
  EXPECT_EQ(brief(read_text(*opened, 0, kTestBlock)), brief(source.content.substr(0, kTestBlock)));
}

TEST_F(IntegrityTest, ABlockThatWasCheckedBeforeItsSyncIsCheckedOnceMoreAfterIt) {
  const TestBlob source = make_blob(3 * kTestBlock, 7);
  const auto opened = blob(source);
  put_all(*opened, source);
  wait_until_written();
  EXPECT_EQ(brief(read_text(*opened)), brief(source.content));
  flush();
  flip_byte(data_file(source), 2 * kTestBlock + 5);
  EXPECT_EQ(read_text(*opened, 2 * kTestBlock, 100), "<NotFound>");
}

TEST_F(IntegrityTest, GitBlobsAreHashedAsGitDoes) {
  const std::string content = random_bytes(2 * kTestBlock + 5, 5);
  Digest digest = Digest::sha1();
  digest.update(as_bytes("blob " + std::to_string(content.size()) + std::string(1, '\0')));
  digest.update(as_bytes(content));
  const auto id =
      ContentId::create(ContentId::Algorithm::kGitSha1, digest.finish_hex(), content.size());
  const TestBlob source{content, {"public", *id}};
  hold_verifier();
  release();
  fill(source);
  EXPECT_TRUE(blob(source)->verified());
  TestBlob lie = source;
  lie.content[0] = static_cast<char>(lie.content[0] ^ 1);
  blob(source)->drop();
  fill(lie);
  EXPECT_FALSE(blob(source)->verified());
  ASSERT_EQ(verdicts_.size(), 2u);
  EXPECT_NE(verdicts_[1].find(id->to_string()), std::string::npos) << verdicts_[1];
}

}  // namespace
}  // namespace hubvfs::cache
