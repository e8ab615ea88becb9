// SPDX-License-Identifier: Apache-2.0
#include "hub/server/url_signer.h"

#include <gtest/gtest.h>

namespace hubvfs::hub::server {
namespace {

using Verdict = UrlSigner::Verdict;

Verdict check(const UrlSigner& signer, const std::string& url, UnixSeconds now) {
  const std::size_t mark = url.find('?');
  return signer.check(url.substr(0, mark), mark == std::string::npos ? "" : url.substr(mark + 1),
                      now);
}

TEST(UrlSigner, GoodUntilTheSecondItExpires) {
  const auto signer = UrlSigner::create();
  ASSERT_TRUE(signer);
  const std::string url = signer->sign("/content/x", "a=1", 1000);
  EXPECT_NE(url.find("&Expires=1000&"), std::string::npos);
  EXPECT_EQ(check(*signer, url, 999), Verdict::kGood);
  EXPECT_EQ(check(*signer, url, 1000), Verdict::kExpired);
}

TEST(UrlSigner, AnyChangeIsForgery) {
  const auto signer = UrlSigner::create();
  ASSERT_TRUE(signer);
  const std::string url = signer->sign("/content/x", "", 1000);
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = url;
    return changed.replace(changed.find(from), from.size(), to);
  };
  EXPECT_EQ(check(*signer, replaced("/x", "/y"), 1), Verdict::kForged);
  EXPECT_EQ(check(*signer, replaced("Expires=1000", "Expires=9000"), 1), Verdict::kForged);
  EXPECT_EQ(check(*signer, replaced("?", "?a=1&"), 1), Verdict::kForged);
  EXPECT_EQ(check(*signer, url + "0", 1), Verdict::kForged);
  EXPECT_EQ(check(*signer, url + "&Expires=9000", 1), Verdict::kForged);
  EXPECT_EQ(check(*signer, "/content/x?Expires=9000", 1), Verdict::kForged);
  EXPECT_EQ(check(*signer, "/content/x", 1), Verdict::kForged);
}

TEST(UrlSigner, KeysDifferBetweenProcesses) {
  const auto one = UrlSigner::create();
  const auto other = UrlSigner::create();
  ASSERT_TRUE(one && other);
  EXPECT_EQ(check(*other, one->sign("/x", "", 1000), 1), Verdict::kForged);
}

}  // namespace
}  // namespace hubvfs::hub::server
