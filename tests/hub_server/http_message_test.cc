// SPDX-License-Identifier: Apache-2.0
#include "hub/server/http_message.h"

#include <gtest/gtest.h>

namespace hubvfs::hub::server {
namespace {

using Kind = RangeAsked::Kind;

void expect_range(const char* header, std::uint64_t size, Kind kind, ByteRange range = {}) {
  const RangeAsked asked = parse_range(header, size);
  EXPECT_EQ(asked.kind, kind) << header;
  if (kind == Kind::kPart) {
    EXPECT_EQ(asked.range, range) << header;
  }
}

TEST(Range, SingleRangesAreHalfOpenInside) {
  expect_range("bytes=0-0", 10, Kind::kPart, {0, 1});
  expect_range("bytes=2-5", 10, Kind::kPart, {2, 6});
  expect_range("bytes=5-", 10, Kind::kPart, {5, 10});
  expect_range("bytes=-3", 10, Kind::kPart, {7, 10});
  expect_range("bytes=-30", 10, Kind::kPart, {0, 10});
  expect_range("bytes=8-99", 10, Kind::kPart, {8, 10});
  expect_range("bytes=8-18446744073709551615", 10, Kind::kPart, {8, 10});
}

TEST(Range, PastTheEndIsUnsatisfiable) {
  expect_range("bytes=10-", 10, Kind::kUnsatisfiable);
  expect_range("bytes=10-20", 10, Kind::kUnsatisfiable);
  expect_range("bytes=-0", 10, Kind::kUnsatisfiable);
  expect_range("bytes=0-0", 0, Kind::kUnsatisfiable);
}

TEST(Range, MalformedOrSeveralRangesMeanTheWhole) {
  for (const char* header : {"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2",
                             "lines=1-2", "bytes=0-1,4-5", "bytes=99999999999999999999-"}) {
    expect_range(header, 10, Kind::kWhole);
  }
}

TEST(Parameters, DecodedInOrderAndRepeatable) {
  const auto parameters = parse_parameters("expand=sha&expand%5B%5D=a%2Bb+c&flag&x=%zz");
  ASSERT_EQ(parameters.size(), 4u);
  EXPECT_EQ(parameters[1].first, "expand[]");
  EXPECT_EQ(parameters[1].second, "a+b c");
  EXPECT_EQ(parameters[2].second, "");
  EXPECT_EQ(parameters[3].second, "%zz");
  EXPECT_FALSE(parameter(parameters, "absent").has_value());
}

TEST(Etags, WeakQuotedListedAndAny) {
  EXPECT_TRUE(names_etag("\"abc\"", "abc"));
  EXPECT_TRUE(names_etag("W/\"abc\"", "abc"));
  EXPECT_TRUE(names_etag("\"x\", \"abc\"", "abc"));
  EXPECT_TRUE(names_etag("*", "abc"));
  EXPECT_FALSE(names_etag("\"abcd\"", "abc"));
  EXPECT_FALSE(names_etag("", ""));
}

TEST(HeaderText, NothingThatEndsAHeaderOrIsNotAscii) {
  EXPECT_EQ(header_text("a\r\nSet-Cookie: x\x1b\xc3\xa4"), "a??Set-Cookie: x???");
  EXPECT_EQ(header_text(std::string(1000, 'x')).size(), 512u);
}

}  // namespace
}  // namespace hubvfs::hub::server
