// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <gtest/gtest.h>

#include <map>

namespace hubvfs {
namespace {

// Every scalar by its path; the last one of a path wins.
class Collect final : public JsonVisitor {
 public:
  bool scalar(const std::string& path, JsonScalar&& value) override {
    values[path] = std::move(value);
    return path != "stop";
  }
  std::map<std::string, JsonScalar> values;
};

Result<std::map<std::string, JsonScalar>> parse(const std::string& text,
                                                const JsonLimits& limits = {}) {
  Collect collect;
  auto parsed = parse_json(text, collect, limits);
  if (!parsed) return parsed.error();
  return collect.values;
}

TEST(ParseJson, PathsNameThePlace) {
  const auto values = parse(R"({"a": 1, "b": {"c": "x", "d": [true, {"e": null}]}, "f": 2})");
  ASSERT_TRUE(values);
  EXPECT_EQ(std::get<std::uint64_t>(values->at("a")), 1u);
  EXPECT_EQ(std::get<std::string>(values->at("b.c")), "x");
  EXPECT_TRUE(std::get<bool>(values->at("b.d[]")));
  EXPECT_TRUE(values->contains("b.d[].e"));
  EXPECT_EQ(std::get<std::uint64_t>(values->at("f")), 2u);
  EXPECT_TRUE(parse(R"([[1], {"x": [2]}])")->contains("[].x[]"));
}

TEST(ParseJson, OnlyUnsignedIntegersThatFitAreSizes) {
  const auto values = parse(
      R"({"neg": -1, "big": 18446744073709551615, "over": 18446744073709551616, "exp": 1e3})");
  ASSERT_TRUE(values);
  EXPECT_EQ(std::get<std::int64_t>(values->at("neg")), -1);
  EXPECT_EQ(std::get<std::uint64_t>(values->at("big")), UINT64_MAX);
  EXPECT_TRUE(std::holds_alternative<double>(values->at("over")));
  EXPECT_TRUE(std::holds_alternative<double>(values->at("exp")));
}

TEST(ParseJson, BombsEndAtABound) {
  EXPECT_EQ(parse(std::string(200'000, '[')).error().code, ErrorCode::kBadAnswer);
  EXPECT_FALSE(parse(std::string(17, '[') + std::string(17, ']')));
  EXPECT_TRUE(parse(std::string(16, '[') + std::string(16, ']')));
  EXPECT_FALSE(parse("{\"" + std::string(300, 'k') + "\": 1}"));
  JsonLimits few;
  few.max_values = 3;
  EXPECT_FALSE(parse("[1,2,3]", few));
  few.max_bytes = 4;
  EXPECT_FALSE(parse("[   ]", few));
}

TEST(ParseJson, WhatIsNotJsonIsAnErrorWithItsPlace) {
  for (const char* text : {"", "{", "[1,]", "{\"a\" 1}", "nul", "[1] x", "\"\xff\"", "{'a':1}"}) {
    const auto parsed = parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kBadAnswer);
  }
  EXPECT_NE(parse("[1,]").error().context.find("byte"), std::string::npos);
}

TEST(ParseJson, BadTextIsReplacedAndNothingElse) {
  for (const char* text : {"", "{", R"(["a\\ud800", "\\", "\ud83d\ude00", "\u00e9\n", "\uzzzz"])",
                           "[\"\xc3\xa9\"]", "\\"}) {
    EXPECT_EQ(with_nul_for_bad_text(text, 100), text);
  }
  EXPECT_EQ(with_nul_for_bad_text("[\"\xff\xc3\"]", 100), "[\"\\u0000\\u0000\"]");
  EXPECT_EQ(with_nul_for_bad_text(R"("\ud800x")", 100), R"("\u0000x")");
  EXPECT_EQ(with_nul_for_bad_text(R"("\ud800\ud83d\ude00\ude00")", 100),
            R"("\u0000\ud83d\ude00\u0000")");
}

TEST(ParseJson, ReplacingBadTextIsBounded) {
  EXPECT_LE(with_nul_for_bad_text(std::string(1000, '\xff'), 100).size(), 106u);
}

TEST(ParseJson, TheVisitorMayStopIt) {
  EXPECT_NE(parse(R"({"stop": 1})").error().context.find("stop"), std::string::npos);
}

TEST(JsonWriter, WhatIsWrittenIsReadBack) {
  JsonWriter out;
  out.begin_object().key("s").string("a\"\n\x01").key("n").number(std::uint64_t{7});
  out.key("l").begin_array().boolean(true).null().number(0.5).end_array();
  out.key("o").begin_object().end_object().key("z").string("").end_object();
  const auto values = parse(out.text());
  ASSERT_TRUE(values) << out.text();
  EXPECT_EQ(std::get<std::string>(values->at("s")), "a\"\n\x01");
  EXPECT_EQ(std::get<double>(values->at("l[]")), 0.5);
  EXPECT_EQ(std::get<std::string>(values->at("z")), "");
}

TEST(JsonWriter, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  JsonWriter out;
  out.string("a\xff");
  EXPECT_EQ(out.text(), "\"a\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace hubvfs
