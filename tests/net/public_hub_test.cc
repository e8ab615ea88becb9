// SPDX-License-Identifier: Apache-2.0
// A Hub as it is on the internet, https and by name, reached through a proxy (tls_proxy.py).
#include <cstdlib>

#include "base/text.h"
#include "tests/hub/redirect_targets.h"
#include "tests/net/child.h"
#include "tests/net/faulty_hub.h"

namespace hubvfs {
namespace {

const char* const kVariables[] = {"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy",
                                  "SSL_CERT_FILE"};

class PublicHub : public FaultyHub {
 protected:
  void SetUp() override {
    for (const char* name : kVariables) ::unsetenv(name);
    if (!make_certificate(dir_ / "ca", "DNS:hub.example.org,DNS:cdn.example.org")) {
      GTEST_SKIP() << "no openssl command";
    }
    proxy_ = std::make_unique<Child>(std::vector<std::string>{
        HUBVFS_PYTHON, HUBVFS_TLS_PROXY, dir_ / "ca.crt", dir_ / "ca.key",
        "hub.example.org=" + port_of(hub_), "cdn.example.org=" + port_of(content_)});
    proxy_url_ = "http://127.0.0.1:" + proxy_->line();
    ::setenv("HTTPS_PROXY", proxy_url_.c_str(), 1);
    ::setenv("SSL_CERT_FILE", (dir_ / "ca.crt").c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : kVariables) ::unsetenv(name);
    FaultyHub::TearDown();
  }
  static std::string port_of(const ScriptedHttpServer& server) {
    return server.origin().substr(server.origin().rfind(':') + 1);
  }
  void go_public(const std::string& endpoint = "https://hub.example.org") {
    hub::HubClientOptions options;
    options.endpoint = endpoint;
    options.token = [] { return kToken; };
    options.token_origin = "HF_TOKEN";
    make_client(options);
  }
  // What the proxy was asked for, each "HOST:PORT"; it has ended then.
  std::vector<std::string> connects() {
    std::vector<std::string> targets;
    const std::string log = proxy_->end();
    EXPECT_EQ(log.find(kToken), std::string::npos) << log;
    for (std::string_view line : split(log, '\n')) {
      const std::string_view start = "{\"target\": \"";
      if (!line.starts_with(start)) continue;
      line.remove_prefix(start.size());
      targets.emplace_back(line.substr(0, line.find('"')));
    }
    return targets;
  }
  void expect_failure(const std::vector<std::string>& parts,
                      Duration time = std::chrono::seconds(2)) {
    const Error error = info_error(time);
    EXPECT_EQ(error.code, ErrorCode::kUnavailable) << error.context;
    for (const std::string& part : parts) {
      EXPECT_NE(error.context.find(part), std::string::npos) << part << " in: " << error.context;
    }
  }

  TempDir dir_;
  std::unique_ptr<Child> proxy_;
  std::string proxy_url_;
};

TEST_F(PublicHub, TheTokenIsSeenByTheHubOnly) {
  go_public();
  redirect_to("https://cdn.example.org/blob?Expires=4000000000&Signature=" + kSignature);
  expect_bytes(lfs_file(), {1000, 300'000});
  EXPECT_EQ(authorizations(), std::vector<std::string>{"Bearer " + kToken});
  ASSERT_EQ(content_.requests().size(), 1u);
  EXPECT_EQ(content_.requests()[0].header("host"), "cdn.example.org");
  EXPECT_EQ(connects(), (std::vector<std::string>{"hub.example.org:443", "cdn.example.org:443"}));
}

TEST_F(PublicHub, NoHostileRedirectIsFollowed) {
  go_public();
  std::atomic<std::size_t> next{0};
  on_hub([&](const ScriptedRequest&, int) {
    ScriptedAnswer answer = to_content();
    answer.headers[0].second = kHostileTargets[next];
    return answer;
  });
  for (; next < kHostileTargets.size(); ++next) {
    SCOPED_TRACE(kHostileTargets[next]);
    expect_error(ErrorCode::kBadAnswer, lfs_file(), {0, 10});
  }
  EXPECT_EQ(hub_.requests().size(), kHostileTargets.size());
  EXPECT_EQ(client().stats().requests, kHostileTargets.size());  // nothing else was begun
  EXPECT_EQ(content_.connections() + elsewhere_.connections(), 0u);
  for (const std::string& target : connects()) EXPECT_EQ(target, "hub.example.org:443");
}

TEST_F(PublicHub, NoProxyIsHeeded) {
  ::setenv("NO_PROXY", "other.example, .invalid", 1);
  go_public("https://hub.invalid");
  expect_failure({"DNS has no address for hub.invalid", "check the network"});
  EXPECT_TRUE(connects().empty());
}

TEST_F(PublicHub, ANameWithoutAnAddressIsToldSoEachTime) {
  ::setenv("NO_PROXY", "hub.invalid", 1);
  go_public("https://hub.invalid");
  for (int i = 0; i < 4; ++i) {
    expect_error(ErrorCode::kUnavailable, lfs_file(), {0, 10}, std::chrono::milliseconds(800));
    EXPECT_NE(failure_.find("DNS has no address for hub.invalid"), std::string::npos) << failure_;
  }
}

TEST_F(PublicHub, AProxyThatRefusesIsNamed) {
  go_public("https://absent.example.org");
  expect_failure({"proxy " + proxy_url_, "https://absent.example.org:443", "502", "HTTPS_PROXY"});
}

TEST_F(PublicHub, AProxyThatWantsAPasswordIsNamedWithoutIt) {
  ScriptedHttpServer proxy([](const ScriptedRequest&) { return refusal(407); });
  ::setenv("HTTPS_PROXY", ("http://me:" + kSignature + "@" + proxy.origin().substr(7)).c_str(), 1);
  go_public();
  expect_failure({"proxy " + proxy.origin(), "407", "HTTPS_PROXY"});
  ASSERT_GE(proxy.requests().size(), 1u);
  EXPECT_NE(proxy.requests()[0].header("proxy-authorization"), "");
  expect_no_token(proxy.requests());
}

TEST_F(PublicHub, AProxyThatIsDownIsNamed) {
  std::string gone;
  {
    const ScriptedHttpServer server([](const ScriptedRequest&) { return ScriptedAnswer(); });
    gone = server.origin();
  }
  ::setenv("HTTPS_PROXY", gone.c_str(), 1);
  go_public();
  expect_failure({"proxy " + gone, "check HTTPS_PROXY and NO_PROXY"});
}

TEST_F(PublicHub, ACertificateNobodyVouchesForIsTold) {
  ::unsetenv("SSL_CERT_FILE");
  go_public();
  expect_failure({"TLS with https://hub.example.org:443", "SSL_CERT_FILE"}, kAmple);
  EXPECT_EQ(client().stats().requests, 1u);
}

}  // namespace
}  // namespace hubvfs
