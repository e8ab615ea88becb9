// SPDX-License-Identifier: Apache-2.0
// Facts of hub-protocol.md that show only in what is sent, or in several answers together.
#include <atomic>
#include <set>
#include <thread>

#include "hub/token.h"
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using std::chrono::milliseconds;
using HubProtocolA3 = FaultyHub;
using HubProtocolA4 = FaultyHub;
using HubProtocolA6 = FaultyHub;
using HubProtocolC1 = FaultyHub;
using HubProtocolC3 = FaultyHub;
using HubProtocolD1 = FaultyHub;
using HubProtocolD2 = FaultyHub;
using HubProtocolD4 = FaultyHub;
using HubProtocolD5 = FaultyHub;
using HubProtocolE1 = FaultyHub;
using HubProtocolE2 = FaultyHub;
using HubProtocolE4 = FaultyHub;
using HubProtocolE5 = FaultyHub;
using HubProtocolF = FaultyHub;

TEST_F(HubProtocolA3, ALegacyIdsFileIsAnsweredDirectly) {
  hub::FileRef file = lfs_file();
  file.repo.name = "bert-base-uncased";
  expect_bytes(file, {0, 10});
  EXPECT_EQ(hub_.requests().at(0).target,
            "/bert-base-uncased/resolve/" + kCommit + "/model.safetensors");
}

TEST_F(HubProtocolA4, TheNextPageIsTheOneTheHubNamesAndTheTokenGoesAlong) {
  make_client_with_token();
  const std::string cursor = "?author=acme&limit=1000&cursor=eyIkb3IiOlt7fV19%3D%3D";
  on_hub([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer =
        json(R"([{"id":"acme/r)" + std::to_string(nth) + R"(","private":true}])");
    if (nth == 1) next(answer, hub_.origin() + request.path() + cursor);
    return answer;
  });
  const auto first = list_of(client(), hub::RepoType::kModel, "acme");
  ASSERT_TRUE(first) << first.error().context;
  const auto second = list_of(client(), hub::RepoType::kModel, "acme", first->next);
  ASSERT_TRUE(second) << second.error().context;
  EXPECT_EQ(second->repos.at(0).id.name, "acme/r2");
  EXPECT_EQ(second->next, "");
  EXPECT_EQ(hub_.requests().at(1).target, "/api/models" + cursor);
  EXPECT_EQ(hub_.requests().at(1).header("authorization"), "Bearer " + kToken);
}

// Neither whoami (its own strict limit) nor auth-check, commits, paths-info or any HEAD or POST.
TEST_F(HubProtocolA6, NothingElseIsAsked) {
  on_hub([&](const ScriptedRequest& request, int) {
    if (request.target.find("/resolve/") != std::string::npos) return to_content();
    if (request.target.find("/tree/") != std::string::npos) return json("[]");
    if (request.target.starts_with("/api/models?")) return json("[]");
    return json(request.target.find("/refs") != std::string::npos ? "{}" : info_text());
  });
  EXPECT_TRUE(info());
  EXPECT_TRUE(refs_of(client(), kRepo));
  EXPECT_TRUE(list().more);
  EXPECT_TRUE(list_of(client(), hub::RepoType::kModel, "acme"));
  expect_bytes(lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 5u);
  for (const auto& request : hub_.requests()) EXPECT_EQ(request.method, "GET") << request.target;
}

TEST_F(HubProtocolC1, LinksThatAreNotNextAreNotFollowed) {
  on_hub([&](const ScriptedRequest& request, int) {
    return json("[" + entry("a") + "]")
        .header("Link", "<" + request.path() + "?cursor=x>; rel=\"prev\", <" + request.path() +
                            "?cursor=y>; rel=\"first\", <" + request.path() + "?cursor=z>");
  });
  const Listed listed = list();
  ASSERT_TRUE(listed.more) << listed.more.error().context;
  EXPECT_FALSE(*listed.more);
  EXPECT_EQ(hub_.requests().size(), 1u);
}

TEST_F(HubProtocolC1, APageOfNothingDoesNotEndAListing) {
  on_hub([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = json(nth == 2 ? "[" + entry("a") + "]" : "[]");
    if (nth == 1) next(answer, request.path() + "?cursor=x");
    return answer;
  });
  EXPECT_EQ(list().entries.size(), 1u);
}

