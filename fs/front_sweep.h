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
// Content is hashed in order, and nobody has its last byte before that is done. Eight readers, each
// in its eighth, would wait at the end until seven eighths are hashed, for longer than a fast link
// took to bring them. So half of what comes is what is to be hashed next: each read lets as
// many bytes as it has be streamed from the beginning on, as urgent as itself, once to the end.
class FrontSweep {
 public:
  explicit FrontSweep(std::uint64_t block_size) : block_size_(block_size) {}

  // What to stream now, up to `end`, which is block-aligned or the blob's; `room`: bytes to be
  // asked for at most.
  std::optional<ReadStorm::Sweep> on_read(ByteRange range, std::uint64_t end, std::uint64_t room);
  // `bytes` of the last sweep were asked for; the next goes on at `next`, or, where that is not
  // behind where the last began, came to the end.
  void swept(std::uint64_t bytes, std::uint64_t next);

 private:
  std::uint64_t block_size_;
  std::uint64_t credit_ = 0;  // bytes that may be streamed
  std::uint64_t next_ = 0;
  std::uint64_t end_ = 0;  // of the last sweep
};

}  // namespace hubvfs::fs
