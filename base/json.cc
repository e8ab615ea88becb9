// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace hubvfs {
namespace {

using nlohmann::json;

// Keeps the path while nlohmann's SAX parser walks the text.
class PathTracker final : public nlohmann::json_sax<json> {
 public:
  PathTracker(JsonVisitor& visitor, const JsonLimits& limits)
      : visitor_(visitor), limits_(limits) {}

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(number_integer_t value) override {
    return value >= 0 ? scalar(static_cast<std::uint64_t>(value)) : scalar(value);
  }
  bool number_unsigned(number_unsigned_t value) override { return scalar(value); }
  bool number_float(number_float_t value, const string_t&) override { return scalar(value); }
  bool string(string_t& value) override { return scalar(std::move(value)); }
  bool binary(binary_t&) override { return fail("binary value"); }

  bool start_object(std::size_t) override {
    if (!count() || !enter()) return false;
    return visitor_.begin_object(path_) || fail("unexpected object at " + path_);
  }
  bool end_object() override {
    path_.resize(levels_.back().path_size);
    levels_.pop_back();
    return visitor_.end_object(path_) || fail("object refused at " + path_);
  }
  bool start_array(std::size_t) override {
    if (!count() || !enter()) return false;
    if (!visitor_.begin_array(path_)) return fail("unexpected array at " + path_);
    path_ += "[]";
    return true;
  }
  bool end_array() override {
    path_.resize(levels_.back().path_size);
    levels_.pop_back();
    return visitor_.end_array(path_) || fail("array refused at " + path_);
  }
  bool key(string_t& name) override {
    if (name.size() > limits_.max_key_bytes) return fail("key too long");
    path_.resize(levels_.back().path_size);
    if (!path_.empty()) path_ += '.';
    path_ += name;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const json::exception&) override {
    return fail("malformed at byte " + std::to_string(position));
  }

  const std::string& failure() const { return failure_; }

 private:
  struct Level {
    std::size_t path_size;  // of the path that names this object or array itself
  };

  bool enter() {
    if (levels_.size() >= limits_.max_depth) return fail("nested too deep");
    levels_.push_back({path_.size()});
    return true;
  }
  bool count() { return ++values_ <= limits_.max_values || fail("too many values"); }
  template <typename Value>
  bool scalar(Value&& value) {
    if (!count()) return false;
    return visitor_.scalar(path_, JsonScalar(std::forward<Value>(value))) ||
           fail("unexpected value at " + path_);
  }
  bool fail(std::string why) {
    if (failure_.empty()) failure_ = std::move(why);
    return false;
  }

  JsonVisitor& visitor_;
  const JsonLimits& limits_;
  std::vector<Level> levels_;
  std::string path_;
  std::size_t values_ = 0;
  std::string failure_;
};

constexpr std::size_t kEscapeSize = 6;  // of \uXXXX

// The UTF-16 unit that `text` begins with, escaped.
std::optional<unsigned> escaped_unit(std::string_view text) {
  if (text.size() < kEscapeSize || !text.starts_with("\\u")) return {};
  unsigned unit = 0;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + kEscapeSize, unit, 16);
  if (error != std::errc() || end != text.data() + kEscapeSize) return {};
  return unit;
}

bool lies_between(std::optional<unsigned> unit, unsigned first, unsigned last) {
  return unit && *unit >= first && *unit <= last;
}

// Bytes of the character, escaped or not, at the start of JSON text; 0: it is none.
std::size_t character_size(std::string_view text) {
  if (text.front() != '\\') return utf8_length(text);
  const auto unit = escaped_unit(text);
  if (!unit) return std::min<std::size_t>(text.size(), 2);
  if (lies_between(unit, 0xdc00, 0xdfff)) return 0;
  if (!lies_between(unit, 0xd800, 0xdbff)) return kEscapeSize;
  const bool whole = lies_between(escaped_unit(text.substr(kEscapeSize)), 0xdc00, 0xdfff);
  return whole ? 2 * kEscapeSize : 0;
}

}  // namespace

Result<void> parse_json(std::string_view text, JsonVisitor& visitor, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) return {ErrorCode::kBadAnswer, "JSON: document too large"};
  PathTracker tracker(visitor, limits);
  if (json::sax_parse(text.begin(), text.end(), &tracker)) return {};
  const std::string& why = tracker.failure();
  return {ErrorCode::kBadAnswer, "JSON: " + (why.empty() ? std::string("malformed") : why)};
}

std::string with_nul_for_bad_text(std::string_view document, std::size_t most) {
  std::string mended;
  mended.reserve(document.size());
  while (!document.empty() && mended.size() <= most) {
    const std::size_t size = character_size(document);
    if (size > 0) {
      mended += document.substr(0, size);
      document.remove_prefix(size);
    } else {
      mended += "\\u0000";
      document.remove_prefix(document.front() == '\\' ? kEscapeSize : 1);
    }
  }
  return mended;
}

void JsonWriter::separate() {
  if (!after_key_ && !first_) text_ += ',';
  first_ = false;
  after_key_ = false;
}
JsonWriter& JsonWriter::begin_object() {
  separate();
  text_ += '{';
  first_ = true;
  return *this;
}
JsonWriter& JsonWriter::end_object() {
  text_ += '}';
  first_ = false;
  return *this;
}
JsonWriter& JsonWriter::begin_array() {
  separate();
  text_ += '[';
  first_ = true;
  return *this;
}
JsonWriter& JsonWriter::end_array() {
  text_ += ']';
  first_ = false;
  return *this;
}
JsonWriter& JsonWriter::key(std::string_view name) {
  string(name);
  text_ += ':';
  after_key_ = true;
  return *this;
}
JsonWriter& JsonWriter::string(std::string_view value) {
  separate();
  text_ += json(std::string(value)).dump(-1, ' ', false, json::error_handler_t::replace);
  return *this;
}
JsonWriter& JsonWriter::number(std::uint64_t value) {
  separate();
  text_ += std::to_string(value);
  return *this;
}
JsonWriter& JsonWriter::number(double value) {
  separate();
  text_ += json(value).dump();
  return *this;
}
JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  text_ += value ? "true" : "false";
  return *this;
}
JsonWriter& JsonWriter::null() {
  separate();
  text_ += "null";
  return *this;
}

}  // namespace hubvfs
