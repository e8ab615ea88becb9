// SPDX-License-Identifier: Apache-2.0
#include "fs/tensor_layout.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace hubvfs::fs {
namespace {

using Format = TensorLayout::Format;

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

std::string safetensors(const std::string& json) { return little_endian(json.size(), 8) + json; }

TensorLayout::Outcome parse(Format format, const std::string& head, std::uint64_t file_size) {
  return TensorLayout::parse(format, as_bytes(head), file_size);
}

const std::string kJson =
    R"({"__metadata__":{"format":"pt","note":"[1,2]"},)"
    R"("b.weight":{"dtype":"F32","shape":[25,10],"data_offsets":[1000,2000]},)"
    R"("a.weight":{"dtype":"F32","shape":[250],"data_offsets":[0,1000]},)"
    R"("none":{"dtype":"F32","shape":[0],"data_offsets":[1000,1000]},)"
    R"("c":{"dtype":"U8","shape":[10,5],"data_offsets":[2100,2150]}}    )";

TEST(TensorLayout, AFileIsKnownByTheEndOfItsName) {
  EXPECT_EQ(TensorLayout::format_of("a/model-00001-of-00002.safetensors"), Format::kSafetensors);
  EXPECT_EQ(TensorLayout::format_of("q4.gguf"), Format::kGguf);
  EXPECT_FALSE(TensorLayout::format_of("model.safetensors.index.json"));
  EXPECT_FALSE(TensorLayout::format_of("pytorch_model.bin"));
}

TEST(TensorLayout, SafetensorsSayWhereTheirTensorsLie) {
  const std::string head = safetensors(kJson);
  const std::uint64_t data = head.size();
  const auto layout = parse(Format::kSafetensors, head, data + 3000).layout;
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->header_end(), data);
  EXPECT_EQ(layout->extent_at(0), (ByteRange{0, data}));
  EXPECT_EQ(layout->extent_at(data - 1), (ByteRange{0, data}));
  EXPECT_EQ(layout->extent_at(data), (ByteRange{data, data + 1000}));
  EXPECT_EQ(layout->extent_at(data + 1999), (ByteRange{data + 1000, data + 2000}));
  EXPECT_EQ(layout->extent_at(data + 2050), (ByteRange{data + 2000, data + 2100})) << "a gap";
  EXPECT_EQ(layout->extent_at(data + 2100), (ByteRange{data + 2100, data + 2150}));
  EXPECT_EQ(layout->extent_at(data + 2999), (ByteRange{data + 2150, data + 3000}));
}

TEST(TensorLayout, AHeaderThatHasNotAllComeSaysHowMuchOfItIsNeeded) {
  const std::string head = safetensors(kJson);
  const std::uint64_t size = head.size() + 2150;
  EXPECT_EQ(parse(Format::kSafetensors, head.substr(0, 7), size).needs, 8u);
  for (std::size_t length = 8; length < head.size(); ++length) {
    const auto outcome = parse(Format::kSafetensors, head.substr(0, length), size);
    EXPECT_FALSE(outcome.layout) << length;
    EXPECT_EQ(outcome.needs, head.size()) << length;
  }
  EXPECT_TRUE(parse(Format::kSafetensors, head + "data", size).layout);
}

