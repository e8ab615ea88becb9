// SPDX-License-Identifier: Apache-2.0
// Where we are sent on to, and what must not go along.
#include <cstdlib>

#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

using Redirects = FaultyHub;
using HubProtocolA3 = FaultyHub;
using HubProtocolD4 = FaultyHub;

TEST_F(HubProtocolD4, TheTokenGoesToTheEndpointOnly) {
  make_client_with_token();
  redirect_to(elsewhere_.origin() + "/blob");
  expect_bytes(lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().at(0).header("authorization"), "Bearer " + kToken);
  const auto requests = elsewhere_.requests();
  ASSERT_EQ(requests.size(), 1u);
  for (const auto& [name, value] : requests[0].headers) {
    EXPECT_EQ(value.find(kToken), std::string::npos) << name;
    EXPECT_TRUE(name == "host" || name == "range" || name == "user-agent" || name == "accept" ||
                name == "accept-encoding")
        << name;
  }
}

TEST_F(HubProtocolD4, AnotherPortOfTheSameHostIsAnotherOrigin) {
  make_client_with_token();
  expect_bytes(lfs_file(), {0, 10});
  EXPECT_EQ(content_.requests().at(0).header("authorization"), "");
}

TEST_F(Redirects, NoCookieIsKept) {
  make_client_with_token();
  redirect_to(elsewhere_.origin() + "/blob");
  expect_bytes(lfs_file(), {0, 10});
  hub::FileRef other = lfs_file();
  other.path = "other";
  expect_bytes(other, {0, 10});
  for (const auto& request : hub_.requests()) EXPECT_EQ(request.header("cookie"), "");
}

TEST_F(HubProtocolD4, ARelativeRedirectKeepsTheToken) {
  make_client_with_token();
  on_hub([&](const ScriptedRequest& request, int) {
    if (request.target == "/second") return good_regular(request);
    ScriptedAnswer answer;
    answer.status = 307;
    return answer.header("Location", "/second");
  });
  expect_bytes(regular_file(), {0, 10});
  EXPECT_EQ(hub_.requests().at(1).header("authorization"), "Bearer " + kToken);
}

TEST_F(Redirects, HostileTargetsAreRefusedUnasked) {
  for (const char* location :
       {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:70/x", "dict://127.0.0.1/x",
        "http://169.254.169.254/latest/meta-data", "https://169.254.169.254/x",
        "http://example.org/x", "http://10.0.0.1/x", "http://user@127.0.0.1/x",
        "http://127.0.0.1\\@example.org/", "http://[::ffff:169.254.169.254]/x", "http://0.0.0.0/x",
        "//0.0.0.0/", "http://", ""}) {
    redirect_to(location);
    const std::size_t before = hub_.requests().size();
    expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
    EXPECT_EQ(hub_.requests().size(), before + 1) << location;  // and not retried
  }
  EXPECT_EQ(client().stats().requests, 15u);
}

TEST_F(Redirects, AListOfHostsIsKeptTo) {
  hub::HubClientOptions options;
  options.redirect_hosts = {"cdn.example.org"};
  make_client(options);
  redirect_to(elsewhere_.origin() + "/blob");
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  EXPECT_EQ(elsewhere_.requests().size(), 0u);
  options.redirect_hosts = {"127.0.0.2"};
  make_client(options);
  expect_bytes(lfs_file(), {0, 10});
}

TEST_F(Redirects, ALoopEnds) {
  on_hub([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer;
    answer.status = 307;
    return answer.header("Location", request.target == "/a" ? "/b" : "/a");
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 3u);
}

TEST_F(Redirects, AChainEndsAfterFive) {
  on_hub([&](const ScriptedRequest&, int nth) {
    ScriptedAnswer answer;
    answer.status = 302;
    return answer.header("Location", "/hop" + std::to_string(nth));
  });
  expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 6u);
}

TEST_F(Redirects, ALongBodyOfARedirectIsNotRead) {
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer = to_content();
    answer.body = std::string(40u << 20, 'x');
    return answer;
  });
  expect_bytes(lfs_file(), {0, 10});
  EXPECT_LT(client().stats().bytes_received, 2u << 20);
}

TEST_F(HubProtocolA3, ARenamedReposFileIsFound) {
  on_hub([&](const ScriptedRequest& request, int) {
    if (request.target.starts_with("/acme/renamed/")) return to_content();
    ScriptedAnswer answer;
    answer.status = 307;  // it says nothing of the file
    return answer.header("Location", "/acme/renamed" + request.target.substr(14));
  });
  expect_bytes(lfs_file(), {0, 10});
  EXPECT_EQ(hub_.requests().size(), 2u);
}

TEST_F(HubProtocolA3, AnApiRouteOfARenamedRepoIsFollowed) {
  make_client_with_token();
  on_hub([&](const ScriptedRequest& request, int) {
    ScriptedAnswer answer;
    if (request.target.starts_with("/api/models/acme/renamed")) {
      answer.body = R"({"id":"acme/renamed","private":false,"sha":")" + kCommit + "\"}";
      return answer;
    }
    answer.status = 307;
    return answer.header("Location", "/api/models/acme/renamed" + request.target.substr(25));
  });
  const auto info = info_of(client(), kRepo, "main");
  ASSERT_TRUE(info) << info.error().context;
  EXPECT_EQ(info->id.name, "acme/renamed");
  EXPECT_TRUE(hub_.requests().at(1).target.starts_with(
      "/api/models/acme/renamed/revision/main?expand=sha"));
  EXPECT_EQ(hub_.requests().at(1).header("authorization"), "Bearer " + kToken);
}

TEST_F(Redirects, AnApiRouteNeverLeavesTheEndpoint) {
  make_client_with_token();
  redirect_to(elsewhere_.origin() + "/api/models/x");
  const auto info = info_of(client(), kRepo, "");
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kBadAnswer);
  EXPECT_EQ(elsewhere_.requests().size(), 0u);
}

TEST_F(Redirects, AProxyNeverSeesAPlainRequest) {
  ScriptedHttpServer proxy([](const ScriptedRequest&) { return ScriptedAnswer(); });
  for (const char* name : {"http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"}) {
    ::setenv(name, proxy.origin().c_str(), 1);
  }
  make_client_with_token();
  expect_bytes(lfs_file(), {0, 10});
  for (const char* name : {"http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"}) {
    ::unsetenv(name);
  }
  EXPECT_EQ(proxy.connections(), 0u);
}

TEST_F(Redirects, AProxyTunnelsHttpsAndSeesNoToken) {
  ScriptedHttpServer proxy([](const ScriptedRequest&) {
    ScriptedAnswer refused;
    refused.status = 407;
    return refused;
  });
  ::setenv("https_proxy", proxy.origin().c_str(), 1);
  hub::HubClientOptions options;
  options.endpoint = "https://hub.example.org";
  options.token = [] { return kToken; };
  make_client(options);
  ::unsetenv("https_proxy");
  const auto info = info_of(client(), kRepo, "", std::chrono::milliseconds(300));
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::kUnavailable) << info.error().context;
  ASSERT_GE(proxy.requests().size(), 1u);
  EXPECT_EQ(proxy.requests()[0].method, "CONNECT");
  EXPECT_EQ(proxy.requests()[0].target, "hub.example.org:443");
  EXPECT_EQ(proxy.requests()[0].header("authorization"), "");
}

}  // namespace
}  // namespace hubvfs
