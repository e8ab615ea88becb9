// SPDX-License-Identifier: Apache-2.0
// What the engine makes of a link on which some transfers do not go as others do.
#include <algorithm>
#include <map>

#include "base/mutex.h"
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using hub::Priority;
using std::chrono::seconds;

class FetchLink : public FaultyHub {
 protected:
  // Enough fetches for the engine to know what is usual.
  void learn() {
    for (std::uint64_t i = 0; i < 10; ++i) expect_bytes(lfs_file(), {i, i + 1000});
    learned_ = content_.requests().size();
    before_ = client().stats().link;  // a machine that is busy may have been late already
  }
  // Its counters since then.
  hub::LinkState link() {
    hub::LinkState now = client().stats().link;
    now.hedged -= before_.hedged;
    now.hedges_won -= before_.hedges_won;
    now.stalled -= before_.stalled;
    now.preempted -= before_.preempted;
    return now;
  }
  std::unique_ptr<Fetching> start(ByteRange range, Priority priority = Priority::kDemand) {
    return std::make_unique<Fetching>(client(), lfs_file(), range, seconds(60), priority);
  }
  void expect_whole(Fetching& fetching, ByteRange range) {
    const auto done = fetching.wait();
    ASSERT_TRUE(done) << done.error().context;
    EXPECT_TRUE(fetching.contiguous());
    EXPECT_TRUE(fetching.bytes() == weights_.substr(range.begin, range.size()));
  }
  std::size_t asked_since() { return content_.requests().size() - learned_; }
  std::string range_asked(std::size_t nth) {
    return content_.requests()[learned_ + nth].header("range");
  }
  std::size_t learned_ = 0;
  hub::LinkState before_;
};

