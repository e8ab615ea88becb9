// SPDX-License-Identifier: Apache-2.0
#include "hub/curl_url.h"

#include <gtest/gtest.h>

#include "tests/hub/redirect_targets.h"

namespace hubvfs::hub {
namespace {

Url url(const std::string& text) {
  const auto parsed = parse_url(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : Url();
}

TEST(UrlTest, PartsAreKeptAsSent) {
  const Url parsed = url("HTTPS://Cdn.Example.ORG/a%2Fb/../c?Expires=1&x=%22y%22");
  EXPECT_EQ(parsed.origin(), "https://cdn.example.org:443");
  EXPECT_EQ(parsed.path, "/a%2Fb/../c");
  EXPECT_EQ(parsed.query, "Expires=1&x=%22y%22");
  EXPECT_EQ(parsed.text(), "https://cdn.example.org/a%2Fb/../c?Expires=1&x=%22y%22");
  EXPECT_EQ(url("http://127.0.0.1:8080").text(), "http://127.0.0.1:8080/");
  EXPECT_EQ(url("http://[::1]:81/x").host, "::1");
  EXPECT_EQ(url("http://[::1]:81/x").text(), "http://[::1]:81/x");
}

TEST(UrlTest, TheQueryIsNeverLogged) {
  EXPECT_EQ(url("https://h/a?Signature=secret").for_log().find("secret"), std::string::npos);
}

TEST(UrlTest, WhatParsersDisagreeAboutIsRefused) {
  for (const char* bad : {"",
                          "/a",
                          "huggingface.co/x",
                          "ftp://h/x",
                          "file:///etc/passwd",
                          "gopher://h/",
                          "https://",
                          "https://user@h/x",
                          "https://user:pw@h/x",
                          "https://huggingface.co\\@evil.com/",
                          "https://h/a b",
                          "https://h/a\r\nX: y",
                          "https://h/\x01",
                          "https://h/\x7f",
                          "https://h:0/",
                          "https://h:99999/",
                          "https://h:x/",
                          "https://[fe80::1%25eth0]/",
                          "https://\xc3\xa4.org/",
                          "data:text/plain,x",
                          "dict://h:11211/x"}) {
    EXPECT_FALSE(parse_url(bad)) << bad;
  }
  EXPECT_FALSE(parse_url("https://h/" + std::string(20'000, 'a')));
  EXPECT_FALSE(parse_url(std::string("https://h/\0x", 12)));
}

TEST(UrlTest, AddressesAreNormalised) {
  EXPECT_EQ(url("http://127.1/").host, "127.0.0.1");
  EXPECT_EQ(url("http://0x7f.1/").host, "127.0.0.1");
  EXPECT_EQ(url("http://2130706433/").host, "127.0.0.1");
}

TEST(UrlTest, ReferencesAreResolved) {
  const Url base = url("https://h.org/a/b?c=d");
  EXPECT_EQ(resolve_url(base, "/api/x?y=%2F")->text(), "https://h.org/api/x?y=%2F");
  EXPECT_EQ(resolve_url(base, "https://cdn.org/z")->text(), "https://cdn.org/z");
  EXPECT_EQ(resolve_url(base, "//cdn.org/z")->text(), "https://cdn.org/z");
  EXPECT_FALSE(resolve_url(base, ""));
  EXPECT_FALSE(resolve_url(base, "file:///etc/passwd"));
  EXPECT_FALSE(resolve_url(base, "//user@evil.org/"));
  EXPECT_FALSE(resolve_url(base, "/a\\b"));
}

bool allowed(const std::string& endpoint, const std::string& target,
             std::vector<std::string> hosts = {}) {
  return check_redirect({url(endpoint), std::move(hosts), {}}, url(target)).has_value();
}

TEST(RedirectPolicyTest, APublicHubMaySendToAnyPublicHttpsHost) {
  const std::string hub = "https://huggingface.co";
  EXPECT_TRUE(allowed(hub, "https://huggingface.co/x"));
  EXPECT_TRUE(allowed(hub, "https://us.aws.cdn.hf.co/x"));
  for (const char* bad :
       {"http://us.aws.cdn.hf.co/x", "http://huggingface.co/x", "https://cdn.hf.co:8443/x",
        "https://127.0.0.1/x", "https://127.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
        "https://localhost/x", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data",
        "http://169.254.169.254/", "https://0.0.0.0/"}) {
    EXPECT_FALSE(allowed(hub, bad)) << bad;
  }
}

TEST(RedirectPolicyTest, NoHostileTargetPasses) {
  const RedirectPolicy policy{url("https://hub.example.org"), {}, {}};
  EXPECT_GE(kHostileTargets.size(), 60u);
  for (const char* target : kHostileTargets) {
    const auto resolved = resolve_url(url("https://hub.example.org/a/b"), target);
    EXPECT_FALSE(resolved && check_redirect(policy, *resolved)) << target;
  }
  EXPECT_TRUE(check_redirect(policy, url("https://cdn.example.org./x")));
}

TEST(RedirectPolicyTest, AHubFoundInsideMaySendInside) {
  RedirectPolicy policy{url("https://hub.corp"), {}, {}};
  EXPECT_FALSE(check_redirect(policy, url("https://10.0.0.2/")));
  policy.endpoint_class = AddressClass::kPrivate;
  EXPECT_TRUE(check_redirect(policy, url("https://10.0.0.2/")));
  EXPECT_FALSE(check_redirect(policy, url("https://127.0.0.1/")));
  EXPECT_FALSE(check_redirect(policy, url("https://169.254.169.254/")));
  // And one that goes by a public address may not, whatever its name.
  policy = {url("https://10.0.0.1"), {}, AddressClass::kPublic};
  EXPECT_FALSE(check_redirect(policy, url("https://10.0.0.2/")));
}

TEST(RedirectPolicyTest, APlainLoopbackHubMaySendToLoopbackOnly) {
  const std::string hub = "http://127.0.0.1:8080";
  EXPECT_TRUE(allowed(hub, "http://127.0.0.1:9090/x"));
  EXPECT_TRUE(allowed(hub, "http://localhost:9090/x"));
  EXPECT_TRUE(allowed(hub, "https://cdn.example.org/x"));
  for (const char* bad : {"http://example.org/", "http://10.0.0.1/", "http://169.254.169.254/",
                          "https://169.254.169.254/"}) {
    EXPECT_FALSE(allowed(hub, bad)) << bad;
  }
}

TEST(RedirectPolicyTest, APlainHubElsewhereMayUseItsOwnHost) {
  EXPECT_TRUE(allowed("http://hub.lan", "http://hub.lan:8081/x"));
  EXPECT_FALSE(allowed("http://hub.lan", "http://127.0.0.1/x"));
  EXPECT_FALSE(allowed("http://hub.lan", "http://other.lan/x"));
}

TEST(RedirectPolicyTest, AListIsTheOnlyWayOut) {
  const std::vector<std::string> list = {"*.hf.co", "mirror.example.org"};
  EXPECT_TRUE(allowed("https://huggingface.co", "https://us.aws.cdn.hf.co/x", list));
  EXPECT_TRUE(allowed("https://huggingface.co", "https://mirror.example.org:8443/x", list));
  EXPECT_TRUE(allowed("https://huggingface.co", "https://huggingface.co/x", list));
  EXPECT_FALSE(allowed("https://huggingface.co", "https://cdn.example.org/x", list));
  EXPECT_FALSE(allowed("https://huggingface.co", "https://evilhf.co/x", list));
}

TEST(ProxySettingsTest, PlainHttpNeverTakesAProxy) {
  const ProxySettings proxies("http://proxy:3128", "");
  EXPECT_EQ(proxies.proxy_for(url("https://huggingface.co/x")), "http://proxy:3128");
  EXPECT_EQ(proxies.proxy_for(url("http://hub.lan/x")), "");
  EXPECT_EQ(proxies.proxy_for(url("https://127.0.0.1/x")), "");
}

TEST(ProxySettingsTest, ExceptionsAreHostsAndDomains) {
  const ProxySettings proxies("http://proxy:3128", "hub.lan, .Corp.example other");
  for (const char* host : {"hub.lan", "a.hub.lan", "x.corp.example", "corp.example", "other"}) {
    EXPECT_EQ(proxies.proxy_for(url(std::string("https://") + host + "/")), "") << host;
  }
  EXPECT_NE(proxies.proxy_for(url("https://nothub.lan/")), "");
  const ProxySettings odd("http://proxy:3128",
                          "*.corp.example,hub.lan:8443,10.0.0.0/8,fd00::/8,[2001:db8::1]");
  for (const char* free : {"https://x.corp.example/", "https://hub.lan:8443/", "https://10.1.2.3/",
                           "https://[fd00::9]/", "https://[2001:db8::1]/"}) {
    EXPECT_EQ(odd.proxy_for(url(free)), "") << free;
  }
  for (const char* proxied : {"https://hub.lan/", "https://11.0.0.1/", "https://[fe80::9]/"}) {
    EXPECT_NE(odd.proxy_for(url(proxied)), "") << proxied;
  }
  EXPECT_EQ(ProxySettings("http://p", "*").proxy_for(url("https://x.org/")), "");
}

}  // namespace
}  // namespace hubvfs::hub
