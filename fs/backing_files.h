// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "fs/node_id.h"

namespace hubvfs::fs {

// Has files of the cache registered with the kernel, which then reads them by itself: the keeper,
// as a worker sees it, since that has no privilege. Thread-safe; no call blocks.
class BackingFiles {
 public:
  using Done = std::function<void(const Result<std::int32_t>&)>;

  virtual ~BackingFiles() = default;
  // `name`: beneath the folder of the blobs (cache::Blob::sealed_file). The id is good as long as a
  // handle of `node` is in the open table, where one is before this is asked. `done` runs once, on
  // this thread or another, with no lock held. Errors say why this file is not passed through now;
  // kTimedOut: no answer.
  virtual void open(std::uint32_t mount, NodeId node, const std::string& name, Done done) = 0;
  // The last handle of some node was closed: its file may be let go.
  virtual void closed() = 0;
};

}  // namespace hubvfs::fs
