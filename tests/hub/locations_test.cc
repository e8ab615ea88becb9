// SPDX-License-Identifier: Apache-2.0
#include "hub/locations.h"

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"

namespace hubvfs::hub {
namespace {

using std::chrono::seconds;

struct FakeWaiter final : LocationWaiter {
  void location_ready() override { ++ready; }
  void location_failed(const Error& error) override { failed = error.code; }
  void raise_resolver(Priority priority) override { raised = priority; }
  int ready = 0;
  ErrorCode failed = ErrorCode::kInternal;
  Priority raised = Priority::kVerify;
};

Location location(const ManualClock& clock, const std::string& query) {
  Location made;
  made.url = {"https", "cdn.org", 443, "/x", query};
  made.expires = Locations::expiry(made.url, clock.now(), clock.unix_now());
  return made;
}

TEST(HubProtocolD4, ASignedUrlIsUsedUntilShortlyBeforeItsEnd) {
  ManualClock clock;
  Locations locations(clock);
  locations.put("f", location(clock, "Expires=" + std::to_string(clock.unix_now() + 100)));
  clock.advance(seconds(89));
  EXPECT_TRUE(locations.find("f"));
  clock.advance(seconds(2));
  EXPECT_FALSE(locations.find("f"));
}

TEST(HubProtocolD4, AnUnknownEndIsOneHour) {
  ManualClock clock;
  Locations locations(clock);
  locations.put("f", location(clock, "x=y"));
  clock.advance(seconds(3599));
  EXPECT_TRUE(locations.find("f"));
  clock.advance(seconds(2));
  EXPECT_FALSE(locations.find("f"));
}

TEST(HubProtocolD4, AnExpiredOneIsNeverUsed) {
  ManualClock clock;
  Locations locations(clock);
  locations.put("f", location(clock, "Expires=5"));
  EXPECT_FALSE(locations.find("f"));
}

TEST(LocationsTest, DroppingAnOldOneKeepsItsSuccessor) {
  ManualClock clock;
  Locations locations(clock);
  const auto old = locations.put("f", location(clock, "a"));
  const auto fresh = locations.put("f", location(clock, "b"));
  locations.drop("f", old);
  ASSERT_TRUE(locations.find("f"));
  locations.drop("f", fresh);
  EXPECT_FALSE(locations.find("f"));
}

TEST(HubProtocolF, AnotherTokenForgetsThemAll) {
  ManualClock clock;
  Locations locations(clock);
  locations.belong_to(1);
  locations.put("f", location(clock, "a"));
  locations.belong_to(1);
  EXPECT_TRUE(locations.find("f"));
  locations.belong_to(2);
  EXPECT_FALSE(locations.find("f"));
}

TEST(LocationsTest, OneResolvesAndTheOthersAreTold) {
  ManualClock clock;
  Locations locations(clock);
  FakeWaiter leader, second, third;
  EXPECT_TRUE(locations.lead("f", leader, Priority::kReadAhead));
  EXPECT_FALSE(locations.lead("f", second, Priority::kDemand));
  EXPECT_EQ(leader.raised, Priority::kDemand);
  EXPECT_FALSE(locations.lead("f", third, Priority::kVerify));
  locations.stop_waiting("f", third);
  locations.put("f", location(clock, "a"));
  EXPECT_EQ(second.ready, 1);
  EXPECT_EQ(third.ready, 0);
  EXPECT_EQ(leader.ready, 0);
}

TEST(LocationsTest, AFailureIsSharedAndALeaverMakesRoom) {
  ManualClock clock;
  Locations locations(clock);
  FakeWaiter leader, second;
  EXPECT_TRUE(locations.lead("f", leader, Priority::kDemand));
  EXPECT_FALSE(locations.lead("f", second, Priority::kDemand));
  locations.fail("f", {ErrorCode::kGated, "x"});
  EXPECT_EQ(second.failed, ErrorCode::kGated);
  EXPECT_TRUE(locations.lead("f", leader, Priority::kDemand));
  EXPECT_FALSE(locations.lead("f", second, Priority::kDemand));
  locations.leave("f");
  EXPECT_EQ(second.ready, 1);
  EXPECT_TRUE(locations.lead("f", second, Priority::kDemand));
}

TEST(LocationsTest, TheyAreBounded) {
  ManualClock clock;
  Locations locations(clock);
  for (int i = 0; i < 5000; ++i) locations.put("f" + std::to_string(i), location(clock, "a"));
  EXPECT_FALSE(locations.find("f0"));
  EXPECT_TRUE(locations.find("f4999"));
}

}  // namespace
}  // namespace hubvfs::hub
