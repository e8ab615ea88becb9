// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace hubvfs::daemon {

// What a small document of one of our own processes says, by path ("cache.hits"; "list[]" for the
// elements of "list"), to be shown to people: texts come escaped.
class JsonValues {
 public:
  // kBadAnswer: no whole JSON document.
  static Result<JsonValues> parse(std::string_view text);

  // 0, "" or false where there is no such thing.
  std::uint64_t number(const std::string& path) const;
  std::string text(const std::string& path) const;
  bool flag(const std::string& path) const;
  std::vector<std::string> texts(const std::string& path) const;  // all there are: of an array

 private:
  class Collector;
  template <typename T>
  const T* find(const std::string& path) const;

  std::multimap<std::string, JsonScalar> values_;
};

}  // namespace hubvfs::daemon
