// SPDX-License-Identifier: Apache-2.0
#include "fs/file_patterns.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace hubvfs::fs {
namespace {

// What fnmatch.fnmatchcase of Python 3.11 says, of each pattern for each of these names.
TEST(FilePatterns, MatchAsPythonDoes) {
  const std::set<std::string> names = {"config.json",
                                       "onnx/model.onnx",
                                       "a/b/c.txt",
                                       "model-00001-of-00002.safetensors",
                                       "[x].txt",
                                       "a-b",
                                       "ab",
                                       "\xc3"
                                       "\xa9"
                                       ".txt",
                                       "x]y",
                                       "!a",
                                       "^a",
                                       "a",
                                       "b",
                                       "-",
                                       "README.md",
                                       ".gitattributes",
                                       "a\\b",
                                       "*",
                                       "model.bin",
                                       "q[",
                                       "onnx",
                                       "onnx/"};
  const std::map<std::string, std::set<std::string>> matching = {
      {"*",
       {"config.json",
        "onnx/model.onnx",
        "a/b/c.txt",
        "model-00001-of-00002.safetensors",
        "[x].txt",
        "a-b",
        "ab",
        "\xc3"
        "\xa9"
        ".txt",
        "x]y",
        "!a",
        "^a",
        "a",
        "b",
        "-",
        "README.md",
        ".gitattributes",
        "a\\b",
        "*",
        "model.bin",
        "q[",
        "onnx",
        "onnx/"}},
      {"*.json", {"config.json"}},
      {"onnx/*", {"onnx/model.onnx", "onnx/"}},
      {"onnx/", {"onnx/"}},
      {"*.txt",
       {"a/b/c.txt", "[x].txt",
        "\xc3"
        "\xa9"
        ".txt"}},
      {"model-*-of-*.safetensors", {"model-00001-of-00002.safetensors"}},
      {"?.txt",
       {"\xc3"
        "\xa9"
        ".txt"}},
      {"[[]x].txt", {"[x].txt"}},
      {"[]]", {}},
      {"x[]]y", {"x]y"}},
      {"[!a]", {"b", "-", "*"}},
      {"[^a]", {"a"}},
      {"[!a]*",
       {"config.json", "onnx/model.onnx", "model-00001-of-00002.safetensors", "[x].txt",
        "\xc3"
        "\xa9"
        ".txt",
        "x]y", "!a", "^a", "b", "-", "README.md", ".gitattributes", "*", "model.bin", "q[", "onnx",
        "onnx/"}},
      {"[a-b]", {"a", "b"}},
      {"[a-c-e]", {"a", "b", "-"}},
      {"[-a]", {"a", "-"}},
      {"[a-]", {"a", "-"}},
      {"[b-a]", {}},
      {"q[", {"q["}},
      {"[", {}},
      {"a\\b", {"a\\b"}},
      {"[\\]*", {}},
      {"**",
       {"config.json",
        "onnx/model.onnx",
        "a/b/c.txt",
        "model-00001-of-00002.safetensors",
        "[x].txt",
        "a-b",
        "ab",
        "\xc3"
        "\xa9"
        ".txt",
        "x]y",
        "!a",
        "^a",
        "a",
        "b",
        "-",
        "README.md",
        ".gitattributes",
        "a\\b",
        "*",
        "model.bin",
        "q[",
        "onnx",
        "onnx/"}},
      {"*a*b*", {"a/b/c.txt", "a-b", "ab", ".gitattributes", "a\\b"}},
      {"a?b", {"a-b", "a\\b"}},
      {"[\xc3"
       "\xa9"
       "]*",
       {"\xc3"
        "\xa9"
        ".txt"}},
      {"*/*/c.txt", {"a/b/c.txt"}},
      {"*.[jt]*",
       {"config.json", "a/b/c.txt", "[x].txt",
        "\xc3"
        "\xa9"
        ".txt"}},
      {"*.bin", {"model.bin"}},
      {"", {}},
      {"?", {"a", "b", "-", "*"}},
      {"[!-a]", {"b", "*"}},
      {"README", {}},
      {"readme.md", {}},
  };
  for (const auto& [pattern, expected] : matching) {
    std::set<std::string> found;
    for (const std::string& name : names) {
      if (matches_pattern(name, pattern)) found.insert(name);
    }
    EXPECT_EQ(found, expected) << pattern;
  }
}

TEST(FilePatterns, ManyStarsTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_FALSE(matches_pattern(std::string(4000, 'a') + "b", pattern));
  EXPECT_TRUE(matches_pattern(std::string(4000, 'a') + "b", pattern + "*"));
}

TEST(FilePatterns, IncludeAndExcludeMeanWhatTheyMeanToHuggingfaceHub) {
  EXPECT_TRUE((FilePatterns{{}, {}}.choose("a/b")));
  EXPECT_TRUE((FilePatterns{{"*.json", "*.txt"}, {}}.choose("a/b.txt")));
  EXPECT_FALSE((FilePatterns{{"*.json", "*.txt"}, {}}.choose("a/b.bin")));
  EXPECT_FALSE((FilePatterns{{"*.json"}, {"a/*"}}.choose("a/b.json")));
  EXPECT_TRUE((FilePatterns{{"*.json"}, {"a/*"}}.choose("b.json")));
  EXPECT_TRUE((FilePatterns{{"onnx/"}, {}}.choose("onnx/deep/model.onnx")));
  EXPECT_FALSE((FilePatterns{{"onnx/"}, {}}.choose("onnx.md")));
  EXPECT_FALSE((FilePatterns{{}, {"onnx/"}}.choose("onnx/model.onnx")));
}

}  // namespace
}  // namespace hubvfs::fs
