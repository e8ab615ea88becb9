// SPDX-License-Identifier: Apache-2.0
// Files that the kernel may read by itself: when they are such, what must not happen to them while
// they are in use, and the slow look for rot in them.
#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "cache/scrubber.h"
#include "cache/sidecar.h"
#include "tests/cache/opened_cache.h"

namespace hubvfs::cache {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

// A file mapped, and nothing else held of it.
class Mapped {
 public:
  explicit Mapped(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    ::fstat(fd.get(), &info);
    size_ = static_cast<std::size_t>(info.st_size);
    memory_ = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd.get(), 0);
  }
  ~Mapped() { ::munmap(memory_, size_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  std::string text() const { return {static_cast<const char*>(memory_), size_}; }

 private:
  void* memory_ = nullptr;
  std::size_t size_ = 0;
};

class SealedFileTest : public OpenedCache {
 protected:
  template <typename Condition>
  static void until(Condition&& so) {
    while (!so()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::string sealed_name(const TestBlob& source) {
    const auto name = blob(source)->sealed_file();
    return name ? *name : std::string("<") + to_string(name.error().code) + ">";
  }
  // Lets the clock go on, a second each time the housekeeper may have looked.
  template <typename Condition>
  void go_on_until(Condition&& so) {
    while (!so()) {
      clock_.advance(seconds(1));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
};

TEST_F(SealedFileTest, WhatIsVerifiedAndOnTheDiskIsSealedAndThatIsTold) {
  std::atomic<int> told{0};
  const TestBlob source = make_blob(3 * kTestBlock + 7, 1);
  store().on_sealed([&](const BlobKey& key) { told += key == source.key ? 1 : 100; });
  const auto opened = blob(source);
  for (std::uint64_t i = 0; i + 1 < source.blocks(); ++i) opened->put(i, source.block(i));
  flush();
  EXPECT_FALSE(opened->sealed());
  EXPECT_EQ(sealed_name(source), "<NotFound>");
  opened->put(source.blocks() - 1, source.block(source.blocks() - 1));
  flush();
  EXPECT_TRUE(opened->sealed());
  EXPECT_EQ(told, 1);
  EXPECT_EQ(sealed_name(source), blob_file_name(source.key));
  EXPECT_TRUE(read_file(data_file(source)) == source.content);
}

TEST_F(SealedFileTest, ASmallBlobHasNoFileOfItsOwn) {
  const TestBlob source = make_blob(kSmallBlob - 1, 2);
  fill(source);
  EXPECT_TRUE(blob(source)->verified());
  EXPECT_FALSE(blob(source)->sealed());
  EXPECT_EQ(sealed_name(source), "<NotFound>");
}

TEST_F(SealedFileTest, TheNextStartKnowsItAndLooksAtTheFileFirst) {
  const TestBlob same = make_blob(2 * kTestBlock, 3);
  const TestBlob changed = make_blob(2 * kTestBlock, 4);
  fill(same);
  fill(changed);
  close();
  flip_byte(data_file(changed), 1000);
  open();
  EXPECT_TRUE(blob(same)->sealed());
  EXPECT_FALSE(blob(changed)->sealed());
  flush();
  EXPECT_FALSE(blob(changed)->complete());  // its hash was checked again
}

TEST_F(SealedFileTest, WhoeverChangesTheFileBreaksTheSealAndItsHashIsCheckedAgain) {
  const TestBlob touched = make_blob(2 * kTestBlock, 5);
  const TestBlob damaged = make_blob(2 * kTestBlock, 6);
  fill(touched);
  fill(damaged);
  const timespec long_ago[2] = {{1000, 0}, {1000, 0}};
  ::utimensat(AT_FDCWD, data_file(touched).c_str(), long_ago, 0);
  flip_byte(data_file(damaged), kTestBlock + 3);
  const auto open_touched = blob(touched);
  const auto open_damaged = blob(damaged);
  EXPECT_EQ(open_touched->sealed_file().error().code, ErrorCode::kNotFound);
  EXPECT_EQ(open_damaged->sealed_file().error().code, ErrorCode::kNotFound);
  flush();
  EXPECT_TRUE(open_touched->sealed());  // as it looks now
  EXPECT_EQ(sealed_name(touched), blob_file_name(touched.key));
  EXPECT_FALSE(open_damaged->complete());
}

TEST_F(SealedFileTest, PassingItThroughIsAUseOfAllOfIt) {
  const TestBlob old = make_blob(2 * kTestBlock, 7);
  const TestBlob passed = make_blob(2 * kTestBlock, 8);
  fill(passed);
  fill(old);
  clock_.advance(hours(2));
  EXPECT_EQ(sealed_name(passed), blob_file_name(passed.key));
  PruneOptions options;
  options.older_than = hours(1);
  EXPECT_EQ(store().prune(options).value_or(0), 2 * kTestBlock);
  EXPECT_TRUE(blob(passed)->complete());
  EXPECT_FALSE(blob(old)->complete());
}

TEST_F(SealedFileTest, AMappedFileIsNeitherEvictedNorPrunedUntilItIsUnmapped) {
  const TestBlob source = make_blob(3 * kTestBlock, 9);
  fill(source);
  {
    const Mapped mapped(data_file(source));
    EXPECT_EQ(store().evict(source.key).error().code, ErrorCode::kBusy);
    PruneOptions all;
    all.to_bytes = 0;
    EXPECT_EQ(store().prune(all).value_or(99), 0u);
    EXPECT_TRUE(blob(source)->sealed());
    EXPECT_TRUE(mapped.text() == source.content);
  }
  EXPECT_EQ(store().evict(source.key).value_or(0), 3 * kTestBlock);
}

TEST_F(SealedFileTest, OthersAreEvictedInTheSteadOfAMappedFile) {
  open(20 * kTestBlock);
  const TestBlob old = make_blob(8 * kTestBlock, 17);
  fill(old);
  const Mapped mapped(data_file(old));
  for (unsigned seed = 18; seed < 22; ++seed) {
    const TestBlob next = make_blob(6 * kTestBlock, seed);
    fill(next);
    EXPECT_TRUE(blob(next)->complete()) << seed;
  }
  EXPECT_TRUE(blob(old)->sealed());
  EXPECT_TRUE(mapped.text() == old.content);
}

TEST_F(SealedFileTest, NothingIsPunchedOrWrittenUnderAMapping) {
  const TestBlob source = make_blob(3 * kTestBlock, 10);
  fill(source);
  const auto opened = blob(source);
  {
    const Mapped mapped(data_file(source));
    opened->drop();  // it was found wrong
    flush();
    EXPECT_TRUE(mapped.text() == source.content);
    TestBlob wrong = source;
    wrong.content.assign(source.content.size(), 'x');
    opened->put(0, wrong.block(0));  // by an endpoint that lies
    flush();
    EXPECT_TRUE(mapped.text() == source.content);
    EXPECT_FALSE(opened->has(0));
  }
  clock_.advance(seconds(5));
  until([&] { return store().stats().bytes_used == 0; });
  put_all(*opened, source);
  flush();
  EXPECT_TRUE(opened->sealed());
}

TEST_F(SealedFileTest, AStartAfterACrashLeavesAMappedFileAlone) {
  const TestBlob source = make_blob(3 * kTestBlock, 11);
  fill(source);
  close();
  const Mapped mapped(data_file(source));
  std::filesystem::remove_all(path_ + "/index");
  {
    const UniqueFd map(::open((data_file(source) + ".map").c_str(), O_RDWR | O_CLOEXEC));
    const std::vector<std::uint64_t> lost = {1};
    ASSERT_TRUE(clear_sidecar(map.get(), lost));
  }
  open();  // to the sweep block 1 is nobody's
  until([&] { return blob(source)->has(0); });
  flush();
  EXPECT_FALSE(blob(source)->has(1));
  EXPECT_TRUE(mapped.text() == source.content);
}

TEST_F(SealedFileTest, RotIsFoundByTheScrub) {
  const TestBlob sound = make_blob(2 * kTestBlock, 12);
  const TestBlob rotten = make_blob(3 * kTestBlock + 11, 13);
  fill(sound);
  fill(rotten);
  const auto opened = blob(rotten);
  read_text(*opened);  // from now on its checksums are trusted
  flip_byte(data_file(rotten), 3 * kTestBlock + 5);
  go_on_until([&] { return std::filesystem::exists(path_ + "/blobs/scrub"); });
  clock_.advance(Scrubber::kEvery);
  go_on_until([&] { return store().stats().corrupt_blocks == 1; });
  EXPECT_FALSE(opened->has(3));
  EXPECT_FALSE(opened->sealed());
  EXPECT_TRUE(blob(sound)->sealed());
  EXPECT_NE(log_.text().find("damaged on the disk"), std::string::npos);
}

TEST_F(SealedFileTest, TheScrubGoesOnWhereItWasAndComesOnceAMonth) {
  const TestBlob rotten = make_blob(2 * kTestBlock, 14);
  const TestBlob other = make_blob(2 * kTestBlock, 15);
  fill(rotten);
  fill(other);
  close();
  const std::string begun = std::to_string(clock_.unix_now());
  const std::string first = std::min(blob_file_name(rotten.key), blob_file_name(other.key));
  const TestBlob& before = first == blob_file_name(rotten.key) ? rotten : other;
  const TestBlob& after = first == blob_file_name(rotten.key) ? other : rotten;
  write_file(path_ + "/blobs/scrub", begun + " " + first + "\n");
  open();
  ASSERT_TRUE(blob(before)->sealed());
  ASSERT_TRUE(blob(after)->sealed());
  flip_byte(data_file(before), 5);
  flip_byte(data_file(after), 5);
  go_on_until([&] { return read_file(path_ + "/blobs/scrub") == begun + "\n"; });
  EXPECT_FALSE(blob(after)->has(0));
  EXPECT_TRUE(blob(before)->has(0));  // it had been looked at
  clock_.advance(Scrubber::kEvery);
  go_on_until([&] { return !blob(before)->has(0); });
}

TEST_F(SealedFileTest, TheScrubReadsSixteenMegabytesASecondAtMost) {
  const std::uint64_t size = 2 * Scrubber::kBytesPerSecond;
  const TestBlob rotten = make_blob(size, 16);
  fill(rotten);
  close();
  write_file(path_ + "/blobs/scrub", std::to_string(clock_.unix_now()) + " -\n");
  open();
  ASSERT_TRUE(blob(rotten)->sealed());
  flip_byte(data_file(rotten), size - 1);
  const TimePoint start = clock_.now();
  while (store().stats().corrupt_blocks == 0) {
    clock_.advance(std::chrono::milliseconds(10));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GE(clock_.now() - start, std::chrono::milliseconds(1900));
}

}  // namespace
}  // namespace hubvfs::cache
