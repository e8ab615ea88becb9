// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "cache/directory.h"
#include "cache/meta_index.h"

namespace hubvfs::cache {

// The index of the cache folder: probed before it is opened, set aside where it is damaged, and in
// memory where the disk lets none be made. One thread at a time uses it.
class DiskIndex {
 public:
  // `root`, the cache folder, must outlive it.
  DiskIndex(const Directory& root, Logger& log) : root_(root), log_(log) {}
  ~DiskIndex();
  DiskIndex(const DiskIndex&) = delete;
  DiskIndex& operator=(const DiskIndex&) = delete;

  // It is marked as being opened until opened() is called. Blocks.
  Result<MetaIndex*> open();
  // An empty one in the place of the one that open() gave, which is gone then. Blocks.
  Result<MetaIndex*> replace(const std::string& why);
  // Whatever came of it, it was no crash.
  void opened();

 private:
  Result<void> open_on_disk();
  Result<void> open_directory();
  Result<void> set_aside(const std::string& why);
  void mark() const;

  const Directory& root_;
  Logger& log_;
  bool in_memory_ = false;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<MetaIndex> index_;
};

}  // namespace hubvfs::cache
