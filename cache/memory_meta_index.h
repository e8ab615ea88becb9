// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "cache/meta_index.h"

namespace hubvfs::cache {

// An index that is gone with its owner: for tests, and for a cache whose disk has no room for one.
class MemoryMetaIndex final : public MetaIndex {
 public:
  Result<void> apply(std::span<const IndexChange> changes) override;
  Result<std::optional<std::string>> get(std::string_view key) override;
  Result<void> for_each(
      std::string_view prefix,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) override;

 private:
  std::map<std::string, std::string, std::less<>> records_;
};

}  // namespace hubvfs::cache
