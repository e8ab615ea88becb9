// SPDX-License-Identifier: Apache-2.0
#include "fs/tensor_layout.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.h"

namespace hubvfs::fs {
namespace {

// --- safetensors: u64 length, that much JSON, data ---------------------------------------------

// {"NAME": {"dtype": ..., "shape": [...], "data_offsets": [BEGIN, END]}, "__metadata__": {...}}
class OffsetsVisitor final : public JsonVisitor {
 public:
  bool scalar(const std::string& path, JsonScalar&& value) override {
    if (!path.ends_with(".data_offsets[]")) return true;
    const auto* offset = std::get_if<std::uint64_t>(&value);
    if (offset == nullptr) return false;
    offsets_.push_back(*offset);
    return true;
  }
  // From the start of the data. None: they are not pairs.
  std::optional<std::vector<ByteRange>> tensors() const {
    if (offsets_.size() % 2 != 0) return {};
    std::vector<ByteRange> found;
    for (std::size_t i = 0; i < offsets_.size(); i += 2) {
      found.push_back({offsets_[i], offsets_[i + 1]});
    }
    return found;
  }

 private:
  std::vector<std::uint64_t> offsets_;
};

// --- GGUF: magic, version, counts, keys with values, tensors; all little-endian -----------------

constexpr std::uint32_t kGgufMagic = 0x46554747;  // "GGUF"
constexpr std::uint32_t kGgufString = 8;
constexpr std::uint32_t kGgufArray = 9;
constexpr int kGgufDepth = 4;  // of arrays in arrays
constexpr std::uint32_t kGgufDimensions = 8;
constexpr std::array<std::uint8_t, 13> kGgufSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

// Reads on while the bytes last. Not ok(): more of them are needed, or, where it is `bad`, none
// helps.
class GgufReader {
 public:
  explicit GgufReader(ByteView head) : in_(head) {}

  template <typename Int>
  Int integer() {
    at_ += sizeof(Int);
    return in_.integer<Int>();
  }
  std::string_view string() { return as_text(skip(integer<std::uint64_t>())); }
  ByteView skip(std::uint64_t bytes) {
    at_ += std::min<std::uint64_t>(bytes, TensorLayout::kMaxHeader + 1);  // cannot overflow
    return in_.raw(bytes);
  }
  void skip_value(std::uint32_t type, int depth = 0) {
    if (type >= kGgufSizes.size() || depth > kGgufDepth) {
      bad = true;
    } else if (type == kGgufString) {
      string();
    } else if (type == kGgufArray) {
      const auto of = integer<std::uint32_t>();
      const auto count = integer<std::uint64_t>();
      if (of < kGgufSizes.size() && kGgufSizes[of] != 0) {
        skip(count > TensorLayout::kMaxHeader ? UINT64_MAX : count * kGgufSizes[of]);
      } else {
        for (std::uint64_t i = 0; i < count && ok(); ++i) skip_value(of, depth + 1);
      }
    } else {
      skip(kGgufSizes[type]);
    }
  }
  bool ok() const { return in_.ok() && !bad; }
  std::uint64_t at() const { return at_; }
  bool bad = false;

