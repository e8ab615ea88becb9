// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache/store_context.h"

namespace hubvfs::cache {

// Gives the disk back what a process that died had written and not indexed: data files nobody
// knows, and blocks of known files that are not in the index. Only the writer's thread may use it.
class OrphanSweep {
 public:
  explicit OrphanSweep(StoreContext& context) : context_(context) {}
  // One directory of blobs/. False: it was the last.
  bool step();

 private:
  void list();
  void sweep(const std::string& space, const std::string& directory_name);
  void punch_unknown(const BlobEntry& known, const std::string& name);

  StoreContext& context_;
  bool listed_ = false;
  std::vector<std::pair<std::string, std::string>> left_;  // namespace, two hex digits
};

}  // namespace hubvfs::cache
