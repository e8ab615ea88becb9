// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "cache/blob_store.h"

namespace hubvfs::cache {

// Metadata kept for good: repo answers, listings, serials, by key. Thread-safe.
//
// Values mean nothing to the store. Keys are any bytes, 1 to 4096 of them; their layout is the
// caller's (fs/snapshot states it), and the namespace comes first wherever they are stored.
class MetaStore {
 public:
  virtual ~MetaStore() = default;

  // Written (not synced) when it returns: it survives the death of this process. Durable within
  // about a second. A full or failing disk: kNoSpace or kIo, and the value is served from memory.
  virtual Result<void> put(const Namespace& space, std::string_view key, ByteView value) = 0;
  virtual Result<void> erase(const Namespace& space, std::string_view key) = 0;
  // None when absent.
  virtual Result<std::optional<Bytes>> get(const Namespace& space, std::string_view key) const = 0;
  // Every key that starts with `prefix`, in byte order. `visit` must not call the store.
  virtual Result<void> for_each(
      const Namespace& space, std::string_view prefix,
      const std::function<void(std::string_view key, ByteView value)>& visit) const = 0;
};

}  // namespace hubvfs::cache
