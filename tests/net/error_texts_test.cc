// SPDX-License-Identifier: Apache-2.0
// What the errors say (design, section 9), and what `status` learns of them.
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ErrorTexts : public FaultyHub {
 protected:
  void expect_says(const std::string& text, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
    }
    EXPECT_EQ(text.find('\n'), std::string::npos);
    expect_no_secret(text);
  }
  // Of lookups and of fetches.
  void expect_both_say(ErrorCode code, const std::vector<std::string>& parts,
                       Duration time = kAmple) {
    const Error error = info_error(time);
    EXPECT_EQ(to_string(error.code), std::string(to_string(code))) << error.context;
    expect_says(error.context, parts);
    expect_error(code, lfs_file(), {0, 10}, time);
    expect_says(failure_, parts);
  }
  hub::HubHealth health() { return client().stats().health; }
};

TEST_F(ErrorTexts, GatedNamesThePageBelowTheEndpointsPath) {
  hub::HubClientOptions options;
  options.endpoint = hub_.origin() + "/hf";
  make_client(options);
  refuse_all(401, "GatedRepo");
  expect_both_say(ErrorCode::kGated, {"acme/tiny-llm", hub_.origin() + "/hf/acme/tiny-llm"});
}

TEST_F(ErrorTexts, ADenialNamesWhoseTokenAndSoDoesStatus) {
  for (const int status : {401, 403}) {
    make_client_with_token();
    refuse_all(status);
    expect_both_say(ErrorCode::kPermissionDenied,
                    {"HTTP " + std::to_string(status), "the token from HF_TOKEN was refused"});
    EXPECT_EQ(health().refused_token, "HF_TOKEN");
    on_hub([](const ScriptedRequest&, int) { return json(info_text()); });
    clock_.suspend(seconds(61));  // or it would not be sent
    EXPECT_TRUE(info());
    EXPECT_EQ(health().refused_token, "");
  }
}

TEST_F(ErrorTexts, ADenialTellsWhatTheTokenWasTold) {
  make_client_with_token();
  on_hub([](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = refusal(request.header("authorization").empty() ? 401 : 403);
    if (answer.status == 403) answer.headers[0].second = "You have read access but not";
    return answer;
  });
  expect_both_say(ErrorCode::kPermissionDenied, {"HTTP 403", "You have read access but not"});
}

TEST_F(ErrorTexts, ATokenThatIsRefusedWhereNoneIsNeededIsToldOnce) {
  make_client_with_token();
  on_hub([](const ScriptedRequest& request, int) {
    return request.header("authorization").empty() ? json(info_text()) : refusal(401);
  });
  EXPECT_TRUE(info());
  EXPECT_TRUE(info());
  EXPECT_EQ(health().refused_token, "HF_TOKEN");
  const std::string log = log_.text();
  const std::size_t told = log.find("the token from HF_TOKEN was refused");
  ASSERT_NE(told, std::string::npos) << log;
  EXPECT_EQ(log.find("was refused", told + 40), std::string::npos) << log;
}

TEST_F(ErrorTexts, ALimitIsToldWithItsResetAlsoToThoseHeldBack) {
  on_hub([](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 429;
    answer.header("RateLimit-Policy", "\"fixed window\";\"api\";q=500;w=300");
    return answer.header("RateLimit", "\"api\";r=0;t=200");
  });
  const std::string limit = "the limit of 500 \"api\" requests in 300 s is used up";
  expect_says(info_error().context, {"HTTP 429", limit, "wait 201 s", "HF_TOKEN"});
  expect_says(info_error().context, {"HTTP 429", limit, "for its reset"});
  EXPECT_EQ(hub_.requests().size(), 1u);
  EXPECT_GE(health().limited_until, clock_.unix_now() + 190);
  EXPECT_LE(health().limited_until, clock_.unix_now() + 203);
}

TEST_F(ErrorTexts, TroubleOfTheServerNamesItsStatusAndAddress) {
  refuse_all(503);
  expect_both_say(ErrorCode::kUnavailable, {"HTTP 503", "from " + hub_.origin(), "ask again later"},
                  seconds(1));
}

TEST_F(ErrorTexts, TroubleOfTheContentHostNamesThatHost) {
  on_content([](const ScriptedRequest&, int) { return refusal(502); });
  expect_error(ErrorCode::kUnavailable, lfs_file(), {0, 10}, seconds(1));
  expect_says(failure_, {"HTTP 502", "from " + content_.origin()});
  on_content([](const ScriptedRequest&, int) { return refusal(403); });
  expect_error(ErrorCode::kPermissionDenied, lfs_file(), {0, 10});
  expect_says(failure_, {"HTTP 403 from the content host " + content_.origin()});
}

TEST_F(ErrorTexts, ARefusedConnectionNamesItsHop) {
  hub::HubClientOptions options;
  {
    const ScriptedHttpServer gone([](const ScriptedRequest&) { return ScriptedAnswer(); });
    options.endpoint = gone.origin();
  }
  make_client(options);
  expect_both_say(ErrorCode::kUnavailable,
                  {"cannot connect to " + options.endpoint, "check the network"}, seconds(1));
}

