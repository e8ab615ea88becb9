// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cache/index_committer.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

// Takes into the index the blocks of a blob that its sidecar describes and the index does not: a
// power cut, or damage to the index, cost the last transactions. They are checked at their first
// use, as any other. Reads the disk. Thread-safe.
void take_in_sidecar(StoreContext& context, IndexCommitter& committer,
                     const std::shared_ptr<BlobEntry>& entry);

// What a process that died left behind, compared with the index once.
//
// Sidecars are taken in; data files nobody knows, and blocks nobody knows of, give the disk its
// room back. Only the writer's thread may use it.
class OrphanSweep {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;
  // Gets entries that have nothing on disk.
  using OnEmpty = std::function<void(const EntryPtr&)>;

  OrphanSweep(StoreContext& context, IndexCommitter& committer, OnEmpty on_empty)
      : context_(context), committer_(committer), on_empty_(std::move(on_empty)) {}
  // One directory of blobs/. False: it was the last.
  bool step();

 private:
  void list();
  void sweep(const std::string& space, const std::string& directory_name);
  void sweep_blob(const Directory& directory, const BlobKey& key, const std::string& name);
  void punch_unknown(const BlobEntry& known);

  StoreContext& context_;
  IndexCommitter& committer_;
  const OnEmpty on_empty_;
  bool listed_ = false;
  std::vector<std::pair<std::string, std::string>> left_;  // namespace, two hex digits
};

}  // namespace hubvfs::cache
