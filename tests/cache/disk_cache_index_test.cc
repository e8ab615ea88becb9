// SPDX-License-Identifier: Apache-2.0
// An index damaged in every way: 30 damaged files, 300 with HUBVFS_TEST_FULL=1; the seed is
// printed, and HUBVFS_TEST_SEED gives it.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "cache/directory.h"
#include "tests/cache/crash_writer.h"
#include "tests/cache/disk_calls.h"
#include "tests/support/test_scale.h"

namespace hubvfs::cache {
namespace {

constexpr std::size_t kPage = 4096;
constexpr unsigned kFiles = 80;

class DamagedIndexTest : public CrashedCache {
 protected:
  void SetUp() override {
    disk_calls::skip_syncs(true);
    random_.seed(test_seed());
  }
  void TearDown() override {
    close();
    disk_calls::skip_syncs(false);
  }

  std::string index() const { return path_ + "/index/data.mdb"; }
  std::size_t pick(std::size_t below) { return random_() % below; }

  // A cache of many small files, and how its index looks when it was closed, and when it was not.
  void make_cache() {
    open();
    for (unsigned i = 0; i < kFiles; ++i) {
      sources_.push_back(
          make_blob((64u << 10) + i * 100, 700 + i, i % 5 == 0 ? "u1000" : "public"));
      put_all(*blob(sources_.back()), sources_.back());
      const std::string value = "listing " + std::to_string(i);
      ASSERT_TRUE(cache_->meta().put("public", "name" + std::to_string(i), as_bytes(value)));
      if (i % 10 == 9) flush();
    }
    partial_ = make_blob(6 * kTestBlock, 699);
    for (const std::uint64_t i : {1u, 4u}) blob(partial_)->put(i, partial_.block(i));
    flush();
    crashed_ = read_file(index());
    close();
    closed_ = read_file(index());
  }

  void expect_everything() {
    for (const TestBlob& source : sources_) expect_whole(source);
    for (const std::uint64_t i : {1u, 4u}) {
      EXPECT_EQ(brief(read_text(*blob(partial_), i * kTestBlock, kTestBlock)),
                brief(partial_.content.substr(i * kTestBlock, kTestBlock)));
    }
    unsigned names = 0;
    EXPECT_TRUE(cache_->meta().for_each("public", "name", [&](std::string_view, ByteView value) {
      EXPECT_TRUE(as_text(value).starts_with("listing "));
      ++names;
    }));
    EXPECT_EQ(names, kFiles);
    EXPECT_EQ(store().stats().corrupt_blocks, 0u);
  }

  // Says what it did.
  std::string damage(std::string& bytes) {
    const std::size_t pages = bytes.size() / kPage;
    const std::size_t at = pick(pages) * kPage;
    const std::string page = " page " + std::to_string(at / kPage);
    switch (pick(6)) {
      case 0:
        bytes.resize(pick(bytes.size()));
        return "cut to " + std::to_string(bytes.size());
      case 1:
        bytes.replace(at, kPage, std::string(kPage, '\0'));
        return "zeroed" + page;
      case 2: {
        const std::size_t from = pick(pages);
        bytes.replace(at, kPage, bytes.substr(from * kPage, kPage));
        return "page " + std::to_string(from) + " in the place of" + page;
      }
      case 3:
        bytes.replace(at, kPage, random_bytes(kPage, static_cast<unsigned>(random_())));
        return "noise in" + page;
      case 4:  // which transaction is the last one, and where its trees begin
        flip(bytes, pick(2) * kPage + pick(200));
        return "a bit of a meta page";
      default: {
        const std::size_t bits = 1 + pick(8);
        for (std::size_t i = 0; i < bits; ++i) flip(bytes, pick(bytes.size()));
        return std::to_string(bits) + " bits";
      }
    }
  }
  void flip(std::string& bytes, std::size_t at) {
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
  }

  std::mt19937 random_{0};
  std::vector<TestBlob> sources_;
  TestBlob partial_;
  std::string closed_;
  std::string crashed_;
};

TEST_F(DamagedIndexTest, AnyDamageCostsNothing) {
  make_cache();
  const int rounds = test_full() ? 300 : 30;
  int rebuilt = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = round % 2 == 0 ? closed_ : crashed_;
    const std::string what = damage(bytes);
    write_file(index(), bytes);
    open();
    expect_everything();
    close();
    if (HasFailure()) FAIL() << "round " << round << ": " << what << "\n" << log_.text();
    rebuilt += std::filesystem::remove_all(path_ + "/index.bad") > 0 ? 1 : 0;
  }
  EXPECT_GT(rebuilt, rounds / 10);  // about half: some damage is of what nobody reads
  std::cout << rounds << " damaged index files, " << rebuilt << " of them made anew\n";
}

// The writer may go on, fail or die of it; what it was promised is there at the next start.
TEST_F(DamagedIndexTest, DamageUnderAWriterCostsNothing) {
  const int rounds = test_full() ? 60 : 6;
  for (int round = 0; round < rounds; ++round) {
    std::filesystem::remove_all(path_);
    const SharedPromises promises;
    const auto seed = static_cast<unsigned>(random_());
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::alarm(60);
      const rlimit no_core{0, 0};
      ::setrlimit(RLIMIT_CORE, &no_core);
      NullLogger log;
      SystemClock clock;
      auto cache = DiskCache::open({path_, kRoomy, kTestBlock}, log, clock);
      if (!cache) ::_exit(3);
      Writer(**cache, *promises, seed).run();
    }
    while (flushed(*promises) == Flushed{}) ::usleep(1000);  // there is something to damage
    Flushed promised = flushed(*promises);
    std::string bytes = read_file(index());
    const std::string what = damage(bytes);
    const UniqueFd fd(::open(index().c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(write_fully(fd.get(), as_bytes(bytes), 0));
    ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes.size())), 0);
    ::usleep(static_cast<useconds_t>(pick(50'000)));
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    for (unsigned i = 0; i < kBlobs; ++i) promised[i] &= promises->flushed[i];
    open();
    check_blocks(promised);
    for (unsigned key = 0; key < kKeys; ++key) EXPECT_GE(check_value(key), promises->done[key]);
    close();
    if (HasFailure()) FAIL() << "round " << round << ": " << what << "\n" << log_.text();
  }
}

}  // namespace
}  // namespace hubvfs::cache
