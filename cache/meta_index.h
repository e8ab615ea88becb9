// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hubvfs::cache {

// One change of the index: no value erases the key.
struct IndexChange {
  std::string key;
  std::optional<std::string> value;
};

// An ordered map of small keys (1 to 500 bytes) and values on disk, changed in transactions.
//
// Only an index: whatever it holds can be found again from the sidecars. Not thread-safe: one
// thread at a time uses it.
class MetaIndex {
 public:
  virtual ~MetaIndex() = default;

  // All changes, in order, or none. On disk when it returns. kNoSpace, kIo: nothing changed.
  virtual Result<void> apply(std::span<const IndexChange> changes) = 0;
  // kCorrupt: a damaged record.
  virtual Result<std::optional<std::string>> get(std::string_view key) = 0;
  // Every record whose key starts with `prefix`, in byte order, until `visit` returns false.
  // kCorrupt: a damaged record; the records before it were visited. `visit` must not call the
  // index.
  virtual Result<void> for_each(
      std::string_view prefix,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
};

}  // namespace hubvfs::cache
