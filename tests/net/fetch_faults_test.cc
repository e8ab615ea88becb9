// SPDX-License-Identifier: Apache-2.0
// Transfers that break, stall or expire, and go on at the next byte.
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using FetchFaults = FaultyHub;
using HubProtocolD4 = FaultyHub;
using HubProtocolE5 = FaultyHub;
using HubProtocolF = FaultyHub;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(HubProtocolE5, AShortBodyIsResumedAtTheNextByte) {
  for (const Then then : {Then::kClose, Then::kReset}) {
    on_content([&](const ScriptedRequest& request, int nth) {
      ScriptedAnswer answer = good_content(request);
      if (nth == 1) {
        answer.body_limit = 200'000;
        answer.then = then;
      }
      return answer;
    });
    const std::size_t before = content_.requests().size();
    expect_bytes(lfs_file(), {1000, 401'000});
    const auto requests = content_.requests();
    ASSERT_EQ(requests.size(), before + 2);
    EXPECT_EQ(requests[before].header("range"), "bytes=1000-400999");
    const std::string resumed = requests[before + 1].header("range");
    EXPECT_TRUE(resumed.ends_with("-400999")) << resumed;
    EXPECT_NE(resumed, "bytes=1000-400999");
    if (then == Then::kClose) {
      EXPECT_EQ(resumed, "bytes=201000-400999");
    }
  }
}

TEST_F(FetchFaults, ABodyWithoutALengthThatEndsEarlyIsResumed) {
  for (const bool chunked : {true, false}) {
    on_content([&](const ScriptedRequest& request, int nth) {
      ScriptedAnswer answer = good_content(request);
      if (nth > 1) return answer;
      answer.with_length = false;
      answer.chunked = chunked;
      answer.body_limit = 200'000;
      answer.then = Then::kClose;
      return answer;
    });
    expect_bytes(lfs_file(), {0, 400'000});
  }
}

TEST_F(FetchFaults, AStalledTransferGoesOnElsewhere) {
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth == 1) {
      answer.body_limit = 100'000;
      answer.then = Then::kStall;
    }
    return answer;
  });
  expect_bytes(lfs_file(), {0, 400'000}, seconds(3));
  const auto requests = content_.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[1].header("range"), "bytes=100000-399999");
  EXPECT_EQ(content_.connections(), 2u);
}

TEST_F(FetchFaults, AServerThatNeverAnswersIsAskedAgain) {
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    answer.stall_first = nth == 1;
    return answer;
  });
  expect_bytes(lfs_file(), {0, 1000}, seconds(2));
}

TEST_F(FetchFaults, WithoutProgressTheDeadlineEndsIt) {
  on_content([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.stall_first = true;
    return answer;
  });
  expect_error(ErrorCode::kTimedOut, lfs_file(), {0, 1000}, milliseconds(400));
}

TEST_F(FetchFaults, AByteNowAndThenIsNoProgressForEver) {
  on_content([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = good_content(request);
    answer.body_limit = 1;
    answer.then = Then::kDrip;
    return answer;
  });
  expect_error(ErrorCode::kTimedOut, lfs_file(), {0, 400'000}, milliseconds(300));
}

TEST_F(HubProtocolE5, ServerErrorsAreRetriedOnBothHops) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = to_content();
    if (nth == 1) answer.status = 503;
    return answer;
  });
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth == 1) answer.status = 500;
    return answer;
  });
  expect_bytes(lfs_file(), {0, 1000}, seconds(5));
  EXPECT_EQ(hub_.requests().size(), 2u);
  EXPECT_EQ(content_.requests().size(), 2u);
  EXPECT_EQ(client().stats().retries, 2u);
}

TEST_F(HubProtocolE5, ServerErrorsUntilTheDeadlineAreUnavailable) {
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 502;
    return answer;
  });
  expect_error(ErrorCode::kUnavailable, lfs_file(), {0, 1000}, milliseconds(700));
  EXPECT_GE(hub_.requests().size(), 2u);
}