 private:
  ByteReader in_;
  std::uint64_t at_ = 0;
};

}  // namespace

std::optional<TensorLayout::Format> TensorLayout::format_of(std::string_view path) {
  if (path.ends_with(".safetensors")) return Format::kSafetensors;
  if (path.ends_with(".gguf")) return Format::kGguf;
  return {};
}

TensorLayout::Outcome TensorLayout::parse(Format format, ByteView head, std::uint64_t file_size) {
  return format == Format::kSafetensors ? parse_safetensors(head, file_size)
                                        : parse_gguf(head, file_size);
}

TensorLayout::Outcome TensorLayout::of(std::uint64_t header_end, std::vector<ByteRange> tensors,
                                       std::uint64_t file_size) {
  if (header_end == 0 || header_end > file_size) return {};
  std::sort(tensors.begin(), tensors.end(), [](const ByteRange& a, const ByteRange& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::vector<std::uint64_t> bounds = {0, header_end};
  for (const ByteRange& tensor : tensors) {
    if (tensor.begin < bounds.back() || tensor.end < tensor.begin || tensor.end > file_size) {
      return {};
    }
    if (tensor.begin > bounds.back()) bounds.push_back(tensor.begin);
    if (tensor.end > bounds.back()) bounds.push_back(tensor.end);
  }
  if (bounds.back() < file_size) bounds.push_back(file_size);
  return {std::shared_ptr<const TensorLayout>(new TensorLayout(std::move(bounds))), 0};
}

TensorLayout::Outcome TensorLayout::parse_safetensors(ByteView head, std::uint64_t file_size) {
  constexpr std::uint64_t kLength = sizeof(std::uint64_t);
  if (file_size < kLength) return {};
  if (head.size() < kLength) return {nullptr, kLength};
  const auto length = ByteReader(head).integer<std::uint64_t>();
  if (length > std::min(file_size, kMaxHeader) - kLength) return {};
  if (head.size() < kLength + length) return {nullptr, kLength + length};
  OffsetsVisitor visitor;
  JsonLimits limits;
  limits.max_bytes = kMaxHeader;
  if (!parse_json(as_text(head.subspan(kLength, length)), visitor, limits)) return {};
  auto tensors = visitor.tensors();
  if (!tensors) return {};
  const std::uint64_t data = kLength + length;
  for (ByteRange& tensor : *tensors) {
    if (tensor.end > file_size - data || tensor.begin > tensor.end) return {};
    tensor = {data + tensor.begin, data + tensor.end};
  }
  return of(data, std::move(*tensors), file_size);
}

TensorLayout::Outcome TensorLayout::parse_gguf(ByteView head, std::uint64_t file_size) {
  const std::uint64_t most = std::min(file_size, kMaxHeader);
  GgufReader in(head.first(std::min<std::uint64_t>(head.size(), most)));
  Outcome more = head.size() < most ? Outcome{nullptr, head.size() + 1} : Outcome{};
  const auto magic = in.integer<std::uint32_t>();
  const auto version = in.integer<std::uint32_t>();
  const auto tensor_count = in.integer<std::uint64_t>();
  const auto value_count = in.integer<std::uint64_t>();
  if (!in.ok()) return more;
  if (magic != kGgufMagic || (version != 2 && version != 3)) return {};
  std::uint64_t alignment = 32;
  for (std::uint64_t i = 0; i < value_count && in.ok(); ++i) {
    const bool is_alignment = in.string() == "general.alignment";
    const auto type = in.integer<std::uint32_t>();
    if (is_alignment && type == 4) {
      alignment = in.integer<std::uint32_t>();
    } else {
      in.skip_value(type);
    }
  }
  if (in.bad) return {};
  if (!in.ok()) return more;
  if (alignment == 0 || alignment > kMaxHeader) return {};
  // Its length follows from its type, of which there are many and new ones each year: a tensor
  // reaches to the next instead.
  std::vector<std::uint64_t> begins;
  for (std::uint64_t i = 0; i < tensor_count && in.ok(); ++i) {
    in.string();
    const auto dimensions = in.integer<std::uint32_t>();
    if (dimensions > kGgufDimensions) return {};
    in.skip(dimensions * sizeof(std::uint64_t));
    in.integer<std::uint32_t>();  // type
    begins.push_back(in.integer<std::uint64_t>());
  }
  if (!in.ok()) return more;
  const std::uint64_t data = (in.at() + alignment - 1) / alignment * alignment;
  if (data > file_size) return {};
  std::sort(begins.begin(), begins.end());
  std::vector<ByteRange> tensors;
  for (std::size_t i = 0; i < begins.size(); ++i) {
    const std::uint64_t end = i + 1 < begins.size() ? begins[i + 1] : file_size - data;
    if (begins[i] > end || end > file_size - data) return {};
    tensors.push_back({data + begins[i], data + end});
  }
  return of(data, std::move(tensors), file_size);
}

ByteRange TensorLayout::extent_at(std::uint64_t offset) const {
  const auto above = std::upper_bound(bounds_.begin(), bounds_.end() - 1, offset);
  return {*(above - 1), *above};
}

}  // namespace hubvfs::fs
