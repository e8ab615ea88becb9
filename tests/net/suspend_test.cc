// SPDX-License-Identifier: Apache-2.0
// After the machine slept: old connections are dead, expiries have passed, deadlines have not.
#include <thread>

#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

using Suspend = FaultyHub;

TEST_F(Suspend, NoIdleConnectionIsUsedAgain) {
  expect_bytes(lfs_file(), {0, 10});
  expect_bytes(lfs_file(), {10, 20});
  EXPECT_EQ(content_.connections(), 1u);
  clock_.suspend(seconds(30));
  expect_bytes(lfs_file(), {20, 30});
  EXPECT_EQ(content_.connections(), 2u);
  expect_bytes(lfs_file(), {30, 40});
  EXPECT_EQ(content_.connections(), 2u);
}

TEST_F(Suspend, ATransferUnderWayGoesOnAtTheNextByte) {
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth > 1) return answer;
    answer.body_limit = 100'000;
    answer.then = Then::kStall;  // as a peer that has given the connection up
    return answer;
  });
  Fetching fetching(client(), lfs_file(), {0, 400'000}, seconds(100));  // stalls for 15 s at least
  while (client().stats().bytes_received < 100'000) std::this_thread::yield();
  clock_.suspend(hours(8));  // and that is no reason to give up
  const auto done = fetching.wait();
  ASSERT_TRUE(done) << done.error().context;
  EXPECT_EQ(client().stats().retries, 0u);  // it did not look like a stall
  EXPECT_EQ(fetching.bytes(), weights_.substr(0, 400'000));
  const auto requests = content_.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_TRUE(requests[1].header("range").ends_with("-399999"));
  EXPECT_NE(requests[1].header("range"), requests[0].header("range"));
}

TEST_F(Suspend, AQuestionUnderWayIsAskedAgain) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    answer.stall_first = nth == 1;
    return answer;
  });
  Answer<hub::RepoInfo> answer;
  client().repo_info(kRepo, "", clock_.now() + seconds(100), answer.callback());
  ASSERT_TRUE(hub_.await_requests(1));
  clock_.suspend(hours(8));
  const auto info = answer.wait();
  ASSERT_TRUE(info) << info.error().context;
  EXPECT_EQ(client().stats().failures, 0u);
}

TEST_F(Suspend, TheExpiryOfAUrlCountsTheSleep) {
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer = to_content();
    answer.headers[0].second =
        content_.origin() + "/blob?Expires=" + std::to_string(clock_.unix_now() + 3600);
    return answer;
  });
  expect_bytes(lfs_file(), {0, 10});
  expect_bytes(lfs_file(), {10, 20});
  EXPECT_EQ(hub_.requests().size(), 1u);
  clock_.suspend(hours(2));
  expect_bytes(lfs_file(), {20, 30});
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(Suspend, TheHoldOfARateLimitCountsTheSleep) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    if (nth == 1) {
      answer.status = 429;
      answer.header("RateLimit", "\"api\";r=0;t=200");
    }
    return answer;
  });
  EXPECT_EQ(info_error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(info_error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(hub_.requests().size(), 1u);
  clock_.suspend(seconds(250));
  EXPECT_TRUE(info());
}

}  // namespace
}  // namespace hubvfs
