// SPDX-License-Identifier: Apache-2.0
// What starts before what, and who waits for whom.
#include <future>
#include <mutex>

#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using hub::Priority;
using std::chrono::seconds;

class FetchOrder : public FaultyHub {
 protected:
  // Until open() is called, requests to the content host for offsets below `offset` wait.
  void close_gate(std::uint64_t offset = UINT64_MAX) {
    on_content(
        [this, offset, gate = gate_.get_future().share()](const ScriptedRequest& request, int) {
          const std::string range = request.header("range").substr(6);
          if (*parse_decimal(range.substr(0, range.find('-'))) < offset) gate.wait();
          return good_content(request);
        });
  }
  void open_gate() { gate_.set_value(); }
  void limit(int connections) {
    hub::HubClientOptions options;
    options.max_connections = connections;
    make_client(options);
  }
  std::unique_ptr<Fetching> start(std::uint64_t begin, Priority priority) {
    return std::make_unique<Fetching>(client(), lfs_file(), ByteRange{begin, begin + 10},
                                      seconds(10), priority);
  }
  // Read-aheads that somebody waits for, at the gate: ten of them have been asked for.
  std::vector<std::unique_ptr<Fetching>> twelve_raised() {
    answer_from_afar();
    expect_bytes(lfs_file(), {0, 1});
    close_gate(100'000);
    std::vector<std::unique_ptr<Fetching>> ahead;
    for (std::uint64_t i = 1; i <= 12; ++i) ahead.push_back(start(i * 1000, Priority::kReadAhead));
    EXPECT_TRUE(content_.await_requests(1 + 8)) << "as many as the link is for";
    for (const auto& fetch : ahead) client().raise_priority(fetch->id(), Priority::kDemand);
    EXPECT_TRUE(content_.await_requests(1 + 10)) << "with the next, for when one ends";
    return ahead;
  }
  std::string range_asked(std::size_t nth) { return content_.requests()[nth].header("range"); }

  std::promise<void> gate_;
};

TEST_F(FetchOrder, ADemandStartsBeforeWhatWasQueuedEarlier) {
  limit(1);
  expect_bytes(lfs_file(), {0, 1});  // the location is known
  close_gate();
  std::vector<std::unique_ptr<Fetching>> fetches;
  fetches.push_back(start(1000, Priority::kDemand));
  ASSERT_TRUE(content_.await_requests(2));
  fetches.push_back(start(2000, Priority::kVerify));
  fetches.push_back(start(3000, Priority::kPrefetch));
  fetches.push_back(start(4000, Priority::kReadAhead));
  fetches.push_back(start(5000, Priority::kDemand));
  ASSERT_TRUE(info_of(client(), kRepo, "", std::chrono::milliseconds(50)).error().code !=
              ErrorCode::kInternal);  // all of them are queued by now
  open_gate();
  for (auto& fetch : fetches) ASSERT_TRUE(fetch->wait());
  EXPECT_EQ(range_asked(2), "bytes=5000-5009");
  EXPECT_EQ(range_asked(3), "bytes=4000-4009");
  EXPECT_EQ(range_asked(4), "bytes=3000-3009");
  EXPECT_EQ(range_asked(5), "bytes=2000-2009");
}

TEST_F(FetchOrder, ARaisedReadAheadStartsBeforeTheOthers) {
  limit(1);
  expect_bytes(lfs_file(), {0, 1});
  close_gate();
  const auto busy = start(1000, Priority::kReadAhead);
  ASSERT_TRUE(content_.await_requests(2));
  const auto first = start(2000, Priority::kReadAhead);
  const auto second = start(3000, Priority::kPrefetch);
  client().raise_priority(second->id(), Priority::kDemand);
  client().raise_priority(second->id(), Priority::kVerify);  // never lowers it
  client().raise_priority(999, Priority::kDemand);
  (void)info_of(client(), kRepo, "", std::chrono::milliseconds(50));
  open_gate();
  ASSERT_TRUE(first->wait());
  ASSERT_TRUE(second->wait());
  EXPECT_EQ(range_asked(2), "bytes=3000-3009");
}

TEST_F(FetchOrder, ReadAheadLeavesRoomForADemand) {
  limit(4);
  answer_from_afar();
  expect_bytes(lfs_file(), {0, 1});
  close_gate(100'000);
  std::vector<std::unique_ptr<Fetching>> ahead;
  for (std::uint64_t i = 1; i <= 6; ++i) ahead.push_back(start(i * 1000, Priority::kReadAhead));
  ASSERT_TRUE(content_.await_requests(4));
  const auto demand = start(200'000, Priority::kDemand);
  EXPECT_TRUE(demand->wait());
  EXPECT_EQ(content_.requests().size(), 5u);  // three read-aheads and the demand
  open_gate();
  for (auto& fetch : ahead) EXPECT_TRUE(fetch->wait());
}

TEST_F(FetchOrder, WhatWasRaisedKeepsToAsManyAsTheLinkIsFor) {
  const auto ahead = twelve_raised();
  EXPECT_TRUE(start(200'000, Priority::kDemand)->wait()) << "a demand does not wait";
  EXPECT_EQ(content_.requests().size(), 1u + 10 + 1);
  open_gate();
  for (auto& fetch : ahead) EXPECT_TRUE(fetch->wait());
}

TEST_F(FetchOrder, ADemandWaitsBehindWhatWasRaisedOfAContentThatWasGivenLess) {
  on_hub([this](const ScriptedRequest& request, int) {
    return request.target.find(regular_file().path) == std::string::npos ? to_content()
                                                                         : good_regular(request);
  });
  const auto ahead = twelve_raised();
  Fetching other(client(), regular_file(), {0, 1}, seconds(10), Priority::kReadAhead);
  client().raise_priority(other.id(), Priority::kDemand);
  const auto demand = start(200'000, Priority::kDemand);
  (void)info_of(client(), kRepo, "", std::chrono::milliseconds(50));
  EXPECT_EQ(content_.requests().size(), 1u + 10);
  open_gate();
  EXPECT_TRUE(other.wait());
  EXPECT_TRUE(demand->wait());
  for (auto& fetch : ahead) EXPECT_TRUE(fetch->wait());
}

TEST_F(FetchOrder, OfThoseThatWaitTheContentThatWasGivenLeastIsNext) {
  limit(1);
  expect_bytes(lfs_file(), {0, 1});
  std::mutex mutex;
  std::vector<std::string> order;
  on_hub([&](const ScriptedRequest& request, int) {
    if (request.target.find(regular_file().path) == std::string::npos) return to_content();
    const std::lock_guard lock(mutex);
    order.push_back("other");
    return good_regular(request);
  });
  on_content([&, gate = gate_.get_future().share()](const ScriptedRequest& request, int) {
    if (request.header("range") == "bytes=1000-1009") gate.wait();
    const std::lock_guard lock(mutex);
    if (request.header("range") == "bytes=2000-2009") order.push_back("same");
    return good_content(request);
  });
  const auto busy = start(1000, Priority::kReadAhead);
  ASSERT_TRUE(content_.await_requests(2));
  const auto same = start(2000, Priority::kReadAhead);
  Fetching other(client(), regular_file(), {0, 1}, seconds(10), Priority::kReadAhead);
  (void)info_of(client(), kRepo, "", std::chrono::milliseconds(50));
  open_gate();
  ASSERT_TRUE(same->wait());
  ASSERT_TRUE(other.wait());
  EXPECT_EQ(order, (std::vector<std::string>{"other", "same"}));  // one request at a time
}

TEST_F(FetchOrder, SixteenAtOnceResolveOnce) {
  std::vector<std::unique_ptr<Fetching>> fetches;
  for (std::uint64_t i = 0; i < 16; ++i) fetches.push_back(start(i * 10, Priority::kDemand));
  for (auto& fetch : fetches) ASSERT_TRUE(fetch->wait());
  EXPECT_EQ(hub_.requests().size(), 1u);
  EXPECT_EQ(content_.requests().size(), 16u);
}

TEST_F(FetchOrder, AFailedResolveIsAskedOnceForAll) {
  std::promise<void> gate;
  on_hub([&, opened = gate.get_future().share()](const ScriptedRequest&, int) {
    opened.wait();
    ScriptedAnswer answer;
    answer.status = 404;
    return answer.header("X-Error-Code", "EntryNotFound");
  });
  std::vector<std::unique_ptr<Fetching>> fetches;
  for (std::uint64_t i = 0; i < 8; ++i) fetches.push_back(start(i * 10, Priority::kDemand));
  ASSERT_TRUE(hub_.await_requests(1));
  client().cancel(0);
  gate.set_value();
  for (auto& fetch : fetches) EXPECT_EQ(fetch->wait().error().code, ErrorCode::kNotFound);
  EXPECT_EQ(hub_.requests().size(), 1u);
}

TEST_F(FetchOrder, WhenTheResolverIsCancelledAnotherTakesOver) {
  std::promise<void> gate;
  on_hub([&, opened = gate.get_future().share()](const ScriptedRequest&, int nth) {
    if (nth == 1) opened.wait();
    return to_content();
  });
  const auto first = start(0, Priority::kDemand);
  ASSERT_TRUE(hub_.await_requests(1));
  const auto second = start(10, Priority::kDemand);
  const auto third = start(20, Priority::kDemand);
  client().cancel(first->id());
  EXPECT_EQ(first->wait().error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(second->wait());
  EXPECT_TRUE(third->wait());
  EXPECT_EQ(hub_.requests().size(), 2u);
  gate.set_value();
}

TEST_F(FetchOrder, AWaiterMayBeCancelledAlone) {
  std::promise<void> gate;
  on_hub([&, opened = gate.get_future().share()](const ScriptedRequest&, int) {
    opened.wait();
    return to_content();
  });
  const auto first = start(0, Priority::kDemand);
  ASSERT_TRUE(hub_.await_requests(1));
  const auto second = start(10, Priority::kDemand);
  client().cancel(second->id());
  EXPECT_EQ(second->wait().error().code, ErrorCode::kCancelled);
  gate.set_value();
  EXPECT_TRUE(first->wait());
}

}  // namespace
}  // namespace hubvfs
