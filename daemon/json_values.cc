// SPDX-License-Identifier: Apache-2.0
#include "daemon/json_values.h"

#include <utility>

#include "base/text.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kLongestShown = 2048;

}  // namespace

class JsonValues::Collector final : public JsonVisitor {
 public:
  bool scalar(const std::string& path, JsonScalar&& value) override {
    into.values_.emplace(path, std::move(value));
    return true;
  }
  JsonValues into;
};

Result<JsonValues> JsonValues::parse(std::string_view text) {
  Collector collector;
  if (auto parsed = parse_json(text, collector); !parsed) return parsed.error();
  return std::move(collector.into);
}

template <typename T>
const T* JsonValues::find(const std::string& path) const {
  const auto it = values_.find(path);
  return it == values_.end() ? nullptr : std::get_if<T>(&it->second);
}

std::uint64_t JsonValues::number(const std::string& path) const {
  const auto* number = find<std::uint64_t>(path);
  return number == nullptr ? 0 : *number;
}

std::string JsonValues::text(const std::string& path) const {
  const auto* text = find<std::string>(path);
  return text == nullptr ? "" : escape_for_log(*text, kLongestShown);
}

bool JsonValues::flag(const std::string& path) const {
  const auto* flag = find<bool>(path);
  return flag != nullptr && *flag;
}

std::vector<std::string> JsonValues::texts(const std::string& path) const {
  std::vector<std::string> all;
  const auto [first, last] = values_.equal_range(path);
  for (auto it = first; it != last; ++it) {
    if (const auto* text = std::get_if<std::string>(&it->second)) {
      all.push_back(escape_for_log(*text, kLongestShown));
    }
  }
  return all;
}

}  // namespace hubvfs::daemon
