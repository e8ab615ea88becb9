// SPDX-License-Identifier: Apache-2.0
#include "base/blocking.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/mutex.h"

namespace hubvfs {
namespace {

TEST(NoBlockScopeDeathTest, WaitingInsideIsABugInADebugBuild) {
#ifdef NDEBUG
  GTEST_SKIP() << "SKIPPED: asserted in debug builds only";
#else
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const NoBlockScope scope;
        assert_may_block("the network");
      },
      "a FUSE thread would wait for the network");
  EXPECT_DEATH(
      {
        const NoBlockScope scope;
        Mutex mutex;
        CondVar condition;
        MutexLock lock(mutex);
        condition.wait_for(mutex, std::chrono::milliseconds(1));
      },
      "condition variable");
#endif
}

TEST(NoBlockScope, OnlyItsOwnThreadAndLifeAreConcerned) {
  {
    const NoBlockScope scope;
    std::thread([] { assert_may_block("the network"); }).join();
  }
  assert_may_block("the network");
}

}  // namespace
}  // namespace hubvfs
