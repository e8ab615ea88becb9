// SPDX-License-Identifier: Apache-2.0
// What a Reader is made of. Of fs/reader*.cc alone: reader.cc takes reads and parks what is not
// here, reader_ahead.cc plans what to fetch beyond them, reader_fetches.cc has blocks fetched and
// their bytes handed on, reader_verdicts.cc deals with content that is or may be wrong.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/failure_log.h"
#include "base/mutex.h"
#include "fs/block_buffers.h"
#include "fs/open_blob.h"
#include "fs/reader.h"

namespace hubvfs::fs {

class ReaderCore final : public std::enable_shared_from_this<ReaderCore> {
 public:
  ReaderCore(const ReaderOptions& options, cache::BlobStore& store,
             std::shared_ptr<FailureLog> failures, const Clock& clock)
      : options_(options),
        store_(store),
        failures_(std::move(failures)),
        clock_(clock),
        buffers_(std::make_shared<BlockBuffers>(options.memory_budget / 4)) {}

  Result<std::shared_ptr<OpenBlob>> open(const cache::Namespace& space, const hub::FileRef& file,
                                         hub::HubClient& hub,
                                         const std::optional<hub::FileRef>& next);
  bool is_open(const cache::BlobKey& key) const;
  void read(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Reader::Done done,
            std::uint32_t thread);
  void prefetch(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Reader::Done done);
  void expire();
  void close();
  void on_verdict(const cache::BlobKey& key, const Result<void>& verdict);
  int times_wrong_in_a_row(const cache::BlobKey& key) const;
  std::uint64_t times_wrong(const cache::BlobKey& key) const;
  void forget_denials();
  void forget_wrong();
  ReaderStats stats() const;

 private:
  struct KeyHash {
    std::size_t operator()(const cache::BlobKey& key) const noexcept {
      return std::hash<std::string>()(key.space) ^ std::hash<ContentId>()(key.content);
    }
  };

  // Unlike open(), changes nothing for those who have it open.
  Result<std::shared_ptr<OpenBlob>> find_or_make(const cache::Namespace& space,
                                                 const hub::FileRef& file, hub::HubClient& hub);
  std::optional<Error> remembered_failure(OpenBlob& blob, ByteRange range);
  static bool piece_from_store(OpenBlob& blob, const Waiter& waiter, std::uint64_t block);
  void await_block(const std::shared_ptr<OpenBlob>& blob, const Waiter& waiter, std::uint64_t block,
                   hub::Priority priority, Parts& parts);
  std::uint64_t part_bytes(const hub::FetchAdvice& advice) const;
  void no_longer_fetching(OpenBlob& blob, const BlockFetchPtr& fetch);
  BlockFetchPtr add_block(const std::shared_ptr<OpenBlob>& blob, std::uint64_t block,
                          hub::Priority priority, Parts& parts);
  void add_demand(const std::shared_ptr<OpenBlob>& blob, const Waiter& waiter, std::uint64_t block,
                  hub::Priority priority, Parts& parts);
  std::uint64_t ahead_budget() const { return options_.memory_budget / 2; }  // the rest: demand
  // Of one content. Beyond what the store may keep of it for long, to hash it.
  std::uint64_t kept_limit() const { return options_.memory_budget / cache::kHeldShare * 2; }
  std::uint64_t ahead_room(std::uint64_t under_way);
  void plan_read_ahead(const std::shared_ptr<OpenBlob>& blob, const ReadSeen& read);
  void add_missing(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Parts& parts);
  void sweep(const std::shared_ptr<OpenBlob>& blob, const ReadStorm::Sweep& sweep, Parts& parts);
  static void learn_layout(OpenBlob& blob);
  static bool layout_comes(const OpenBlob& blob);
  void begin_next(OpenBlob& blob, const hub::FileRef& next);

  void enqueue(const Parts& parts);
  void start_queued();
  void start(const PartPtr& part);
  void make_urgent(const PartPtr& part, std::optional<hub::FetchId> id);
  void on_bytes(Part& part, std::uint64_t offset, ByteView bytes);
  void block_complete(OpenBlob& blob, const BlockFetchPtr& fetch, bool is_last);
  void on_done(Part& part, const Result<void>& result);
  TimePoint note_failed_block(OpenBlob& blob, std::uint64_t block, const Error& error);
  void keep_failing(const std::shared_ptr<OpenBlob>& blob, TimePoint until);
  void let_go_of_failing();
  JobPtr make_job(ByteRange range, std::size_t pieces, Reader::Done done);
  void give_doubtful(const std::shared_ptr<OpenBlob>& blob, ByteRange range, ByteView bytes,
                     const Reader::Done& done);
  void release_held(OpenBlob& blob, const Result<void>& verdict);
  static bool waits_in_vain(const OpenBlob& blob, TimePoint now);
  Error count_mismatch(const cache::BlobKey& key, const OpenBlob* blob, const Error& mismatch);
  void refetch(const std::shared_ptr<OpenBlob>& blob, const BlockFetchPtr& fetch);
  std::shared_ptr<Bytes> reserved_buffer(std::uint64_t size);
  static void hand_over(OpenBlob& blob, const BlockFetch& fetch);
  void release(std::uint64_t bytes);
  std::vector<std::shared_ptr<OpenBlob>> live_blobs();
  static void fail_waiters(const std::vector<Waiter>& waiters, const Error& error);
  // Copies what has arrived to whoever waited for it. No lock may be held.
  static void deliver(const Bytes& data, const std::vector<Waiter>& waiters);
  static bool is_denial(ErrorCode code);
  static std::string name_of(const hub::FileRef& file);

  // Lets go of a block's buffer and of its share of the budget.
  struct Reservation {
    void operator()(Bytes* bytes) const;

    std::weak_ptr<ReaderCore> core;
    std::shared_ptr<BlockBuffers> buffers;
    std::uint64_t size = 0;
    std::shared_ptr<std::atomic<std::uint64_t>> kept;  // that it is counted in; or none
  };

  struct Wrong {
    int in_a_row = 0;
    std::uint64_t ever = 0;
    Error last;
  };

  const ReaderOptions options_;
  cache::BlobStore& store_;
  const std::shared_ptr<FailureLog> failures_;
  const Clock& clock_;
  const std::shared_ptr<BlockBuffers> buffers_;  // the store may hold blocks for longer

  std::atomic<bool> closed_{false};
  std::atomic<std::uint64_t> reads_{0};
  std::atomic<std::uint64_t> waited_{0};
  std::atomic<std::uint64_t> waiting_{0};
  std::atomic<std::uint64_t> fetched_{0};
  std::atomic<std::uint64_t> corrupt_{0};
  std::atomic<std::uint64_t> blobs_fetched_{0};  // that have a block under way

  mutable Mutex mutex_;  // rank 4
  std::unordered_map<cache::BlobKey, std::weak_ptr<OpenBlob>, KeyHash> blobs_ GUARDED_BY(mutex_);
  std::unordered_map<cache::BlobKey, Wrong, KeyHash> wrong_ GUARDED_BY(mutex_);
  // Those that nobody may have open now: whoever opens one again meets its failure again.
  std::deque<std::pair<std::shared_ptr<OpenBlob>, TimePoint>> failing_ GUARDED_BY(mutex_);
  std::deque<PartPtr> queued_ GUARDED_BY(mutex_);  // demand before the rest
  std::uint64_t reserved_ GUARDED_BY(mutex_) = 0;  // of memory_budget
};

}  // namespace hubvfs::fs
