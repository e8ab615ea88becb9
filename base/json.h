// SPDX-License-Identifier: Apache-2.0
// JSON from outside, read event by event within bounds, and JSON of ours, written.
//
// Foreign documents are never turned into a tree: copying or printing a deeply nested one overflows
// the stack, and a tree costs many times its text (threats-and-faults, finding 12).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace hubvfs {

struct JsonLimits {
  std::size_t max_bytes = 32u << 20;     // of the document
  std::size_t max_depth = 16;            // of arrays and objects
  std::size_t max_key_bytes = 256;       // longer keys are an error
  std::size_t max_values = 20'000'000;   // scalars, arrays and objects together
};

// A scalar. An integer that fits is uint64_t when >= 0, int64_t when negative; one that does not
// fit, or has a fraction or exponent, is a double. So a size is right only if it is a uint64_t.
using JsonScalar = std::variant<std::nullptr_t, bool, std::uint64_t, std::int64_t, double,
                                std::string>;

// What a document contains, in order. `path` names the place: keys joined by '.', "[]" for any
// element of an array: "[].lfs.oid". A '.' within a key is given as it is: harmless, since readers
// compare with the fixed paths they know and the Hub's keys have none.
// Each function returns false to stop: parse_json then fails with kBadAnswer.
class JsonVisitor {
 public:
  virtual ~JsonVisitor() = default;
  virtual bool scalar(const std::string& path, JsonScalar&& value) = 0;
  virtual bool begin_object(const std::string& /*path*/) { return true; }
  virtual bool end_object(const std::string& /*path*/) { return true; }
  virtual bool begin_array(const std::string& /*path*/) { return true; }
  virtual bool end_array(const std::string& /*path*/) { return true; }
};

// Reads one whole document (RFC 8259, UTF-8 checked). kBadAnswer: malformed, beyond a limit or
// stopped by the visitor; the context says which and at what byte. Never throws.
Result<void> parse_json(std::string_view text, JsonVisitor& visitor, const JsonLimits& limits = {});

// The document with U+0000 in the place of what is no character: bytes that are not UTF-8, and
// escaped surrogates (\ud800 to \udfff) without their other half. Where that was all that parse_json
// refused, it takes this, and the visitor meets the NULs. Six bytes for one: it ends where it has
// grown beyond `most`, which is then no document.
std::string with_nul_for_bad_text(std::string_view document, std::size_t most);

// Writes one document. Text that is not UTF-8 gets U+FFFD for each bad byte, never an error.
class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view value);
  JsonWriter& number(std::uint64_t value);
  JsonWriter& number(double value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  const std::string& text() const { return text_; }

 private:
  void separate();
  std::string text_;
  bool first_ = true;      // nothing yet in the innermost object or array
  bool after_key_ = false;
};

}  // namespace hubvfs
