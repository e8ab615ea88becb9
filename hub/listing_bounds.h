// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <unordered_set>

#include "base/result.h"

namespace hubvfs::hub {

// What one listing may come to, however many pages a hostile server makes of it (threats 1.2).
class ListingBounds {
 public:
  static constexpr std::size_t kMaxEntries = 1'000'000;
  static constexpr std::size_t kMaxBytes = 256u << 20;
  static constexpr std::size_t kMaxPages = 10'000;

  explicit ListingBounds(const std::string& first_page);  // its URL

  // A page of so many entries and bytes of JSON came. kBadAnswer beyond a bound.
  Result<void> take(std::size_t entries, std::size_t bytes);
  // Before the page at this URL is asked for. kBadAnswer: one too many, or it came before.
  Result<void> turn_to(const std::string& page);

 private:
  std::unordered_set<std::string> pages_;
  std::size_t entries_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace hubvfs::hub
