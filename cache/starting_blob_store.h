// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "cache/starting_blob.h"

namespace hubvfs::cache {

// A store that can be used at once, while another is made behind it.
//
// Reading the index of a large cache, in a child process first, takes a second or more. Until it is
// there blobs are read by their sidecars (StartingBlob), and what is put waits in memory; then each
// becomes a blob of the real store, which all later calls go to. Calls for commands, and flush(),
// wait for that. Thread-safe. Its blobs must be released before it.
class StartingBlobStore final : public BlobStore {
 public:
  using MakeStore = std::function<Result<std::unique_ptr<BlobStore>>()>;
  struct Options {
    std::uint64_t block_size = 0;
    std::uint64_t size_limit = 0;     // for stats() until the real store tells
    std::uint64_t pending_limit = 0;  // bytes in memory until they can be stored
  };

  // `blobs`, `small` and what `make` uses must outlive it. `make` is called on a thread of the
  // store's own, and again every ten seconds where it fails.
  StartingBlobStore(const Directory& blobs, const SmallBlobs& small, const Options& options,
                    MakeStore make, Logger& log);
  // Waits for a call of `make` that is under way.
  ~StartingBlobStore() override;

  // Returns once the real store is there, with the error of the first attempt to make it, or (some
  // `patience`) that much later. Blocks.
  Result<void> wait(std::optional<Duration> patience) EXCLUDES(mutex_);

  std::uint64_t block_size() const override { return options_.block_size; }
  Result<std::shared_ptr<Blob>> open(const BlobKey& key, const std::string& endpoint) override
      EXCLUDES(mutex_);
  void on_verdict(OnVerdict callback) override EXCLUDES(mutex_);
  void on_sealed(OnSealed callback) override EXCLUDES(mutex_);
  Result<void> flush() override;
  StoreStats stats() const override EXCLUDES(mutex_);
  void for_each_blob(const std::function<void(const BlobInfo&)>& visit) const override;
  void set_pinned(const std::vector<BlobKey>& keys) override EXCLUDES(mutex_);
  void set_passthrough_check(InPassthrough check) override EXCLUDES(mutex_);
  Result<std::uint64_t> evict(const BlobKey& key) override;
  Result<std::uint64_t> prune(const PruneOptions& options) override;
  Result<VerifyReport> verify(bool repair, const VerifyProgress& progress) override;

 private:
  using StartingPtr = std::shared_ptr<StartingBlob>;

  void run() EXCLUDES(mutex_);
  void take_over(std::unique_ptr<BlobStore> store) EXCLUDES(mutex_);
  BlobStore* real() const { return real_.load(); }
  // The real store, waited for. An error where it cannot be made now.
  Result<BlobStore*> started() const EXCLUDES(mutex_);

  const Options options_;
  const MakeStore make_;
  Logger& log_;
  StartingContext context_;
  std::unique_ptr<BlobStore> owned_;  // set before real_, once
  std::atomic<BlobStore*> real_{nullptr};
  std::thread thread_;

  mutable Mutex mutex_;  // Lock rank: leaf; before the real store's.
  mutable CondVar changed_;
  std::map<std::pair<BlobKey, std::string>, StartingPtr> starting_ GUARDED_BY(mutex_);
  OnVerdict on_verdict_ GUARDED_BY(mutex_);
  OnSealed on_sealed_ GUARDED_BY(mutex_);
  std::optional<std::vector<BlobKey>> pinned_ GUARDED_BY(mutex_);
  InPassthrough in_passthrough_ GUARDED_BY(mutex_);
  std::optional<Error> failure_ GUARDED_BY(mutex_);
  bool started_ GUARDED_BY(mutex_) = false;  // every starting blob has become another
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