TEST_F(HubProtocolC3, AMissingDirectoryAndARevisionAreToldApart) {
  on_hub([&](const ScriptedRequest& request, int) {
    const bool tree = request.target.find("/tree/") != std::string::npos;
    ScriptedAnswer answer = json("{}");
    answer.status = 404;
    answer.header("X-Error-Code", tree ? "EntryNotFound" : "RevisionNotFound");
    return answer.header("X-Error-Message",
                         tree ? "d does not exist on \"main\"" : "Invalid rev id: x");
  });
  const Listed listed = tree_of(client(), kRepo, kCommit, "d", false);
  ASSERT_FALSE(listed.more);
  EXPECT_EQ(listed.more.error().code, ErrorCode::kNotFound);
  EXPECT_NE(listed.more.error().context.find("d does not exist on"), std::string::npos);
  const Error error = info_of(client(), kRepo, "x").error();
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_NE(error.context.find("Invalid rev id: x"), std::string::npos) << error.context;
}

TEST_F(HubProtocolD1, ExactlyTheseHeadersAreSent) {
  make_client_with_token();
  expect_bytes(lfs_file(), {100, 200});
  const ScriptedRequest request = hub_.requests().at(0);
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.target, "/acme/tiny-llm/resolve/" + kCommit + "/model.safetensors");
  EXPECT_EQ(request.header("authorization"), "Bearer " + kToken);
  EXPECT_EQ(request.header("accept-encoding"), "identity");
  EXPECT_EQ(request.header("range"), "bytes=100-199");
  EXPECT_EQ(request.header("accept"), "*/*");  // Xet's type would make a 200 of the redirect
  EXPECT_TRUE(request.header("user-agent").starts_with("hubvfs/"));
  EXPECT_EQ(request.headers.size(), 6u);  // and Host
}

TEST_F(HubProtocolD2, AResolveCacheMayLeadOnToTheContentHost) {
  on_hub([&](const ScriptedRequest& request, int) {
    if (request.target.starts_with("/api/resolve-cache/")) return to_content();
    ScriptedAnswer answer;
    answer.status = 307;
    return answer.header("Location", "/api/resolve-cache/models/acme/tiny-llm/x")
        .header("X-Repo-Commit", kCommit);
  });
  expect_bytes(lfs_file(), {5, 50});
  expect_bytes(lfs_file(), {50, 60});
  EXPECT_EQ(hub_.requests().size(), 2u);  // it is the last place that is kept
}

TEST_F(HubProtocolD4, AStartPastTheEndIsNoAnswer) {
  on_content([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer;
    answer.status = 416;
    answer.body = "<html>Requested Range Not Satisfiable</html>";
    return answer.header("Content-Range", "bytes */500000").header("Content-Type", "text/html");
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 2u);  // the URL was made anew, once
}

TEST_F(HubProtocolD5, XetPointersAreLeftAlone) {
  on_hub([&](const ScriptedRequest&, int) {
    return to_content()
        .header("X-Xet-Hash", std::string(64, 'c'))
        .header("X-Xet-Refresh-Route", elsewhere_.origin() + "/refresh")
        .header("Link",
                "<" + elsewhere_.origin() + "/api/models/x/xet-read-token/y>; rel=\"xet-auth\"");
  });
  expect_bytes(lfs_file(), {0, 10});
  EXPECT_EQ(elsewhere_.connections(), 0u);
}

TEST_F(HubProtocolE1, AWarningIsToldOnceATopic) {
  on_hub([&](const ScriptedRequest&, int nth) {
    return json(info_text())
        .header("X-HF-Warning", nth == 3 ? "other; second" : "unauthenticated; log\x1b in");
  });
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(info());
  const std::string log = log_.text();
  const std::size_t first = log.find("unauthenticated; log\\x1b in");
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find("unauthenticated", first + 1), std::string::npos) << log;
  EXPECT_NE(log.find("other; second"), std::string::npos) << log;
}

TEST_F(HubProtocolE1, EndlessTopicsAreNotToldForEver) {
  on_hub([&](const ScriptedRequest&, int nth) {
    return json(info_text()).header("X-HF-Warning", "topic" + std::to_string(nth) + "; x");
  });
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(info());
  EXPECT_EQ(log_.text().find("topic40"), std::string::npos);
}

TEST_F(HubProtocolE2, TheReadmeOfAGatedRepoIsRead) {
  on_hub([&](const ScriptedRequest& request, int) {
    return request.target.ends_with("/README.md") ? good_regular(request)
                                                  : refusal(401, "GatedRepo");
  });
  hub::FileRef readme = regular_file();
  readme.path = "README.md";
  expect_bytes(readme, {0, config_.size()});
  expect_error(ErrorCode::kGated, regular_file(), {0, 10});
}

TEST_F(HubProtocolE4, A429WithAQuotaLeftHoldsNobodyElseBack) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    if (nth > 1) return answer;
    answer.status = 429;
    return answer.header("RateLimit", "\"api\";r=12;t=200").header("Retry-After", "60");
  });
  EXPECT_EQ(info_error().code, ErrorCode::kRateLimited);
  EXPECT_TRUE(info());
}

