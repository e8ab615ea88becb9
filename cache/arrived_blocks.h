// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "cache/blob_entry.h"

namespace hubvfs::cache {

// Blocks that came and are yet to be hashed, in the memory they came in where that may be held.
//
// Of a blob `limit` bytes are held at most, of what is early (something before it is missing) three
// quarters of that: they may stay for long, and whoever reads the blob gets no more of it while too
// much of it is kept. Of the blob that is being hashed what is in order goes soon, where little
// before it is to be read back: it is held up to the limit of all blobs together, four times
// `limit`. State only: not thread-safe.
class ArrivedBlocks {
 public:
  using EntryPtr = std::shared_ptr<BlobEntry>;
  using Time = std::chrono::steady_clock::time_point;
  // To be let go without a lock: whoever counts them is told.
  using Buffers = std::vector<std::shared_ptr<const Bytes>>;

  explicit ArrivedBlocks(std::uint64_t limit) : limit_(limit) {}

  bool empty() const { return blobs_.empty(); }
  std::uint64_t held() const { return held_; }  // bytes

  // A block that is in_order or early. `is_hashed`: its blob is being hashed, or is the next to be.
  void add(const EntryPtr& entry, std::uint64_t block, const BlobEntry::Put& put,
           std::shared_ptr<const Bytes> bytes, bool is_hashed, Time now, Buffers& removed);

  struct Arrival {
    std::uint64_t generation = 0;        // of the entry, in which it came
    std::shared_ptr<const Bytes> bytes;  // null: to be read back
    bool early = false;
  };
  // That block, if it is here; what is before it, or of another generation, goes.
  std::optional<Arrival> take(const EntryPtr& entry, std::uint64_t block, std::uint64_t generation,
                              Buffers& removed);
  void forget(const EntryPtr& entry, Buffers& removed);
  // What is early of blobs of which nothing came since `then`, and all of blobs that are no more.
  void forget_early(Time then, Buffers& removed);

 private:
  using Blocks = std::map<std::uint64_t, Arrival>;
  struct Blob {
    std::weak_ptr<BlobEntry> entry;  // an address may be another's by now
    Time newest;
    Blocks blocks;
    std::uint64_t held = 0;     // bytes
    std::uint64_t early = 0;    // of those
    std::uint64_t to_read = 0;  // blocks to be read back
  };
  using Blobs = std::map<const BlobEntry*, Blob>;

  bool may_hold(const Blob& blob, bool early, bool is_hashed, std::uint64_t bytes) const;
  void set(Blob& blob, std::uint64_t block, Arrival arrival, Buffers& removed);
  void remove(Blob& blob, Blocks::iterator at, Buffers& removed);
  Blobs::iterator remove(Blobs::iterator at, Buffers& removed);

  const std::uint64_t limit_;
  Blobs blobs_;
  std::uint64_t held_ = 0;
};

}  // namespace hubvfs::cache
