// SPDX-License-Identifier: Apache-2.0
// A cache on a disk whose power is cut under a writer. 4 cuts, 40 with HUBVFS_TEST_FULL=1; the seed
// is printed, and HUBVFS_TEST_SEED gives it.
//
// The kernel writes pages back in no order, and a cut comes between any two of them: so before it a
// random part of the dirty pages of every file is forced out, and then the filesystem is shut down
// without its log.
#include <fcntl.h>
#include <sys/wait.h>

#include <csignal>
#include <iostream>

#include "tests/cache/crash_writer.h"
#include "tests/cache/loop_disk.h"
#include "tests/support/test_scale.h"

namespace hubvfs::cache {
namespace {

constexpr std::uint64_t kPage = 4096;

class PowerCutTest : public CrashedCache, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const std::string reason = LoopDisk::why_not(GetParam());
    if (!reason.empty()) GTEST_SKIP() << reason;
  }

  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }

  // Some of the dirty pages, and of some files none or nearly all.
  void write_some_pages(const std::string& folder) {
    for (const auto& found : std::filesystem::recursive_directory_iterator(folder)) {
      if (!found.is_regular_file()) continue;
      const UniqueFd fd(::open(found.path().c_str(), O_RDWR | O_CLOEXEC));
      if (!fd) continue;  // removed meanwhile
      const unsigned share = pick(4) * 33;
      const std::uint64_t size = std::filesystem::file_size(found.path());
      for (std::uint64_t page = 0; page * kPage < size; ++page) {
        // The first two pages of LMDB's file say which of its transactions is the last.
        if (pick(100) >= share && !(page < 2 && pick(2) == 0)) continue;
        (void)::sync_file_range(
            fd.get(), static_cast<off_t>(page * kPage), kPage,
            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
      }
    }
  }

  // A writer at work on the disk, a cut, and the end of the writer. Returns what was promised.
  Flushed cut_under_a_writer(LoopDisk& disk, std::uint64_t limit, Promises& promises) {
    const unsigned seed = pick(1u << 31);
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(60);
      NullLogger log;
      SystemClock clock;
      auto cache = DiskCache::open({path_, limit, kTestBlock}, log, clock);
      if (!cache) ::_exit(3);
      Writer(**cache, promises, seed).run();
    }
    ::usleep(pick(400'000));
    // Stopped between two calls, or still at it.
    if (pick(2) == 0) ::kill(child, SIGSTOP);
    Flushed promised = flushed(promises);
    write_some_pages(disk.path());
    disk.cut_power();
    ::kill(child, SIGKILL);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    const bool was_opening = WIFEXITED(status) && WEXITSTATUS(status) == 3;
    EXPECT_TRUE(was_opening || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) << status;
    // What was dropped meanwhile is promised no more.
    for (unsigned i = 0; i < kBlobs; ++i) promised[i] &= promises.flushed[i];
    return promised;
  }

  // The next start, after which everything can be had again.
  std::uint64_t check_and_refill(std::uint64_t limit, const Flushed& promised,
                                 const Promises& promises) {
    open(limit);
    const std::uint64_t present = check_blocks(promised);
    for (unsigned key = 0; key < kKeys; ++key) EXPECT_LE(check_value(key), promises.begun[key]);
    damaged_ += store().stats().corrupt_blocks;
    for (const char* why : {"it cannot be read", "wrong checksum", "ends in signal"}) {
      EXPECT_EQ(log_.text().find(why), std::string::npos) << log_.text();
    }
    if (limit == kRoomy) {
      for (unsigned i = 0; i < kBlobs; ++i) put_all(*blob(blob_of(i)), blob_of(i));
      flush();
      for (unsigned i = 0; i < kBlobs; ++i) expect_whole(blob_of(i));
    }
    EXPECT_LE(store().stats().bytes_used, limit);
    close();
    return present;
  }

  std::mt19937 random_{0};
  std::uint64_t damaged_ = 0;
};

TEST_P(PowerCutTest, LeavesNoWrongByteAndKeepsWhatWasFlushed) {
  random_.seed(test_seed());
  const int cuts = test_full() ? 20 : 2;
  std::uint64_t present = 0;
  for (int cut = 0; cut < cuts;) {
    LoopDisk disk(GetParam(), 320u << 20);
    path_ = disk.path() + "/cache";
    const SharedPromises promises;
    const std::uint64_t limit = cut % 4 == 0 ? kRoomy : kTight;
    for (const int end = cut + 2; cut < end; ++cut) {  // a new cache, then what it has become
      const Flushed promised = cut_under_a_writer(disk, limit, *promises);
      disk.unmount();
      disk.mount();
      present += check_and_refill(limit, limit == kRoomy ? promised : Flushed{}, *promises);
      if (HasFailure()) FAIL() << "cut " << cut << "\n" << log_.text();
    }
  }
  std::cout << cuts << " power cuts on " << GetParam() << ", " << present << " blocks found right, "
            << damaged_ << " found damaged\n";
}

INSTANTIATE_TEST_SUITE_P(Filesystems, PowerCutTest, testing::Values("ext4", "xfs"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace hubvfs::cache
