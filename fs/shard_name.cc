// SPDX-License-Identifier: Apache-2.0
#include "fs/shard_name.h"

#include <algorithm>
#include <charconv>

namespace hubvfs::fs {
namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr std::size_t kMostDigits = 9;  // fits a number

unsigned number_of(std::string_view digits) {
  unsigned number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

}  // namespace

std::string next_shard(std::string_view path) {
  constexpr std::string_view kOf = "-of-";
  const std::size_t of = path.rfind(kOf);
  if (of == std::string_view::npos || path.find('/', of) != std::string_view::npos) return {};
  const std::size_t dash = path.substr(0, of).find_last_not_of(kDigits);
  if (dash == std::string_view::npos || path[dash] != '-') return {};
  const std::string_view number = path.substr(dash + 1, of - dash - 1);
  const std::string_view rest = path.substr(of + kOf.size());
  const std::string_view count = rest.substr(0, rest.find_first_not_of(kDigits));
  if (number.empty() || number.size() != count.size() || number.size() > kMostDigits) return {};
  if (number_of(number) >= number_of(count)) return {};
  std::string following = std::to_string(number_of(number) + 1);
  following.insert(0, number.size() - std::min(number.size(), following.size()), '0');
  return std::string(path.substr(0, dash + 1)) + following + std::string(path.substr(of));
}

}  // namespace hubvfs::fs
