// SPDX-License-Identifier: Apache-2.0
// Each call that changes the disk fails in its turn: alone, or with all that follow it.
#include <cerrno>
#include <chrono>
#include <optional>

#include "tests/cache/disk_calls.h"
#include "tests/cache/opened_cache.h"
#include "tests/support/test_scale.h"

namespace hubvfs::cache {
namespace {

using disk_calls::Act;

struct Fault {
  const char* name;
  int error;
};

class FailingCallsTest : public OpenedCache, public testing::WithParamInterface<Fault> {
 protected:
  void SetUp() override { disk_calls::skip_syncs(true); }
  void TearDown() override {
    disk_calls::disarm();
    close();
    disk_calls::skip_syncs(false);
  }

  // A cache that holds something before anything fails.
  void make_cache() {
    close();
    std::filesystem::remove_all(path_);
    open();
    fill(old_large_);
    fill(old_small_);
    ASSERT_TRUE(cache_->meta().put("public", "old", as_bytes("was here")));
    close();
  }

  // Opens, reads, fills and looks again while calls fail. Returns how many calls there were.
  std::uint64_t use_while_failing(const disk_calls::Plan& plan) {
    noted_ = false;
    disk_calls::arm(plan);
    auto opened = DiskCache::open({path_, 1u << 30, kTestBlock}, log_, clock_);
    if (opened) {
      cache_ = std::move(*opened);
      use();
    }
    const std::uint64_t calls = disk_calls::disarm();
    if (!opened) {
      // What cannot even be read cannot be opened; but when the disk lets it.
      EXPECT_TRUE(GetParam().error == EIO || GetParam().error == EMFILE) << opened.error().context;
      open();
    }
    return calls;
  }

  void use() {
    const auto large = blob(large_);
    const auto small = blob(small_);
    put_all(*large, large_);
    put_all(*small, small_);
    (void)cache_->meta().put("public", "new", as_bytes("value")).has_value();
    (void)cache_->meta().put("u7", "first", as_bytes("of its namespace")).has_value();
    noted_ = true;
    const std::string noted = get("new");  // refused or not, it is served, if the disk can be read
    EXPECT_TRUE(noted == "value" || (noted == "<none>" && GetParam().error == EIO)) << noted;
    if (!store().flush()) {
      EXPECT_NE(store().stats().degraded, "");
    }
    for (const TestBlob* source : {&large_, &small_, &old_large_, &old_small_}) {
      expect_right_or_absent(*source);
    }
    if (GetParam().error == ENOSPC || GetParam().error == EROFS) {  // it can be read all the same
      expect_whole(old_large_);
      expect_whole(old_small_);
      EXPECT_EQ(get("old"), "was here");
    }
    EXPECT_EQ(store().stats().pending_bytes, 0u);
    blob(dropped_)->put(0, dropped_.block(0));
    blob(dropped_)->drop();
    (void)store().flush().has_value();
    (void)cache_->meta().erase("public", "new").has_value();
    EXPECT_EQ(get("new"), "<none>");
  }

  void expect_right_or_absent(const TestBlob& source) {
    const auto opened = blob(source);
    for (std::uint64_t i = 0; i < source.blocks(); ++i) {
      const std::string found = read_text(*opened, i * kTestBlock, source.block(i)->size());
      EXPECT_TRUE(found == as_text(*source.block(i)) || found == "<NotFound>" || found == "<Io>")
          << found.substr(0, 50);
    }
  }

  // The disk works again: so does the cache, without being told, and after a restart.
  void expect_recovered() {
    clock_.advance(std::chrono::seconds(10));
    for (int restarts = 0; restarts < 2; ++restarts) {
      for (const TestBlob* source : {&large_, &small_, &old_large_, &old_small_}) {
        put_all(*blob(*source), *source);
      }
      ASSERT_TRUE(cache_->meta().put("public", "new", as_bytes("value")));
      const auto flushed = store().flush();
      ASSERT_TRUE(flushed) << flushed.error().context;
      EXPECT_EQ(store().stats().degraded, "");
      open();
      for (const TestBlob* source : {&large_, &small_, &old_large_, &old_small_}) {
        expect_whole(*source);
      }
      EXPECT_EQ(blob(dropped_)->cached_bytes(), 0u);
      EXPECT_EQ(get("old"), "was here");
      EXPECT_EQ(get("new"), "value");
      const auto kept = cache_->meta().get("u7", "first");
      ASSERT_TRUE(kept);
      EXPECT_EQ(kept->has_value(), noted_);  // written when the disk let it be, if not then
    }
    EXPECT_EQ(store().stats().corrupt_blocks, 0u);
  }

  // Each call in its turn, until there is none left; every third of them when in a hurry.
  void fail_each(Act act) {
    const std::uint64_t step = test_full() ? 1 : 3;
    std::uint64_t calls = 0;
    std::uint64_t at = 1;
    do {
      make_cache();
      calls = use_while_failing({at, act, GetParam().error});
      expect_recovered();
      if (HasFailure()) FAIL() << "call " << at;
      at += step;
    } while (calls >= at - step);
    EXPECT_GT(at, 20u);
    std::cout << "each " << step << ". of " << at << " calls\n";
  }

  bool noted_ = false;
  const TestBlob old_large_ = make_blob(2 * kTestBlock + 5, 1);
  const TestBlob old_small_ = make_blob(5000, 2);
  const TestBlob large_ = make_blob(3 * kTestBlock + 9, 3);
  const TestBlob small_ = make_blob(7000, 4);
  const TestBlob dropped_ = make_blob(kTestBlock, 5);
};

TEST_P(FailingCallsTest, OneThatFailsIsNotTheReadersErrorAndIsMadeUpFor) { fail_each(Act::kFail); }

TEST_P(FailingCallsTest, ADiskThatFailsFromThenOnIsNotTheReadersErrorAndIsMadeUpFor) {
  fail_each(Act::kFailOn);
}

INSTANTIATE_TEST_SUITE_P(Faults, FailingCallsTest,
                         testing::Values(Fault{"Full", ENOSPC}, Fault{"Failing", EIO},
                                         Fault{"ReadOnly", EROFS}, Fault{"NoDescriptors", EMFILE}),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace hubvfs::cache
