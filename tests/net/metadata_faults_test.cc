// SPDX-License-Identifier: Apache-2.0
// Listings and info that are broken, hostile or endless.
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using MetadataFaults = FaultyHub;
using HubProtocolC1 = FaultyHub;
using HubProtocolE4 = FaultyHub;
using HubProtocolE5 = FaultyHub;
using HubProtocolF = FaultyHub;

TEST_F(HubProtocolC1, PagesAreFollowedByAbsoluteAndRelativeLinks) {
  on_hub([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = json("[" + entry("f" + std::to_string(nth)) + "]");
    if (nth == 1) next(answer, hub_.origin() + request.path() + "?cursor=Y3Vyc29y%3D");
    if (nth == 2) next(answer, request.path() + "?cursor=third");
    return answer;
  });
  const Listed listed = list();
  ASSERT_TRUE(listed.more) << listed.more.error().context;
  EXPECT_FALSE(*listed.more);
  EXPECT_EQ(listed.pages, 3u);
  EXPECT_TRUE(hub_.requests().at(1).target.ends_with("?cursor=Y3Vyc29y%3D"));
  EXPECT_EQ(client().stats().metadata_requests, 3u);
}

TEST_F(MetadataFaults, ANextPageElsewhereIsRefused) {
  make_client_with_token();
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer = json("[" + entry("a") + "]");
    return next(answer, elsewhere_.origin() + "/api/models/x/tree/main?cursor=x");
  });
  const Listed listed = list();
  ASSERT_FALSE(listed.more);
  EXPECT_EQ(listed.more.error().code, ErrorCode::kBadAnswer);
  EXPECT_EQ(elsewhere_.connections(), 0u);
  EXPECT_EQ(client().stats().failures, 1u);
}

TEST_F(MetadataFaults, ANextPageThatCameBeforeIsRefused) {
  on_hub([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = json("[]");
    return next(answer, request.path() + "?cursor=" + std::to_string(nth % 3));
  });
  const Listed listed = list();
  ASSERT_FALSE(listed.more);
  EXPECT_EQ(listed.more.error().code, ErrorCode::kBadAnswer);
  EXPECT_LE(hub_.requests().size(), 5u);
}

TEST_F(MetadataFaults, AListOfReposThatLeadsBackToItselfIsRefused) {
  on_hub([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = json("[]");
    return next(answer, hub_.origin() + request.target);
  });
  const auto page = list_of(client(), hub::RepoType::kModel, "acme");
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, ErrorCode::kBadAnswer);
  EXPECT_EQ(
      list_of(client(), hub::RepoType::kModel, "acme", elsewhere_.origin() + "/x").error().code,
      ErrorCode::kInvalidArgument);
  EXPECT_EQ(elsewhere_.connections(), 0u);
}

TEST_F(MetadataFaults, EndlessPagesEnd) {
  on_hub([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = json("[]");
    return next(answer, request.path() + "?cursor=" + std::to_string(nth));
  });
  const Listed listed = list(seconds(15));
  ASSERT_FALSE(listed.more);
  EXPECT_EQ(listed.more.error().code, ErrorCode::kBadAnswer);
  EXPECT_EQ(listed.pages, 10'000u);
}

TEST_F(MetadataFaults, AMillionEntriesEndAListing) {
  std::string half = "[";
  for (int i = 0; i < 500'001; ++i) {
    half += R"({"type":"directory","path":"a"},)";
  }
  half.back() = ']';
  on_hub([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = json(half);
    return next(answer, request.path() + "?cursor=" + std::to_string(nth));
  });
  const Listed listed = list(seconds(60));
  ASSERT_FALSE(listed.more);
  EXPECT_NE(listed.more.error().context.find("1,000,000 entries"), std::string::npos);
  EXPECT_EQ(listed.pages, 1u);
}

TEST_F(MetadataFaults, BombsAreRefused) {
  for (const std::string& bomb :
       {"[" + std::string(200'000, '[') + std::string(200'000, ']') + "]",
        R"([{"path":)" + std::string(100'000, '{') + "}]", std::string("[{]"),
        std::string("not JSON"), std::string(), "[" + entry("a", "-1") + "]",
        "[" + entry("a", "1e3") + "]", "[" + entry("a", "99999999999999999999") + "]",
        "[" + entry("a", "17592186044417") + "]", "[" + entry("a", "\"1\"") + "]"}) {
    on_hub([&](const ScriptedRequest&, int) { return json(bomb); });
    const Listed listed = list();
    ASSERT_FALSE(listed.more) << bomb.substr(0, 60);
    EXPECT_EQ(listed.more.error().code, ErrorCode::kBadAnswer);
    EXPECT_EQ(listed.pages, 0u);
  }
}

TEST_F(MetadataFaults, AnEndlessBodyIsCutAt32MiB) {
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer = json("[" + std::string(40u << 20, ' ') + "]");
    answer.chunked = true;
    return answer;
  });
  const Listed listed = list();
  ASSERT_FALSE(listed.more);
  EXPECT_EQ(listed.more.error().code, ErrorCode::kBadAnswer);
  EXPECT_LT(client().stats().bytes_received, 34u << 20);
}

TEST_F(MetadataFaults, ACompressedAnswerIsRefused) {
  on_hub([&](const ScriptedRequest&, int) {
    return json(info_text()).header("Content-Encoding", "gzip");
  });
  EXPECT_EQ(info_of(client(), kRepo, "").error().code, ErrorCode::kBadAnswer);
}

TEST_F(MetadataFaults, ACutAnswerIsAskedForAgainFromTheStart) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    if (nth == 1) {
      answer.body_limit = 20;
      answer.then = Then::kClose;
    }
    return answer;
  });
  const auto info = info_of(client(), kRepo, "", seconds(5));
  ASSERT_TRUE(info) << info.error().context;
  EXPECT_EQ(info->commit, kCommit);
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(HubProtocolE5, ServerErrorsAreRetried) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    if (nth < 3) answer.status = 500 + nth;
    return answer;
  });
  ASSERT_TRUE(info_of(client(), kRepo, "", seconds(8)));
  EXPECT_EQ(hub_.requests().size(), 3u);
}