TEST_F(ErrorTexts, ABrokenAnswerNamesItsHop) {
  on_hub([](const ScriptedRequest&, int) {
    ScriptedAnswer answer = json(info_text());
    answer.body_limit = 10;
    answer.then = Then::kClose;
    return answer;
  });
  expect_says(info_error(seconds(1)).context, {hub_.origin() + " broke off", "check the network"});
}

TEST_F(ErrorTexts, ADeadlineTellsWhatWentBefore) {
  on_hub([](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = refusal(500);
    answer.stall_first = nth > 1;
    return answer;
  });
  const Error error = info_error(seconds(2));
  EXPECT_EQ(error.code, ErrorCode::kTimedOut) << error.context;
  expect_says(error.context, {hub_.origin()});
}

TEST_F(ErrorTexts, ContentThatIsAnotherIsToldWithBothIds) {
  const std::string other(64, 'a');
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer = to_content();
    answer.headers[1].second = "\"" + other + "\"";
    return answer;
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  expect_says(failure_, {"X-Linked-ETag", other, lfs_file().content.hex()});
}

TEST_F(ErrorTexts, OfflineSaysBecauseOfWhat) {
  hub::HubClientOptions options;
  options.offline = true;
  options.offline_because = "HF_HUB_OFFLINE";
  make_client(options);
  expect_both_say(ErrorCode::kOffline, {"offline because of HF_HUB_OFFLINE"});
  EXPECT_EQ(hub_.connections(), 0u);
}

TEST_F(ErrorTexts, AnOutageIsToldByStatusUntilItEnds) {
  on_hub([](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.stall_first = true;
    return answer;
  });
  const UnixSeconds begin = clock_.unix_now();
  EXPECT_EQ(health().outage, "");
  EXPECT_EQ(info_error(milliseconds(200)).code, ErrorCode::kTimedOut);
  const hub::HubStats stats = client().stats();
  expect_says(stats.health.outage, {"info of acme/tiny-llm", hub_.origin()});
  EXPECT_EQ(stats.last_failure, stats.health.outage);
  EXPECT_GE(stats.last_failure_at, begin);
  EXPECT_GE(stats.health.outage_since, begin);
  EXPECT_GE(stats.health.next_probe, stats.health.outage_since);
  EXPECT_LE(stats.health.next_probe, clock_.unix_now() + 6);
  on_hub([](const ScriptedRequest&, int) { return json(info_text()); });
  clock_.suspend(seconds(6));  // the next probe is due
  EXPECT_TRUE(info());
  EXPECT_EQ(health().outage, "");
  EXPECT_EQ(health().outage_since, 0);
}

TEST_F(ErrorTexts, WhatACallEndedWithIsForItsCallerToLog) {
  refuse_all(403);
  for (int i = 0; i < 10; ++i) (void)info_error();
  expect_error(ErrorCode::kPermissionDenied, lfs_file(), {0, 10});
  for (const auto& line : log_.lines()) EXPECT_EQ(line.level, LogLevel::kDebug) << line.text;
}

TEST_F(ErrorTexts, AnOutageThatComesAndGoesIsNotToldEachTime) {
  for (int i = 0; i < 5; ++i) {
    refuse_all(503);
    (void)info_error(milliseconds(300));
    (void)info_error(milliseconds(300));
    on_hub([](const ScriptedRequest&, int) { return json(info_text()); });
    clock_.suspend(seconds(6));  // the next probe is due
    EXPECT_TRUE(info());
  }
  std::vector<std::string> told;
  for (const auto& line : log_.lines()) {
    if (line.text.starts_with("the Hub ")) told.push_back(line.text);
  }
  ASSERT_EQ(told.size(), 2u) << log_.text();
  expect_says(told[0], {"cannot be reached"});
  expect_says(told[1], {"answers again"});
}

TEST_F(ErrorTexts, ADisabledRepoIsNotTheTokensFault) {
  make_client_with_token();
  on_hub([](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 403;
    return answer.header("X-Error-Message", "Access to this resource is disabled.");
  });
  expect_both_say(ErrorCode::kPermissionDenied, {"disabled", "ask its owner"});
  EXPECT_EQ(health().refused_token, "");
  EXPECT_EQ(failure_.find("HF_TOKEN"), std::string::npos) << failure_;
}

TEST_F(ErrorTexts, AnAnswerThatNoHubGivesNamesItsHostAndTheNextStep) {
  on_content([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = good_content(request);
    answer.status = 200;
    return answer;
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  expect_says(failure_, {"200 instead of 206", content_.origin(), "check the endpoint"});
  on_hub([](const ScriptedRequest&, int) { return json("<html>"); });
  expect_says(info_error().context, {"JSON", "check the endpoint"});
}

}  // namespace
}  // namespace hubvfs
