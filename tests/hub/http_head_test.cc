// SPDX-License-Identifier: Apache-2.0
#include "hub/http_head.h"

#include <gtest/gtest.h>

namespace hubvfs::hub {
namespace {

TEST(HubProtocolD4, AContentRangeIsOneRangeOfAKnownSize) {
  const auto range = parse_content_range("bytes 100-199/760003");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->range, (ByteRange{100, 200}));
  EXPECT_EQ(range->total, 760003u);
  EXPECT_TRUE(parse_content_range("bytes 0-0/1"));
}

TEST(HubProtocolD4, AnyOtherContentRangeIsNone) {
  for (const char* bad :
       {"", "bytes", "bytes */100", "bytes 0-9/*", "bytes 9-0/100", "bytes 0-100/100",
        "bytes -1-5/100", "bytes +0-5/100", "bytes 0 -5/100", "bytes 0-5/100 x", "bytes 0-5",
        "octets 0-5/100", "bytes 0-5,7-9/100", "bytes 0x0-5/100",
        "bytes 18446744073709551616-18446744073709551617/18446744073709551618", "bytes 5/10-100"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

TEST(HubProtocolC1, TheNextLinkIsFoundAmongOthers) {
  EXPECT_EQ(next_link("<https://h/a?cursor=x%3D&b=1>; rel=\"next\""),
            "https://h/a?cursor=x%3D&b=1");
  EXPECT_EQ(next_link("<https://h/p>; rel=\"prev\", <https://h/n>; rel=\"next\""), "https://h/n");
  EXPECT_EQ(next_link("<https://h/n,1>;rel=next"), "https://h/n,1");
  EXPECT_EQ(next_link("<https://h/n>; title=\"x\"; REL=\"last next\""), "https://h/n");
}

TEST(HubProtocolC1, OtherLinksLeadNowhere) {
  for (const char* none : {"", "https://h/n; rel=next", "<https://h/n", "<https://h/n>",
                           "<https://h/n>; rel=\"nextish\"", "<https://h/x>; rel=\"xet-auth\""}) {
    EXPECT_EQ(next_link(none), "") << none;
  }
}

TEST(HubProtocolD6, AnEtagIsStrippedOfQuotesAndWeakness) {
  EXPECT_EQ(normalize_etag("\"abc\""), "abc");
  EXPECT_EQ(normalize_etag("W/\"abc\""), "abc");
  EXPECT_EQ(normalize_etag("abc"), "abc");
  EXPECT_EQ(normalize_etag(""), "");
}

TEST(HubProtocolE4, RateLimitIsRead) {
  const auto limit = parse_rate_limit("\"api\";r=497;t=168");
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->quota, "api");
  EXPECT_EQ(limit->remaining, 497u);
  EXPECT_EQ(limit->reset_seconds, 168u);
  EXPECT_FALSE(parse_rate_limit(""));
  EXPECT_FALSE(parse_rate_limit("\"api\";r=-1;t=5"));
  EXPECT_FALSE(parse_rate_limit("\"api\";r=0"));
}

TEST(Dates, AreReadInTheirOneForm) {
  EXPECT_EQ(parse_iso_date("2026-03-02T10:11:12.000Z"), 1'772'446'272);
  EXPECT_EQ(parse_iso_date("1970-01-01T00:00:00Z"), 0);
  for (const char* bad : {"", "2026-03-02", "2026-13-02T10:11:12.000Z", "2026-03-02T25:11:12.000Z",
                          "xxxx-03-02T10:11:12.000Z", "2026-03-02T10:11:12.000+01"}) {
    EXPECT_FALSE(parse_iso_date(bad)) << bad;
  }
  EXPECT_EQ(parse_http_date("Mon, 02 Mar 2026 10:11:12 GMT"), 1'772'446'272);
  for (const char* bad : {"", "Mon, 02 Mar 2026 10:11:12", "Mon, 02 Foo 2026 10:11:12 GMT",
                          "Monday, 02-Mar-26 10:11:12 GMT", "Mon, 0x Mar 2026 10:11:12 GMT"}) {
    EXPECT_FALSE(parse_http_date(bad)) << bad;
  }
}

TEST(HubProtocolE5, RetryAfterIsANumberOrADate) {
  constexpr UnixSeconds kNow = 1'772'446'200;
  EXPECT_EQ(parse_retry_after("7", kNow), 7u);
  EXPECT_EQ(parse_retry_after("Mon, 02 Mar 2026 10:11:12 GMT", kNow), 72u);
  EXPECT_EQ(parse_retry_after("Mon, 02 Mar 2026 10:00:00 GMT", kNow), 0u);
  EXPECT_FALSE(parse_retry_after("-5", kNow));
  EXPECT_FALSE(parse_retry_after("soon", kNow));
  EXPECT_FALSE(parse_retry_after("", kNow));
}

TEST(HubProtocolD4, TheExpiryIsReadFromBothKindsOfSignedUrl) {
  EXPECT_EQ(url_expiry("a=b&Expires=1772447400&Signature=x"), 1'772'447'400);
  EXPECT_EQ(url_expiry("X-Amz-Date=20260302T101112Z&X-Amz-Expires=3600"), 1'772'449'872);
  EXPECT_FALSE(url_expiry(""));
  EXPECT_FALSE(url_expiry("Expires=tomorrow"));
  EXPECT_FALSE(url_expiry("Expires=99999999999999999999"));
  EXPECT_FALSE(url_expiry("X-Amz-Expires=3600"));
  EXPECT_FALSE(url_expiry("X-Amz-Date=20261302T101112Z&X-Amz-Expires=3600"));
}

TEST(HttpHeadTest, KeepsWhatItKnowsWhateverItsCase) {
  HttpHead head;
  for (const char* line : {"HTTP/1.1 302 Found\r\n", "x-linked-etag: \"abc\"\r\n",
                           "LOCATION:https://h/x\r\n", "X-Unknown: 1\r\n", "\r\n"}) {
    EXPECT_TRUE(head.add_line(line));
  }
  EXPECT_EQ(head.status, 302);
  EXPECT_EQ(head.linked_etag, "\"abc\"");
  EXPECT_EQ(head.location, "https://h/x");
}

TEST(HttpHeadTest, AStatusLineStartsAfresh) {
  HttpHead head;
  EXPECT_TRUE(head.add_line("HTTP/1.1 100 Continue\r\n"));
  EXPECT_TRUE(head.add_line("Location: http://evil/\r\n"));
  EXPECT_TRUE(head.add_line("HTTP/2 200\r\n"));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.location, "");
}

TEST(HttpHeadTest, ContradictionsAreRefused) {
  HttpHead head;
  EXPECT_TRUE(head.add_line("ETag: \"a\"\r\n"));
  EXPECT_TRUE(head.add_line("ETag: \"a\"\r\n"));
  EXPECT_FALSE(head.add_line("ETag: \"b\"\r\n"));
}

TEST(HttpHeadTest, ItsSizeIsBounded) {
  HttpHead head;
  const std::string line = "X-Padding: " + std::string(1000, 'x') + "\r\n";
  bool taken = true;
  for (int i = 0; i < 100 && taken; ++i) {
    taken = head.add_line(line) && head.add_line("HTTP/1.1 100 Continue\r\n");
  }
  EXPECT_FALSE(taken);
}

TEST(HubProtocolD5, XetLinksAreNoNextPage) {
  EXPECT_EQ(next_link("<https://h/api/models/a/b/xet-read-token/x>; rel=\"xet-auth\", "
                      "<https://cas/v1/reconstructions/y>; rel=\"xet-reconstruction-info\""),
            "");
}

TEST(HubProtocolE4, ThePolicyIsRead) {
  const auto policy = parse_rate_policy("\"fixed window\";\"api\";q=500;w=300");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->requests, 500u);
  EXPECT_EQ(policy->window_seconds, 300u);
  for (const char* bad : {"", "\"api\";q=500", "\"api\";q=-1;w=300", "\"api\";w=x;q=1"}) {
    EXPECT_FALSE(parse_rate_policy(bad)) << bad;
  }
}

TEST(HubProtocolE1, WarningsAreNoContradiction) {
  HttpHead head;
  EXPECT_TRUE(head.add_line("X-HF-Warning: unauthenticated; log in\r\n"));
  EXPECT_TRUE(head.add_line("X-HF-Warning: deprecated; use another\r\n"));
  EXPECT_TRUE(head.warning.starts_with("unauthenticated; log in"));
}

TEST(HttpHeadTest, LinkLinesAreJoined) {
  HttpHead head;
  EXPECT_TRUE(head.add_line("Link: <https://h/a>; rel=\"prev\"\r\n"));
  EXPECT_TRUE(head.add_line("Link: <https://h/b>; rel=\"next\"\r\n"));
  EXPECT_EQ(next_link(head.link), "https://h/b");
}

}  // namespace
}  // namespace hubvfs::hub
