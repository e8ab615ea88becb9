// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "cache/callback_slot.h"
#include "cache/directory.h"
#include "cache/entry_table.h"
#include "cache/eviction_policy.h"
#include "cache/file_cache.h"
#include "cache/quota.h"
#include "cache/small_blobs.h"
#include "cache/store_counters.h"

namespace hubvfs::cache {

// Whether a part of the cache's disk can be written, and when to try again. Thread-safe.
class Health {
 public:
  Health(std::string what, Logger& log, const Clock& clock)
      : what_(std::move(what)), log_(log), clock_(clock) {}

  // True while it works, and again a few seconds after each failure.
  bool may_try() const EXCLUDES(mutex_);
  void failed(const Error& error) EXCLUDES(mutex_);
  // It was tried again, and is no better.
  void failed_again() EXCLUDES(mutex_);
  void works() EXCLUDES(mutex_);
  // Since it was made.
  bool ever_failed() const { return ever_failed_; }
  // Called after each failed(), with no lock held. To be set before anybody else knows it.
  void on_failure(std::function<void()> callback) { on_failure_ = std::move(callback); }
  // Why not; "" when it works.
  std::string reason() const EXCLUDES(mutex_);
  // kNoSpace or kIo with the reason, or success.
  Result<void> status() const EXCLUDES(mutex_);

 private:
  static constexpr std::chrono::seconds kRetryAfter{3};
  const std::string what_;
  Logger& log_;
  const Clock& clock_;
  std::function<void()> on_failure_;
  std::atomic<bool> ever_failed_{false};
  mutable Mutex mutex_;  // Lock rank: leaf.
  std::string reason_ GUARDED_BY(mutex_);
  ErrorCode code_ GUARDED_BY(mutex_) = ErrorCode::kIo;
  TimePoint retry_at_ GUARDED_BY(mutex_);
};

// What the disk store's parts share. The directory and the small blobs outlive it.
struct StoreContext {
  StoreContext(const Directory& blobs_directory, SmallBlobs& small_blobs, std::uint64_t block_bytes,
               const EvictionSettings& settings, Logger& logger, const Clock& clock)
      : blobs(blobs_directory),
        block_size(block_bytes),
        eviction(settings),
        log(logger),
        counters(clock),
        quota(settings),
        table(block_bytes, counters),
        files(blobs_directory),
        small(small_blobs),
        disk("cache disk", logger, clock),
        index("cache index", logger, clock) {}

  const Directory& blobs;
  const std::uint64_t block_size;
  const EvictionSettings eviction;
  bool whole_blobs = false;  // the disk cannot punch holes: a blob goes as a whole. Set at open
  Logger& log;
  StoreCounters counters;
  Quota quota;
  EntryTable table;
  FileCache files;
  SmallBlobs& small;
  Health disk;
  Health index;
  CallbackSlot<bool(const BlobKey&)> in_passthrough;  // whether the kernel reads its file by itself
  CallbackSlot<void(const BlobKey&)> on_sealed;
  // Nothing on the disk is unknown: the index was left in order, or compared with the sidecars.
  std::atomic<bool> swept{true};

  // Whether the blob's file must stay as it is: in passthrough, or open or mapped anywhere else.
  // Looks at the file, so not for every block.
  bool in_use(const BlobEntry& entry);
};

}  // namespace hubvfs::cache
