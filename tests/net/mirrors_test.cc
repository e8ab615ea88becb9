// SPDX-License-Identifier: Apache-2.0
// Two endpoints as one, the first of which fails as servers do.
#include "hub/mirrored_client.h"
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using std::chrono::seconds;

// hub_ is the first, mirror_ the second.
class Mirrors : public FaultyHub {
 protected:
  Mirrors() { mirror(hub_.origin()); }

  void mirror(const std::string& first) {
    std::vector<hub::Mirror> mirrors;
    for (const std::string& endpoint : {first, mirror_.origin()}) {
      hub::HubClientOptions options;
      options.endpoint = endpoint;
      auto made = hub::make_curl_hub_client(options, log_, clock_);
      ASSERT_TRUE(made) << made.error().context;
      mirrors.push_back({endpoint, std::move(*made)});
    }
    client_ = std::make_unique<hub::MirroredClient>(std::move(mirrors), log_, clock_);
  }
  ScriptedAnswer right(const ScriptedRequest& request) const {
    if (request.path().find("/resolve/") != std::string::npos) return good_regular(request);
    if (request.path().find("/tree/") != std::string::npos) return json("[" + entry("f") + "]");
    return json(info_text());
  }
  void expect_all_is_there(Duration time) {
    const auto answer = info(time);
    ASSERT_TRUE(answer) << answer.error().context;
    EXPECT_EQ(answer->commit, kCommit);
    const Listed listed = list(time);
    ASSERT_TRUE(listed.more) << listed.more.error().context;
    EXPECT_EQ(listed.entries.size(), 1u);
    expect_bytes(regular_file(), {0, config_.size()}, time);
  }

  ScriptedHttpServer mirror_{[this](const ScriptedRequest& request) { return right(request); }};
};

TEST_F(Mirrors, TheFirstAnswersAlone) {
  on_hub([&](const ScriptedRequest& request, int) { return right(request); });
  expect_all_is_there(kAmple);
  EXPECT_EQ(mirror_.connections(), 0u);
}

TEST_F(Mirrors, AfterA503TheNextAnswers) {
  refuse_all(503);
  expect_all_is_there(seconds(4));
  EXPECT_GE(hub_.requests().size(), 1u);
  EXPECT_NE(client().stats().health.mirror.find(mirror_.origin()), std::string::npos);
}

TEST_F(Mirrors, WhenConnectionsAreRefusedTheNextAnswers) {
  std::string gone;
  {
    gone = ScriptedHttpServer([](const ScriptedRequest&) { return ScriptedAnswer(); }).origin();
  }
  mirror(gone);
  expect_all_is_there(seconds(4));
}

TEST_F(Mirrors, WhenNothingComesTheNextAnswers) {
  on_hub([](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.stall_first = true;
    answer.then = Then::kStall;
    return answer;
  });
  expect_all_is_there(seconds(4));
}

TEST_F(Mirrors, AFileGoesOnAtItsNextByte) {
  on_hub([&](const ScriptedRequest& request, int nth) {
    if (nth > 1) return refusal(503);
    ScriptedAnswer answer = good_regular(request);
    answer.body_limit = 7;
    answer.then = Then::kReset;
    return answer;
  });
  expect_bytes(regular_file(), {0, config_.size()}, seconds(4));
  ASSERT_EQ(mirror_.requests().size(), 1u);
  EXPECT_EQ(mirror_.requests()[0].header("range").find("bytes=7-"), 0u)
      << mirror_.requests()[0].header("range");
}

TEST_F(Mirrors, A404IsAnAnswer) {
  refuse_all(404, "RepoNotFound");
  EXPECT_EQ(info_error().code, ErrorCode::kNotFound);
  expect_error(ErrorCode::kNotFound, regular_file(), {0, config_.size()});
  EXPECT_EQ(mirror_.connections(), 0u);
}

TEST_F(Mirrors, AMirrorOfAnotherCommitIsRefusedAndNamed) {
  refuse_all(503);
  script(mirror_, [&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = good_regular(request);
    for (auto& [name, value] : answer.headers) {
      if (name == "X-Repo-Commit") value[0] = '0';
    }
    return answer;
  });
  expect_error(ErrorCode::kUnavailable, regular_file(), {0, config_.size()}, seconds(4));
  EXPECT_EQ(failed_bytes_, "");
  EXPECT_NE(failure_.find(hub_.origin() + ": "), std::string::npos) << failure_;
  EXPECT_NE(failure_.find(mirror_.origin() + ": "), std::string::npos) << failure_;
  EXPECT_EQ(failure_.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace hubvfs
