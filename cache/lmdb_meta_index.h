// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "cache/directory.h"
#include "cache/meta_index.h"

namespace hubvfs::cache {

struct LmdbMetaIndexOptions {
  std::uint64_t map_size = 16ull << 30;  // sparse; grown when full
};

// The index in LMDB, in the directory "index" of the cache.
//
// Opened NOTLS|NORDAHEAD|NOMETASYNC|NOLOCK: a commit syncs its pages, and a power cut may cost the
// last transaction. LMDB's own locks are not needed, since one process has the cache and one thread
// this object; they lie in a file that is mapped to be written, where a disk that fails ends the
// process. LMDB itself does not notice damage, so each value ends in a checksum of key and value,
// and a file is only opened after lmdb_probe has read it in a process of its own. On a disk that is
// read-only it can be read; each apply() tries whether that has changed.
class LmdbMetaIndex final : public MetaIndex {
 public:
  // `index`: the directory, which must outlive the object. kCorrupt: LMDB cannot read the file.
  static Result<std::unique_ptr<LmdbMetaIndex>> open(const Directory& index,
                                                     const LmdbMetaIndexOptions& options = {});
  ~LmdbMetaIndex() override;

  Result<void> apply(std::span<const IndexChange> changes) override;
  Result<std::optional<std::string>> get(std::string_view key) override;
  Result<void> for_each(
      std::string_view prefix,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) override;

 private:
  struct Environment;
  LmdbMetaIndex(const Directory& index, LmdbMetaIndexOptions options);
  Result<void> reopen();
  // An LMDB return code.
  int apply_once(std::span<const IndexChange> changes);
  Error failed(int rc);

  const Directory& index_;
  LmdbMetaIndexOptions options_;
  std::unique_ptr<Environment> environment_;
};

}  // namespace hubvfs::cache