TEST_F(MetadataFaults, ASilentServerTimesOut) {
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.stall_first = true;
    return answer;
  });
  EXPECT_EQ(info_of(client(), kRepo, "", milliseconds(300)).error().code, ErrorCode::kTimedOut);
}

TEST_F(HubProtocolE4, AnExhaustedQuotaIsWaitedFor) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    if (nth > 1) return answer;
    answer.status = 429;
    return answer.header("RateLimit", "\"api\";r=0;t=0");
  });
  const TimePoint start = clock_.now();
  ASSERT_TRUE(info_of(client(), kRepo, "", seconds(8)));
  EXPECT_GE(clock_.now() - start, Duration(seconds(1)));
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(HubProtocolE5, RetryAfterIsWaitedFor) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    if (nth > 1) return answer;
    answer.status = 429;
    return answer.header("Retry-After", "1").header("RateLimit", "\"api\";r=5;t=200");
  });
  const TimePoint start = clock_.now();
  ASSERT_TRUE(info_of(client(), kRepo, "", seconds(8)));
  EXPECT_GE(clock_.now() - start, Duration(seconds(1)));
}

TEST_F(HubProtocolE4, AWaitBeyondTheDeadlineFailsAtOnceAndHoldsBackItsQuota) {
  on_hub([&](const ScriptedRequest& request, int) {
    if (request.target.find("/resolve/") != std::string::npos) return to_content();
    ScriptedAnswer answer;
    answer.status = 429;
    return answer.header("RateLimit", "\"api\";r=0;t=200");
  });
  EXPECT_EQ(info_of(client(), kRepo, "", seconds(10)).error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(info_of(client(), kRepo, "", seconds(10)).error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(hub_.requests().size(), 1u);
  expect_bytes(lfs_file(), {0, 10});  // resolvers are counted apart
}

TEST_F(HubProtocolE5, AnAbsurdRetryAfterIsNotObeyedForEver) {
  for (const char* after : {"99999999999", "Fri, 01 Jan 2100 00:00:00 GMT"}) {
    on_hub([&](const ScriptedRequest&, int) {
      ScriptedAnswer answer;
      answer.status = 429;
      return answer.header("Retry-After", after);
    });
    EXPECT_EQ(info_of(client(), kRepo, "", seconds(10)).error().code, ErrorCode::kRateLimited);
  }
  on_hub([&](const ScriptedRequest&, int) { return json(info_text()); });
  EXPECT_TRUE(info_of(client(), kRepo, "", seconds(10)));
}

TEST_F(HubProtocolF, AnEndpointMayHaveAPath) {
  hub::HubClientOptions options;
  options.endpoint = hub_.origin() + "/artifactory/hf/";
  make_client(options);
  on_hub([&](const ScriptedRequest&, int) { return json(info_text()); });
  ASSERT_TRUE(info_of(client(), kRepo, ""));
  EXPECT_TRUE(hub_.requests().at(0).target.starts_with("/artifactory/hf/api/models/acme/tiny-llm"));
}

TEST_F(MetadataFaults, AMalformedEndpointIsRefused) {
  for (const char* endpoint : {"", "huggingface.co", "ftp://h", "https://u:p@h", "https://h?x=y"}) {
    hub::HubClientOptions options;
    options.endpoint = endpoint;
    const auto made = hub::make_curl_hub_client(options, log_, clock_);
    ASSERT_FALSE(made) << endpoint;
    EXPECT_EQ(made.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST_F(MetadataFaults, ASilentHubIsNotAskedForEachNameAnew) {
  auto dead =
      std::make_unique<ScriptedHttpServer>([](const ScriptedRequest&) { return json("[]"); });
  const std::string origin = dead->origin();
  dead.reset();
  hub::HubClientOptions options;
  options.endpoint = origin;
  make_client(options);
  const auto first = info_of(client(), kRepo, kCommit, milliseconds(300));
  ASSERT_FALSE(first);
  const std::uint64_t before = client().stats().requests;
  EXPECT_GE(before, 1u);
  for (int i = 0; i < 20; ++i) {
    const auto next =
        info_of(client(), kRepo, kCommit, seconds(60));  // or this test runs for 20 minutes
    ASSERT_FALSE(next);
    EXPECT_EQ(next.error().code, first.error().code);
    EXPECT_NE(next.error().context.find("the Hub cannot be reached"), std::string::npos);
  }
  EXPECT_EQ(client().stats().requests, before);
}

}  // namespace
}  // namespace hubvfs
