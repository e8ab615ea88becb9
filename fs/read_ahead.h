// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "fs/front_sweep.h"
#include "fs/read_storm.h"
#include "fs/tensor_layout.h"

namespace hubvfs::fs {

// Says what to fetch beyond the reads of one blob. Pure bookkeeping: not thread-safe, no I/O.
//
// Readers are told apart by where they read: up to 16 cursors, each continued by a read that begins
// up to 1 MiB from where it is, by the thread that read there last up to 4 MiB (what the kernel
// reads ahead is seen in any order), or, once it has a window, to 16 MiB ahead: the threads of one
// reader skip about. A cursor asks for nothing until it has read three blocks in a row (one
// from the start of a blob without a layout), or as many MiB where blocks are smaller, so that a
// peek into a file costs no more than the blocks of what the kernel itself reads ahead. Its window
// then starts at one block. It is at least half of what was read in a row, up to 8 MiB, so that a
// long read is no request a block however slow its reader. It doubles each time a reader had to
// wait, but never beyond what was read in a row nor what the link can use, and halves, down to
// 8 MiB, where there is no memory for it.
//
// With a layout, a second read in one tensor asks for the rest of that tensor, to 32 MiB, and
// nothing is asked for beyond a tensor's end until a reader has gone on there.
//
// Where the link is so fast that hashing counts, and three readers or more go on through the blob,
// of whom one began at its beginning, none has a window: what they wait for and FrontSweep, in the
// tensor that all of them are in or in the blob, are all that is asked for.
class ReadAhead {
 public:
  // What may be asked for just now; bytes.
  struct Means {
    std::uint64_t room = UINT64_MAX;   // of memory
    std::uint64_t window = 32u << 20;  // to have under way for one cursor
    std::uint64_t piece = 8u << 20;    // of one request
    std::uint64_t under_way = 0;       // already, of this blob
    std::uint64_t kept = 0;            // came, of this blob, and is still in the store's memory
    bool fast = false;                 // the link: hub::FetchAdvice
  };
  struct Plan {
    // Beyond the read, not asked for before: block-aligned, within the blob, often empty, and no
    // more than the room. What has no room is asked for later, a piece at a time as ever: it would
    // else become a request a block.
    ByteRange ahead;
    std::optional<ReadStorm::Sweep> sweep;  // when the blob is to come whole: see swept()
    bool ends_soon = false;  // read in order nearly to its end: what follows it will be read next
  };

  ReadAhead(std::uint64_t blob_size, std::uint64_t block_size);  // bytes, not 0
  void set_layout(std::shared_ptr<const TensorLayout> layout) { layout_ = std::move(layout); }

  Plan on_read(const ReadSeen& read, const Means& means);
  void swept(std::uint64_t bytes, std::uint64_t next);
  bool in_storm() const { return storm_.raging(); }

 private:
  struct Cursor {
    std::uint64_t number = 0;
    std::uint64_t start = 0;
    std::uint64_t position = 0;  // end of the last read
    std::uint64_t run = 0;       // bytes read without a jump
    std::uint64_t window = 0;    // 0: has not started
    std::uint64_t asked = 0;     // end of what was returned so far
    std::uint64_t used = 0;      // tick of the last read, for replacement
    std::uint32_t thread = 0;    // of the last read; 0: not known
    ByteRange within;            // with a layout: the tensor it reads
    int touches = 0;             // reads that began in that
    bool goes_on = false;        // from tensor to tensor
  };
  Cursor& cursor_for(const ReadSeen& read);
  void follow_tensors(Cursor& cursor, ByteRange range) const;
  void widen(Cursor& cursor, bool waited, const Means& means) const;
  static std::uint64_t distance(const Cursor& cursor, const Means& means);
  ByteRange ask(Cursor& cursor, const Means& means) const;
  std::uint64_t limit(const Cursor& cursor) const;
  std::uint64_t read_widely_to() const;
  std::uint64_t aligned_up(std::uint64_t at) const;

  std::uint64_t blob_size_;
  std::uint64_t block_size_;
  std::uint64_t tick_ = 0;
  std::uint64_t cursors_made_ = 0;
  std::vector<Cursor> cursors_;
  std::shared_ptr<const TensorLayout> layout_;
  ReadStorm storm_;
  FrontSweep front_;
  bool wide_ = false;  // as of the last read
};

}  // namespace hubvfs::fs