TEST_F(HubProtocolE4, AContentHostsLimitIsItsOwn) {
  on_content([&](const ScriptedRequest& request, int nth) {
    ScriptedAnswer answer = good_content(request);
    if (nth > 1) return answer;
    answer.status = 429;
    return answer.header("RateLimit", "\"api\";r=0;t=200");
  });
  expect_error(ErrorCode::kRateLimited, lfs_file(), {0, 10});
  EXPECT_NE(failure_.find("HTTP 429 from " + content_.origin()), std::string::npos) << failure_;
  EXPECT_EQ(failure_.find("HF_TOKEN"), std::string::npos) << failure_;
  expect_bytes(lfs_file(), {0, 10});
  EXPECT_EQ(client().stats().health.limited_until, 0);
}

TEST_F(HubProtocolE4, AnotherTokenHasAQuotaOfItsOwn) {
  auto token = std::make_shared<std::atomic<bool>>(false);
  hub::HubClientOptions options;
  options.token = [token] { return *token ? std::string("hf_anotherone") : kToken; };
  make_client(options);
  on_hub([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer = json(info_text());
    if (request.header("authorization") != "Bearer " + kToken) return answer;
    answer.status = 429;
    return answer.header("RateLimit", "\"api\";r=0;t=200");
  });
  EXPECT_EQ(info_error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(info_error().code, ErrorCode::kRateLimited);
  EXPECT_EQ(hub_.requests().size(), 1u);
  *token = true;
  EXPECT_TRUE(info());
}

TEST_F(HubProtocolE5, TheTransientStatusesAreAskedAgain) {
  for (const int status : {408, 429, 500, 502, 503, 504}) {
    on_hub([&](const ScriptedRequest&, int nth) {
      ScriptedAnswer answer = json(info_text());
      if (nth == 1) answer.status = status;
      return answer;
    });
    const auto answer = info();
    EXPECT_TRUE(answer) << status << ": " << answer.error().context;
  }
  EXPECT_EQ(client().stats().retries, 6u);
}

TEST_F(HubProtocolE5, ANegativeRetryAfterIsNoneAtAll) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    if (nth > 1) return answer;
    answer.status = 429;
    return answer.header("Retry-After", "-30");
  });
  EXPECT_TRUE(info());
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(HubProtocolE5, RetryAfterMayBeADateThatHasPassed) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer = json(info_text());
    if (nth > 1) return answer;
    answer.status = 429;
    return answer.header("Retry-After", "Fri, 02 Jan 2026 00:00:00 GMT");
  });
  EXPECT_TRUE(info());
}

TEST_F(HubProtocolF, ALoginIsNoticedThoughNothingIsAsked) {
  std::atomic<int> changes{0};
  Mutex mutex;
  std::string token;
  hub::HubClientOptions options;
  options.token = [&] {
    MutexLock lock(mutex);
    return token;
  };
  make_client(options);
  client().on_token_change([&] { ++changes; });
  on_hub([](const ScriptedRequest&, int) { return json(info_text()); });
  ASSERT_TRUE(info());
  EXPECT_EQ(changes, 0);
  for (const std::string& next : {kToken, kToken + "2", std::string()}) {
    const int before = changes;
    {
      MutexLock lock(mutex);
      token = next;
    }
    while (changes == before) std::this_thread::yield();
    EXPECT_EQ(changes, before + 1);
  }
  EXPECT_EQ(hub_.requests().size(), 1u);
  client_.reset();  // it refers to what ends here
}

TEST_F(HubProtocolF, ATokenThatArrivesCountsFromTheNextRequestOn) {
  TempDir dir;
  const hub::TokenSource tokens([&](const char* name) {
    return std::string(name) == "HF_TOKEN_PATH" ? dir / "token" : std::string();
  });
  hub::HubClientOptions options;
  options.token = [&] { return tokens.token(); };
  options.token_origin = tokens.origin();
  make_client(options);
  for (const int status : {401, 403, 404}) {
    write_file(dir / "token", "");
    on_hub([&](const ScriptedRequest& request, int) {
      if (request.header("authorization") == "Bearer " + kToken) return json(info_text());
      return refusal(status, status == 404 ? "RepoNotFound" : "");
    });
    EXPECT_NE(info_error().code, ErrorCode::kInternal) << status;
    write_file(dir / "token", "hf_staleone\n");
    EXPECT_NE(info_error().code, ErrorCode::kInternal) << status;
    write_file(dir / "token", kToken + "\n");
    EXPECT_TRUE(info()) << status;
  }
}

}  // namespace
}  // namespace hubvfs
