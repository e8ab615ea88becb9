// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "fs/tensor_layout.h"

namespace hubvfs::fs {

// The kernel asks for up to so many bytes beyond what a program reads, and before it where that
// faults (two of its windows of 1 MiB: KernelMount::raise_read_ahead). Such reads tell nothing.
inline constexpr std::uint64_t kKernelAhead = 2u << 20;

// So far from the last may the next read of one thread be that reads in order: what the kernel asks
// for ahead of it is seen in any order.
inline constexpr std::uint64_t kReachOfThread = 2 * kKernelAhead;

// One read of a blob, as read-ahead sees it.
struct ReadSeen {
  ByteRange range;
  bool waited = false;       // some of it was not there
  std::uint32_t thread = 0;  // whose it is, by the kernel's number; 0: not known
};

// Tells when a blob is read all over, and should come whole. Pure bookkeeping: not thread-safe.
//
// Threads that fault in one mapping look random, each fault far from the last. Of the last 16 reads
// that had to wait, those of two threads, each of which jumped, and at three places or more make a
// storm. One thread that reads at random makes none, however long it does. In a storm each read
// lets four times its bytes (its block's where it waited) be streamed from behind the latest that
// waited, round the blob: so it costs at most five times what is read, goes as fast as readers do
// and ends with them. Where all of it lies in one tensor, no more than that is streamed.
class ReadStorm {
 public:
  ReadStorm(std::uint64_t blob_size, std::uint64_t block_size)
      : blob_size_(blob_size), block_size_(block_size) {}

  // What to stream now: blocks that are missing, `most` bytes of them, from `from` to the end of
  // `within` and on from its beginning.
  struct Sweep {
    ByteRange within;  // block-aligned but for the blob's end
    std::uint64_t from = 0;
    std::uint64_t most = 0;
    bool urgent = false;  // as a read that waits
  };
  // `place`: the number of the cursor that the read belongs to. `room`: bytes to be asked for at
  // most. Waits in the header of `layout`, which may be null, do not count.
  std::optional<Sweep> on_read(const ReadSeen& read, std::uint64_t place,
                               const TensorLayout* layout, std::uint64_t room);
  // `bytes` of the last sweep were asked for; the next goes on at `next`.
  void swept(std::uint64_t bytes, std::uint64_t next);
  bool raging() const { return raging_; }  // as of the last read

 private:
  struct Wait {
    std::uint32_t thread = 0;
    std::uint64_t place = 0;
    std::uint64_t at = 0;
  };
  bool is_storm() const;
  ByteRange bounds(const TensorLayout* layout) const;

  std::uint64_t blob_size_;
  std::uint64_t block_size_;
  std::array<Wait, 16> waits_{};  // a ring
  std::size_t seen_ = 0;
  bool raging_ = false;
  std::uint64_t credit_ = 0;  // bytes that may be streamed
  std::uint64_t next_ = 0;
};

}  // namespace hubvfs::fs
