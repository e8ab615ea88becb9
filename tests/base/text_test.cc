// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <gtest/gtest.h>

namespace hubvfs {
namespace {

TEST(EscapeForLog, ControlBytesAndBadUtf8AreShownNotObeyed) {
  EXPECT_EQ(escape_for_log("a\x1b[0m\n\x7f"), "a\\x1b[0m\\x0a\\x7f");
  EXPECT_EQ(escape_for_log("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
            "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(escape_for_log("\xff\xc0\xaf\xed\xa0\x80"), "\\xff\\xc0\\xaf\\xed\\xa0\\x80");
  EXPECT_EQ(escape_for_log("\xc2\x9b"), "\\xc2\\x9b") << "a C1 control";
  EXPECT_EQ(escape_for_log("abcdef", 3), "abc...");
}

TEST(PercentEncoding, EveryByteComesBack) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_encode("a b/c#%", true), "a%20b/c%23%25");
  EXPECT_EQ(percent_encode("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_FALSE(percent_decode("%4"));
  EXPECT_FALSE(percent_decode("%zz"));
}

TEST(Numbers, OnlyWholeDecimalsThatFit) {
  EXPECT_EQ(parse_decimal("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "18446744073709551616", "0x1", "1e3"}) {
    EXPECT_FALSE(parse_decimal(bad)) << bad;
  }
}

TEST(Sizes, ArePowersOf1024) {
  EXPECT_EQ(parse_bytes("512"), 512u);
  EXPECT_EQ(parse_bytes("64K"), 65536u);
  EXPECT_EQ(parse_bytes("1.5GiB"), 3u << 29);
  EXPECT_EQ(parse_bytes("2gb"), 2ull << 30);
  for (const char* bad : {"", "G", "-1G", "1X", "1GG", "1 G", "1iB", "99999999P"}) {
    EXPECT_FALSE(parse_bytes(bad)) << bad;
  }
  EXPECT_EQ(human_bytes(312), "312 B");
  EXPECT_EQ(human_bytes(3u << 29), "1.5 GiB");
}

TEST(Times, AreSecondsWithAUnit) {
  EXPECT_EQ(parse_seconds("30"), 30u);
  EXPECT_EQ(parse_seconds("5m"), 300u);
  EXPECT_EQ(parse_seconds("7d"), 7u * 86400);
  for (const char* bad : {"", "m", "1.5m", "-1s", "1w", "99999999999999999999d"}) {
    EXPECT_FALSE(parse_seconds(bad)) << bad;
  }
}

TEST(CommitIds, AreFortyLowerHexDigits) {
  EXPECT_TRUE(is_commit_id(std::string(40, 'a')));
  EXPECT_FALSE(is_commit_id(std::string(40, 'A')));
  EXPECT_FALSE(is_commit_id(std::string(39, 'a')));
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string_view>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ',').size(), 1u);
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
}

}  // namespace
}  // namespace hubvfs
