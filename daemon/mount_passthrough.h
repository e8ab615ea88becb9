// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"
#include "daemon/blob_folder.h"

namespace hubvfs::daemon {

// Passthrough of one mount's connection, as the keeper decides it: whether it is in force, and
// which files of the cache the kernel may read by itself (threats-and-faults, 7.10 to 7.13).
//
// A file has one id on a connection, for every worker, as long as the open table may have a handle
// of a node that was given it: for a node that is open the kernel takes no other. One thread.
class MountPassthrough {
 public:
  enum class State {
    kOff,
    kUntried,  // to be negotiated in INIT; only then can it be tried
    kOn,
  };
  // `wanted`: the user's option.
  MountPassthrough(bool wanted, ByteView init_request);

  State state() const { return state_; }
  // For people; "" where it is not off.
  const std::string& why_not() const { return why_not_; }

  // kUntried to kOn or kOff: by registering a file of the cache's file system, whatever rights this
  // process seems to have. INIT was answered.
  void try_it(int dev_fd, BlobFolder& blobs);

  // The id of the blob `name` for an OPEN of `node`, of which a handle is in the open table.
  // kUnsupported: not in force; kBusy: too many files or nodes, or the node is still open as
  // another file; else the errors of BlobFolder and register_backing().
  Result<std::int32_t> open(int dev_fd, BlobFolder& blobs, std::uint64_t node,
                            const std::string& name);
  bool has_files() const { return !files_.empty(); }
  std::size_t files() const { return files_.size(); }
  // Lets go of files none of whose nodes is in `open`: all nodes of this mount that have a handle.
  void let_go(int dev_fd, const std::unordered_set<std::uint64_t>& open);

 private:
  using FileId = std::pair<dev_t, ino_t>;
  struct File {
    std::int32_t id = 0;
    std::unordered_set<std::uint64_t> nodes;  // that were given it
  };

  State state_ = State::kUntried;
  std::string why_not_;
  std::map<FileId, File> files_;
  std::unordered_map<std::uint64_t, FileId> file_of_;  // by node
};

}  // namespace hubvfs::daemon
