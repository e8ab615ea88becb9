// SPDX-License-Identifier: Apache-2.0
#include "hub/listing_bounds.h"

namespace hubvfs::hub {

ListingBounds::ListingBounds(const std::string& first_page) : pages_{first_page} {}

Result<void> ListingBounds::take(std::size_t entries, std::size_t bytes) {
  entries_ += entries;
  bytes_ += bytes;
  if (entries_ > kMaxEntries) return {ErrorCode::kBadAnswer, "more than 1,000,000 entries"};
  if (bytes_ > kMaxBytes) return {ErrorCode::kBadAnswer, "more than 256 MiB of JSON"};
  return {};
}

Result<void> ListingBounds::turn_to(const std::string& page) {
  if (!pages_.insert(page).second) {
    return {ErrorCode::kBadAnswer, "a page leads back to an earlier one"};
  }
  if (pages_.size() > kMaxPages) return {ErrorCode::kBadAnswer, "more than 10,000 pages"};
  return {};
}

}  // namespace hubvfs::hub