TEST_F(FetchLink, AStallLongerThanUsualGoesOnOnANewConnection) {
  learn();
  auto one = start({0, 1000});  // so that there are idle connections
  auto two = start({0, 1000});
  expect_whole(*one, {0, 1000});
  expect_whole(*two, {0, 1000});
  learned_ = content_.requests().size();
  const std::size_t connections = content_.connections();
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth == 1) {
      answer.body_limit = 100'000;
      answer.then = Then::kStall;
    }
    return answer;
  });
  auto fetching = start({0, 400'000});
  expect_whole(*fetching, {0, 400'000});
  ASSERT_EQ(asked_since(), 2u);
  EXPECT_EQ(range_asked(1), "bytes=100000-399999");
  EXPECT_EQ(content_.connections(), connections + 1);
  EXPECT_EQ(link().stalled, 1u);
  EXPECT_EQ(client().stats().failures, 0u);
}

TEST_F(FetchLink, AConnectionThatCrawlsIsLeftOnceSomebodyWaits) {
  for (int i = 0; i < 10; ++i) expect_bytes(lfs_file(), {0, 400'000});
  learn();
  const std::size_t connections = content_.connections();
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth == 1) {
      answer.body_limit = 100'000;
      answer.then = Then::kDrip;
    }
    return answer;
  });
  auto fetching = start({0, 400'000}, Priority::kReadAhead);
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  EXPECT_EQ(asked_since(), 1u) << "nobody waits yet";
  client().raise_priority(fetching->id(), Priority::kDemand);
  ASSERT_TRUE(fetching->wait());
  EXPECT_TRUE(fetching->contiguous());
  EXPECT_EQ(fetching->bytes().size(), 400'000u);
  const auto dripped = static_cast<std::ptrdiff_t>(200'000);  // fewer; they are no content
  EXPECT_TRUE(std::equal(weights_.begin() + dripped, weights_.begin() + 400'000,
                         fetching->bytes().begin() + dripped));
  EXPECT_EQ(asked_since(), 2u);
  EXPECT_TRUE(range_asked(1).starts_with("bytes=100")) << range_asked(1);
  EXPECT_EQ(content_.connections(), connections + 1);
  EXPECT_EQ(link().stalled, 1u);
  EXPECT_EQ(client().stats().failures, 0u);
}

TEST_F(FetchLink, ADemandThatIsLateIsAskedForTwice) {
  learn();
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    answer.stall_first = nth == 1;
    return answer;
  });
  auto fetching = start({0, 100'000});
  expect_whole(*fetching, {0, 100'000});
  EXPECT_EQ(asked_since(), 2u);
  EXPECT_EQ(range_asked(0), range_asked(1));
  EXPECT_EQ(link().hedged, 1u);
  EXPECT_EQ(link().hedges_won, 1u);
  EXPECT_EQ(link().stalled, 0u);
}

TEST_F(FetchLink, ButNotWhereThatIsNotWanted) {
  learn();
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    answer.stall_first = nth == 1;
    return answer;
  });
  Fetching fetching(client(), lfs_file(), {0, 100'000}, seconds(60), Priority::kDemand, false);
  expect_whole(fetching, {0, 100'000});
  EXPECT_EQ(link().hedged, 0u);
  EXPECT_EQ(link().stalled, 1u);
}

TEST_F(FetchLink, TheFirstAnswerCountsWhicheverItIs) {
  learn();
  std::promise<void> second_came;
  std::promise<void> over;
  on_content([&, came = second_came.get_future().share(), end = over.get_future().share()](
                 const ScriptedRequest& request, int nth) {
    if (nth == 1) came.wait();
    if (nth == 2) second_came.set_value();
    if (nth == 2) end.wait();
    return good_content(request);
  });
  auto fetching = start({0, 100'000});
  expect_whole(*fetching, {0, 100'000});
  EXPECT_EQ(asked_since(), 2u);
  EXPECT_EQ(link().hedged, 1u);
  EXPECT_EQ(link().hedges_won, 0u);
  over.set_value();
}

TEST_F(FetchLink, ASecondRequestThatFailsIsNotTheAnswer) {
  learn();
  std::promise<void> second_came;
  on_content([&, came = second_came.get_future().share()](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth == 1) came.wait();
    if (nth == 1) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (nth == 2) answer = refusal(503);
    if (nth == 2) second_came.set_value();
    return answer;
  });
  auto fetching = start({0, 100'000});
  expect_whole(*fetching, {0, 100'000});
  EXPECT_EQ(asked_since(), 2u);
  EXPECT_EQ(client().stats().retries, 0u);
}

TEST_F(FetchLink, OnlyAFewAreAskedForTwice) {
  learn();
  Mutex mutex;
  std::map<std::string, int> asked;
  on_content([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = good_content(request);
    MutexLock lock(mutex);
    answer.stall_first = ++asked[request.header("range")] == 1;
    return answer;
  });
  std::vector<std::unique_ptr<Fetching>> fetches;
  for (std::uint64_t i = 1; i <= 10; ++i) fetches.push_back(start({i * 1000, i * 1000 + 500}));
  for (std::uint64_t i = 1; i <= 10; ++i) {
    expect_whole(*fetches[i - 1], {i * 1000, i * 1000 + 500});
  }
  EXPECT_LE(link().hedged, 3u);
  EXPECT_GE(link().hedged + link().stalled, 10u);
}

TEST_F(FetchLink, AReadAheadThatMakesRoomLosesNothing) {
  hub::HubClientOptions options;
  options.max_connections = 1;
  make_client(options);
  learn();
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth == 1) {
      answer.body_limit = 100'000;
      answer.then = Then::kStall;
    }
    return answer;
  });
  const std::uint64_t received = client().stats().bytes_received;
  auto ahead = start({0, 400'000}, Priority::kReadAhead);
  auto queued = start({450'000, 460'000}, Priority::kReadAhead);
  while (client().stats().bytes_received < received + 100'000) std::this_thread::yield();
  auto demand = start({400'000, 450'000});
  expect_whole(*demand, {400'000, 450'000});
  expect_whole(*ahead, {0, 400'000});
  expect_whole(*queued, {450'000, 460'000});
  ASSERT_EQ(asked_since(), 4u);
  EXPECT_EQ(range_asked(1), "bytes=400000-449999");
  EXPECT_EQ(range_asked(2), "bytes=100000-399999") << "before what was queued behind it";
  EXPECT_EQ(client().stats().bytes_received, received + 460'000);
  EXPECT_EQ(link().preempted, 1u);
  EXPECT_EQ(client().stats().failures, 0u);
}

TEST_F(FetchLink, ADemandIsNotPreempted) {
  hub::HubClientOptions options;
  options.max_connections = 1;
  make_client(options);
  learn();
  std::promise<void> gate;
  on_content([&, opened = gate.get_future().share()](const ScriptedRequest& request, int nth) {
    if (nth == 1) opened.wait();
    return good_content(request);
  });
  auto ahead = start({0, 1000}, Priority::kReadAhead);
  ASSERT_TRUE(content_.await_requests(learned_ + 1));
  client().raise_priority(ahead->id(), Priority::kDemand);
  auto demand = start({5000, 6000});
  (void)info_of(client(), kRepo, "", std::chrono::milliseconds(50));
  gate.set_value();
  expect_whole(*ahead, {0, 1000});
  expect_whole(*demand, {5000, 6000});
  EXPECT_EQ(asked_since(), 2u);
  EXPECT_EQ(link().preempted, 0u);
}

TEST_F(FetchLink, OnABusyLinkADemandEndsReadAheadThatWouldHoldItUp) {
  answer_from_afar();
  learn();
  const std::uint64_t kMany = 10;
  std::atomic<bool> thin{true};
  on_content([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = far_content(request);
    if (!thin) return answer;
    answer.body_limit = 1;
    answer.then = Then::kDrip;  // a hundred bytes a second
    return answer;
  });
  std::vector<std::unique_ptr<Fetching>> ahead;
  const auto range = [](std::uint64_t i) { return ByteRange{i * 10'000, i * 10'000 + 5'000}; };
  for (std::uint64_t i = 0; i < kMany; ++i) ahead.push_back(start(range(i), Priority::kReadAhead));
  while (link().rate == 0) std::this_thread::yield();  // as many run as may
  EXPECT_EQ(link().preempted, 0u);
  thin = false;
  auto demand = start({400'000, 401'000});
  expect_whole(*demand, {400'000, 401'000});
  EXPECT_GE(link().preempted, 8u);
  for (const auto& each : ahead) {
    ASSERT_TRUE(each->wait());
    EXPECT_TRUE(each->contiguous());
    EXPECT_EQ(each->bytes().size(), range(0).size());
  }
  EXPECT_EQ(client().stats().failures, 0u);
}

TEST_F(FetchLink, ARefusalOfTheContentHostMeansFewerConnections) {
  learn();
  const int before = link().connections;
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth == 1) answer.status = 503;
    return answer;
  });
  expect_bytes(lfs_file(), {0, 1000});
  EXPECT_EQ(link().connections, before / 2);
  EXPECT_GE(client().advice().parallel, before / 2);
}

}  // namespace
}  // namespace hubvfs
