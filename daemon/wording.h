// SPDX-License-Identifier: Apache-2.0
// How commands put numbers and lists to people.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/text.h"

namespace hubvfs::daemon {

// "1.5 GiB (1610612736 bytes)": where two amounts are compared.
inline std::string exactly(std::uint64_t bytes) {
  return human_bytes(bytes) + " (" + std::to_string(bytes) + " bytes)";
}

// "a, b, c and 4 more".
template <typename Items, typename Name>
std::string some_of(const Items& items, Name name) {
  constexpr std::size_t kMostNamed = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(items.size(), kMostNamed); ++i) {
    text += (i == 0 ? "" : ", ") + name(items[i]);
  }
  if (items.size() > kMostNamed) {
    text += " and " + std::to_string(items.size() - kMostNamed) + " more";
  }
  return text;
}

}  // namespace hubvfs::daemon
