// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "cache/blob_store.h"
#include "cache/blob_verifier.h"
#include "cache/block_reader.h"
#include "cache/block_writer.h"
#include "cache/directory.h"
#include "cache/eviction_policy.h"
#include "cache/housekeeper.h"
#include "cache/index_committer.h"
#include "cache/meta_index.h"
#include "cache/scrubber.h"
#include "cache/store_context.h"

namespace hubvfs::cache {

struct DiskBlobStoreOptions {
  std::uint64_t block_size = 1u << 20;
  std::uint64_t size_limit = 0;              // as DiskCacheOptions
  std::uint64_t pending_limit = 128u << 20;  // bytes in memory on their way to the disk
  EvictionSettings eviction = {};
  bool punch_holes = true;  // where the disk can
};

// Blocks in sparse files: blobs/<namespace>/<2 hex>/<name>, each with a ".map" beside it.
//
// What is known of the blocks is in memory (BlobEntry), so that a read asks no index. put() leaves
// the block in memory for the threads of the store: the writer writes, the verifier hashes (beside
// one that reads back for it), the committer makes durable. One more looks after what nobody uses.
// Beyond `pending_limit` blocks are not kept. Its blobs must be released before it. Thread-safe.
class DiskBlobStore final : public BlobStore {
 public:
  // The directory, the small blobs (loaded) and the index must outlive it. kCorrupt: the index is
  // damaged; try an empty one.
  static Result<std::unique_ptr<DiskBlobStore>> open(const Directory& blobs, SmallBlobs& small,
                                                     MetaIndex& index,
                                                     const DiskBlobStoreOptions& options,
                                                     Logger& log, const Clock& clock);
  // Finishes what was handed in, in so far as the disk allows.
  ~DiskBlobStore() override;

  std::uint64_t block_size() const override;
  Result<std::shared_ptr<Blob>> open(const BlobKey& key, const std::string& endpoint) override;
  void on_verdict(OnVerdict callback) override;
  void on_sealed(OnSealed callback) override;
  // Verdicts on everything handed in so far have been given, too.
  Result<void> flush() override;
  StoreStats stats() const override;
  void for_each_blob(const std::function<void(const BlobInfo&)>& visit) const override;
  void set_pinned(const std::vector<BlobKey>& keys) override;
  void set_passthrough_check(InPassthrough check) override;
  Result<std::uint64_t> evict(const BlobKey& key) override;
  Result<std::uint64_t> prune(const PruneOptions& options) override;
  Result<VerifyReport> verify(bool repair, const VerifyProgress& progress) override;

 private:
  class Handle;
  using EntryPtr = std::shared_ptr<BlobEntry>;

  DiskBlobStore(const Directory& blobs, SmallBlobs& small, MetaIndex& index,
                const DiskBlobStoreOptions& options, Logger& log, const Clock& clock);
  Result<void> load();
  void start(bool sweep);
  void check_stamp(const EntryPtr& entry);
  Result<std::string> sealed_file(const EntryPtr& entry);
  bool disk_can_be_read() const;
  Result<void> read(const EntryPtr& entry, const EndpointId& viewer, std::uint64_t offset,
                    std::span<std::byte> out);
  bool put(const EntryPtr& entry, const EndpointId& endpoint, std::uint64_t block,
           std::shared_ptr<const Bytes> bytes);
  void drop(const EntryPtr& entry);
  void close(const EntryPtr& entry, const EndpointId& endpoint);

  const DiskBlobStoreOptions options_;
  MetaIndex& index_;
  bool started_ = false;  // loaded without error
  std::atomic<std::uint64_t> handles_{0};
  StoreContext context_;
  BlockReader reader_;
  IndexCommitter committer_;
  BlockWriter writer_;
  BlobVerifier verifier_;
  Scrubber scrubber_;  // the housekeeper's
  Housekeeper housekeeper_;
};

}  // namespace hubvfs::cache
