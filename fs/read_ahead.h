// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace hubvfs::fs {

// Says what to fetch beyond the reads of one blob. Pure bookkeeping: not thread-safe, no I/O.
//
// Readers are told apart by where they read: up to 16 cursors, each continued by a read that begins
// from 1 MiB behind it to 1 MiB ahead. A cursor asks for nothing until it has read three blocks
// in a row (one from the start of the blob), so that a peek into a file costs no more than the
// blocks of what the kernel itself reads ahead: 3 MiB for 1 MiB. Its window then starts at one
// block. It is at least half of what was read in a row, up to 8 MiB, so that a long read is no
// request a block however slow its reader; and it doubles, up to 32 MiB, each time a reader had to
// wait. It is never less than a block, nor more than the memory for it (but for that block).
class ReadAhead {
 public:
  // Bytes. `block_size` > 0. `budget`: what may ever be under way.
  ReadAhead(std::uint64_t blob_size, std::uint64_t block_size, std::uint64_t budget = UINT64_MAX);

  // One read of `range`; `waited`: some of it was not there. Returns the bytes beyond it that
  // should be under way and were not yet asked for: block-aligned, within the blob, often empty,
  // and no more than `room`. What has no room is asked for later, half a window at a time as ever:
  // it would else become a request a block.
  ByteRange on_read(ByteRange range, bool waited, std::uint64_t room = UINT64_MAX);

 private:
  struct Cursor {
    std::uint64_t start = 0;
    std::uint64_t position = 0;  // end of the last read
    std::uint64_t run = 0;       // bytes read without a jump
    std::uint64_t window = 0;    // 0: has not started
    std::uint64_t asked = 0;     // end of what was returned so far
    std::uint64_t used = 0;      // tick of the last read, for replacement
  };
  Cursor& cursor_for(ByteRange range);
  void widen(Cursor& cursor, bool waited) const;

  std::uint64_t blob_size_;
  std::uint64_t block_size_;
  std::uint64_t max_window_;
  std::uint64_t tick_ = 0;
  std::vector<Cursor> cursors_;
};

}  // namespace hubvfs::fs
