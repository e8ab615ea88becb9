// SPDX-License-Identifier: Apache-2.0
// What the reader keeps of a content that is being read. Of fs/reader alone.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "fs/read_ahead.h"
#include "fs/reader.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

// One read that could not be answered at once.
struct ReadJob {
  ReadJob(ByteRange asked, std::size_t pieces, Reader::Done callback)
      : range(asked),
        out(pieces > 1 ? asked.size() : 0),
        outstanding(pieces),
        done(std::move(callback)) {}

  // Copied where there are others, else given on from where it lies.
  void piece_arrived(ByteView piece, std::uint64_t offset) {
    if (piece.size() == range.size()) return answer(piece);
    std::memcpy(out.data() + offset, piece.data(), piece.size());
    piece_arrived();
  }
  void piece_arrived() {  // in `out` already, or nobody wants its bytes
    if (outstanding.fetch_sub(1) == 1) answer(out);
  }
  void answer(ByteView bytes) {
    if (!answered.exchange(true)) done(bytes);
  }
  void fail(const Error& error) {
    if (!answered.exchange(true)) done(error);
  }

  const ByteRange range;
  Bytes out;  // each of several pieces writes its own part of it
  std::atomic<std::size_t> outstanding;
  std::atomic<bool> answered{false};
  const Reader::Done done;
};
using JobPtr = std::shared_ptr<ReadJob>;

struct Waiter {
  JobPtr job;
  ByteRange range;  // within the block
  std::uint64_t out_offset = 0;
  TimePoint since;
};

struct Part;

// A block on its way. All but `data` is guarded by the blob's mutex. Bytes of `data` that has()
// tells of never change; others are written by the fetch's thread alone.
//
// A demand for bytes far within it is asked for from there on; what lies before, its head, is then
// a part of its own, which may come at leisure.
struct BlockFetch {
  bool has(ByteRange range) const {
    return range.end <= (head_filled < start ? head_filled : filled) ||
           (!range.empty() && start <= range.begin && range.end <= filled);
  }
  const std::shared_ptr<Part>& part_of(ByteRange range) const {
    return head && range.begin < start ? head : part;
  }

  std::uint64_t block = 0;
  std::shared_ptr<Bytes> data;
  std::size_t start = 0;        // where `part` begins in it
  std::size_t filled = 0;       // end of what came of `part`
  std::size_t head_filled = 0;  // and of `head`
  int open_parts = 0;           // that have not ended
  std::vector<Waiter> waiters;
  std::shared_ptr<Part> part;
  std::shared_ptr<Part> head;  // if `start` is not 0
};
using BlockFetchPtr = std::shared_ptr<BlockFetch>;

// One ranged request for neighbouring blocks. `id` and `progress` are guarded by the blob's mutex,
// the rest but `priority` is constant once it is queued.
struct Part {
  std::shared_ptr<OpenBlob> blob;
  std::vector<BlockFetchPtr> blocks;
  ByteRange range;          // of the content: what is asked for
  std::uint64_t bytes = 0;  // of memory
  std::atomic<hub::Priority> priority{hub::Priority::kDemand};
  bool hedged = true;  // hub::FetchRequest
  std::optional<hub::FetchId> id;
  TimePoint progress;
};
using PartPtr = std::shared_ptr<Part>;
using Parts = std::vector<PartPtr>;

struct Failure {
  Error error;
  TimePoint until;
  Duration backoff;
};

class OpenBlob {
 public:
  OpenBlob(std::shared_ptr<cache::Blob> stored_blob, hub::FileRef file_ref,
           hub::HubClient& fetched_by, std::uint64_t block, TimePoint now)
      : stored(std::move(stored_blob)),
        file(std::move(file_ref)),
        hub(fetched_by),
        size(file.content.size()),
        block_size(block),
        format(TensorLayout::format_of(file.path)),
        read_ahead(size, block),
        judging_since(now) {
    if (!one_block() && stored->complete() && !stored->verified()) await_verdict(size / block, now);
  }

  std::uint64_t block_length(std::uint64_t block) const {
    return std::min(block_size, size - block * block_size);
  }
  // Such content is checked against its hash before anybody gets a byte of it.
  bool one_block() const { return size <= block_size; }
  ByteRange within_block(ByteRange range, std::uint64_t block) const {
    const std::uint64_t start = block * block_size;
    return {std::max(range.begin, start) - start, std::min(range.end, start + block_size) - start};
  }

  // All of it came, `block` last: whoever wants bytes of that waits until the store has judged.
  void await_verdict(std::uint64_t block, TimePoint now) NO_THREAD_SAFETY_ANALYSIS {
    judged_block = std::min(block, (size - 1) / block_size);
    judging_since = now;
    doubtful = true;
  }
  bool waits_for_verdict(ByteRange range) const NO_THREAD_SAFETY_ANALYSIS {
    return judged_block && range.begin / block_size <= *judged_block &&
           *judged_block <= (range.end - 1) / block_size;
  }

  const std::shared_ptr<cache::Blob> stored;
  const hub::FileRef file;
  hub::HubClient& hub;
  const std::uint64_t size;
  const std::uint64_t block_size;
  const std::optional<TensorLayout::Format> format;

  // Bytes of its beginning that have to be in the store before more is known of its layout; 0: all
  // is known.
  std::atomic<std::uint64_t> layout_needs{format ? 1u : 0u};
  std::atomic<bool> learning_layout{false};

  // Bytes of it that came and that the store still keeps in memory. With those, who may outlive it.
  const std::shared_ptr<std::atomic<std::uint64_t>> kept =
      std::make_shared<std::atomic<std::uint64_t>>(0);

  Mutex mutex;  // rank 3
  std::map<std::uint64_t, BlockFetchPtr> fetching GUARDED_BY(mutex);
  std::map<std::uint64_t, Failure> failed GUARDED_BY(mutex);
  std::optional<Error> refused GUARDED_BY(mutex);  // its content proved wrong; `doubtful` is set
  ReadAhead read_ahead GUARDED_BY(mutex);
  std::optional<hub::FileRef> next GUARDED_BY(mutex);  // is read after it; none once that is begun
  std::atomic<bool> has_next{false};
  // Set while the store's verdict is due. Nobody had the last bytes of this block before all others
  // had come, so nobody gets the whole content unjudged.
  std::optional<std::uint64_t> judged_block GUARDED_BY(mutex);
  TimePoint judging_since GUARDED_BY(mutex);
  std::vector<JobPtr> held GUARDED_BY(mutex);  // complete but for that verdict
  // A verdict is due, or was bad: look at the three above before any byte is given.
  std::atomic<bool> doubtful{false};
};

}  // namespace hubvfs::fs