TEST(TensorLayout, ASafetensorsHeaderThatCannotBeGivesNone) {
  const auto none = [](const std::string& head, std::uint64_t size) {
    const auto outcome = parse(Format::kSafetensors, head, size);
    return !outcome.layout && outcome.needs == 0;
  };
  const std::string good = safetensors(R"({"a":{"data_offsets":[0,10]}})");
  EXPECT_FALSE(none(good, good.size() + 10));
  EXPECT_TRUE(none(good, good.size() + 9)) << "beyond the end";
  EXPECT_TRUE(none(safetensors(R"({"a":{"data_offsets":[10,0]}})"), 1000))
      << "ends before it begins";
  EXPECT_TRUE(
      none(safetensors(R"({"a":{"data_offsets":[0,10]},"b":{"data_offsets":[9,20]}})"), 1000))
      << "overlap";
  EXPECT_TRUE(none(safetensors(R"({"a":{"data_offsets":[0,-1]}})"), 1000));
  EXPECT_TRUE(none(safetensors(R"({"a":{"data_offsets":[0,1e3]}})"), 1000));
  EXPECT_TRUE(none(safetensors(R"({"a":{"data_offsets":[0]}})"), 1000));
  EXPECT_TRUE(none(safetensors(R"({"a":{"data_offsets":[0,18446744073709551615]}})"), 1000));
  EXPECT_TRUE(none(safetensors("not json"), 1000));
  EXPECT_TRUE(none(little_endian(UINT64_MAX, 8), UINT64_MAX)) << "a length that overflows";
  EXPECT_TRUE(none(little_endian(TensorLayout::kMaxHeader, 8), UINT64_MAX)) << "too long";
  EXPECT_TRUE(none("short", 5));
  EXPECT_TRUE(none(safetensors(std::string(100'000, '[')), 1'000'000)) << "nested deeply";
}

std::string gguf_string(const std::string& text) { return little_endian(text.size(), 8) + text; }
std::string gguf_value(const std::string& key, std::uint32_t type, const std::string& value) {
  return gguf_string(key) + little_endian(type, 4) + value;
}
std::string gguf_tensor(const std::string& name, std::uint64_t offset) {
  return gguf_string(name) + little_endian(2, 4) + little_endian(64, 8) + little_endian(32, 8) +
         little_endian(12, 4) + little_endian(offset, 8);
}
std::string gguf(std::uint32_t alignment = 64, std::uint32_t version = 3) {
  const std::string words = little_endian(8, 4) + little_endian(3, 8) + gguf_string("one") +
                            gguf_string("") + gguf_string("three");
  const std::string numbers = little_endian(5, 4) + little_endian(2, 8) + std::string(8, 'x');
  const std::string nested = little_endian(9, 4) + little_endian(1, 8) + numbers;
  return "GGUF" + little_endian(version, 4) + little_endian(3, 8) + little_endian(6, 8) +
         gguf_value("general.architecture", 8, gguf_string("llama")) +
         gguf_value("general.alignment", 4, little_endian(alignment, 4)) +
         gguf_value("tokens", 9, words) + gguf_value("scores", 9, numbers) +
         gguf_value("nested", 9, nested) + gguf_value("rope", 12, std::string(8, 'y')) +
         gguf_tensor("blk.1", 4096) + gguf_tensor("blk.0", 0) + gguf_tensor("out", 8192);
}

TEST(TensorLayout, GgufSaysWhereItsTensorsBegin) {
  for (const std::uint32_t version : {2u, 3u}) {
    const std::string head = gguf(64, version);
    const std::uint64_t data = (head.size() + 63) / 64 * 64;
    const auto layout = parse(Format::kGguf, head, data + 10'000).layout;
    ASSERT_TRUE(layout);
    EXPECT_EQ(layout->extent_at(5), (ByteRange{0, data}));
    EXPECT_EQ(layout->extent_at(data), (ByteRange{data, data + 4096}));
    EXPECT_EQ(layout->extent_at(data + 4096), (ByteRange{data + 4096, data + 8192}));
    EXPECT_EQ(layout->extent_at(data + 9000), (ByteRange{data + 8192, data + 10'000}));
  }
}

TEST(TensorLayout, AGgufHeaderThatHasNotAllComeNeedsMore) {
  const std::string head = gguf();
  for (std::size_t length = 0; length < head.size(); ++length) {
    const auto outcome = parse(Format::kGguf, head.substr(0, length), 1u << 20);
    EXPECT_FALSE(outcome.layout) << length;
    EXPECT_EQ(outcome.needs, length + 1) << length;
  }
  EXPECT_EQ(parse(Format::kGguf, head.substr(0, 300), 300).needs, 0u) << "there is no more";
}

TEST(TensorLayout, AGgufHeaderThatCannotBeGivesNone) {
  const auto none = [](const std::string& head, std::uint64_t size = 1u << 20) {
    const auto outcome = parse(Format::kGguf, head, size);
    return !outcome.layout && outcome.needs == 0;
  };
  ASSERT_FALSE(none(gguf()));
  EXPECT_TRUE(none("GGML" + gguf().substr(4)));
  EXPECT_TRUE(none(gguf(64, 1)));
  EXPECT_TRUE(none(gguf(64, 0x03000000))) << "big-endian";
  EXPECT_TRUE(none(gguf(0)));
  EXPECT_TRUE(none(gguf(UINT32_MAX)));
  EXPECT_TRUE(none(gguf(), 8000)) << "a tensor beyond the end";
  const std::string counts = "GGUF" + little_endian(3, 4);
  EXPECT_TRUE(none(counts + little_endian(0, 8) + little_endian(1, 8) +
                   gguf_value("k", 13, std::string(64, 'x'))))
      << "a type that there is not";
  EXPECT_TRUE(none(counts + little_endian(1, 8) + little_endian(0, 8) + gguf_string("t") +
                   little_endian(UINT32_MAX, 4)))
      << "too many dimensions";
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += little_endian(9, 4) + little_endian(1, 8);
  EXPECT_TRUE(none(counts + little_endian(0, 8) + little_endian(1, 8) + gguf_value("k", 9, deep)));
  const std::string huge = counts + little_endian(UINT64_MAX, 8) + little_endian(UINT64_MAX, 8);
  EXPECT_FALSE(parse(Format::kGguf, huge, 1u << 20).layout);
  EXPECT_FALSE(parse(Format::kGguf,
                     counts + little_endian(0, 8) + little_endian(1, 8) +
                         gguf_value("k", 9, little_endian(10, 4) + little_endian(UINT64_MAX, 8)),
                     1u << 20)
                   .layout);
}

// Whatever the bytes: no crash, extents that tile the file, or none.
TEST(TensorLayout, DamagedHeadersGiveASoundLayoutOrNone) {
  std::mt19937_64 random(20260101);
  for (int i = 0; i < 20'000; ++i) {
    const Format format = i % 2 == 0 ? Format::kSafetensors : Format::kGguf;
    std::string head = format == Format::kGguf ? gguf() : safetensors(kJson);
    for (std::uint64_t left = random() % 4; left > 0; --left) {
      head[random() % head.size()] = static_cast<char>(random());
    }
    if (random() % 3 == 0) head.resize(random() % head.size());
    if (random() % 8 == 0) {
      for (char& c : head) c = static_cast<char>(random());
    }
    const std::uint64_t size = random() % 20'000 + head.size() + 1;
    const auto outcome = parse(format, head, size);
    EXPECT_LE(outcome.needs, size);
    if (!outcome.layout) continue;
    EXPECT_EQ(outcome.needs, 0u);
    for (std::uint64_t at = 0; at < size;) {
      const ByteRange extent = outcome.layout->extent_at(at);
      ASSERT_EQ(extent.begin, at);
      ASSERT_GT(extent.end, at);
      ASSERT_LE(extent.end, size);
      at = extent.end;
    }
  }
}

}  // namespace
}  // namespace hubvfs::fs
