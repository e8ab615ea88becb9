// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "fs/read_storm.h"

namespace hubvfs::fs {

// Has a content's beginning come first though it is read at several places. Pure bookkeeping: not
// thread-safe.
//
// Content is hashed in order, and nobody has its last byte before that is done. A link that brings
// bytes as fast as they are hashed has eight readers, each in its eighth, wait at the end until
// seven eighths are hashed. So half of what comes is what is to be hashed next: each read lets as
// many bytes as it has be streamed from the beginning on, as urgent as itself, once to the end.
class FrontSweep {
 public:
  FrontSweep(std::uint64_t blob_size, std::uint64_t block_size)
      : blob_size_(blob_size), block_size_(block_size) {}

  // What to stream now; `room`: bytes to be asked for at most.
  std::optional<ReadStorm::Sweep> on_read(ByteRange range, std::uint64_t room);
  // `bytes` of the last sweep were asked for; the next goes on at `next`, or, where that is not
  // behind where the last began, came to the end.
  void swept(std::uint64_t bytes, std::uint64_t next);

 private:
  std::uint64_t blob_size_;
  std::uint64_t block_size_;
  std::uint64_t credit_ = 0;  // bytes that may be streamed
  std::uint64_t next_ = 0;
};

}  // namespace hubvfs::fs
