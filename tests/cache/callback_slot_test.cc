// SPDX-License-Identifier: Apache-2.0
#include "cache/callback_slot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

namespace hubvfs::cache {
namespace {

TEST(CallbackSlot, GivesNothingWhereThereIsNone) {
  CallbackSlot<int(const std::string&)> slot;
  EXPECT_EQ(slot("abc"), 0);
  slot.set([](const std::string& text) { return static_cast<int>(text.size()); });
  EXPECT_EQ(slot("abc"), 3);
  slot.set({});
  EXPECT_EQ(slot("abc"), 0);
}

TEST(CallbackSlot, SetWaitsForTheCallThatRuns) {
  CallbackSlot<void()> slot;
  std::promise<void> reached;
  std::promise<void> go_on;
  std::atomic<bool> ended{false};
  auto owned = std::make_shared<int>(1);
  slot.set([&, owned] {
    reached.set_value();
    go_on.get_future().wait();
    ended = true;
  });
  const std::weak_ptr<int> alive = owned;
  owned.reset();
  std::thread caller([&] { slot(); });
  reached.get_future().wait();
  std::thread setter([&] {
    slot.set({});
    EXPECT_TRUE(ended);
    EXPECT_TRUE(alive.expired()) << "what it holds may be destroyed by now";
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // it may come to wait
  go_on.set_value();
  setter.join();
  caller.join();
}

}  // namespace
}  // namespace hubvfs::cache