TEST_F(FetchFaults, ARefusedConnectionIsUnavailable) {
  hub::HubClientOptions options;
  {
    const ScriptedHttpServer gone([](const ScriptedRequest&) { return ScriptedAnswer(); });
    options.endpoint = gone.origin();
  }
  make_client(options);
  expect_error(ErrorCode::kUnavailable, lfs_file(), {0, 1000}, milliseconds(400));
  EXPECT_EQ(client().stats().failures, 1u);
  EXPECT_NE(client().stats().last_failure, "");
}

TEST_F(HubProtocolD4, ASignedUrlIsUsedAgain) {
  for (std::uint64_t i = 0; i < 5; ++i) expect_bytes(lfs_file(), {i * 10, i * 10 + 10});
  EXPECT_EQ(hub_.requests().size(), 1u);
  EXPECT_EQ(content_.requests().size(), 5u);
  EXPECT_EQ(content_.connections(), 1u);
  EXPECT_EQ(client().stats().resolve_requests, 1u);
  EXPECT_EQ(client().stats().requests, 6u);
}

TEST_F(HubProtocolD4, AnExpiredUrlIsNotUsedAgain) {
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer = to_content();
    answer.headers[0].second = content_.origin() + "/blob?Expires=1000000000";
    return answer;
  });
  expect_bytes(lfs_file(), {0, 10});
  expect_bytes(lfs_file(), {10, 20});
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(HubProtocolD4, AUrlThatSays403IsResolvedAgainUnseen) {
  on_hub(
      [&](const ScriptedRequest&, int nth) { return to_content("/blob" + std::to_string(nth)); });
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth > 1 && request.target.starts_with("/blob1")) answer.status = 403;
    return answer;
  });
  expect_bytes(lfs_file(), {0, 10});
  expect_bytes(lfs_file(), {10, 20});
  EXPECT_EQ(hub_.requests().size(), 2u);
  EXPECT_EQ(content_.count("/blob2"), 1u);
}

TEST_F(HubProtocolD4, AUrlThatExpiresMidFileIsResolvedAgainUnseen) {
  on_hub(
      [&](const ScriptedRequest&, int nth) { return to_content("/blob" + std::to_string(nth)); });
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth == 1) {
      answer.body_limit = 200'000;
      answer.then = Then::kClose;
    } else if (request.target.starts_with("/blob1")) {
      answer.status = 403;
    }
    return answer;
  });
  expect_bytes(lfs_file(), {0, 400'000});
  EXPECT_EQ(hub_.requests().size(), 2u);
  EXPECT_EQ(content_.requests().back().header("range"), "bytes=200000-399999");
}

TEST_F(HubProtocolD4, AHostThatAlwaysSays403IsAskedTwice) {
  on_content([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 403;
    return answer;
  });
  expect_error(ErrorCode::kPermissionDenied, lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 2u);
  EXPECT_EQ(content_.requests().size(), 2u);
}

TEST_F(HubProtocolD4, AContentHosts404IsNoWordOnTheFile) {
  on_content([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 404;
    return answer.header("X-Error-Code", "EntryNotFound");
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
}

TEST_F(HubProtocolF, AnotherTokenDoesNotUseTheOldUrls) {
  auto token = std::make_shared<std::atomic<bool>>(false);
  hub::HubClientOptions options;
  options.token = [token] { return *token ? std::string("hf_anotherone") : kToken; };
  make_client(options);
  expect_bytes(lfs_file(), {0, 10});
  *token = true;
  expect_bytes(lfs_file(), {10, 20});
  const auto requests = hub_.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].header("authorization"), "Bearer " + kToken);
  EXPECT_EQ(requests[1].header("authorization"), "Bearer hf_anotherone");
}

TEST_F(FetchFaults, EveryByteReceivedIsCounted) {
  expect_bytes(lfs_file(), {0, 100'000});
  EXPECT_EQ(client().stats().bytes_received, 100'000 + std::string("Found. Redirecting").size());
}

}  // namespace
}  // namespace hubvfs
