// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "cache/blob_store.h"
#include "cache/directory.h"
#include "cache/endpoint_id.h"
#include "cache/sidecar.h"
#include "cache/small_blobs.h"

namespace hubvfs::cache {

// What the blobs of a store that is still starting share. All outlive them.
struct StartingContext {
  const Directory& blobs;
  const SmallBlobs& small;  // loaded
  const std::uint64_t block_size;
  const std::uint64_t put_limit;            // bytes
  std::atomic<std::uint64_t> put_bytes{0};  // handed in and kept in memory
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> misses{0};
};

// A blob that was opened before the index was read: it knows its blocks from its sidecar alone.
//
// Each read checks the whole block's checksum, whoever may be writing the file. What is put is
// kept in memory. It is never verified. become() ends that: from then on it is another blob's name.
// Thread-safe.
class StartingBlob final : public Blob {
 public:
  StartingBlob(StartingContext& context, BlobKey key, const std::string& endpoint);
  ~StartingBlob() override;

  // Opens the blob in `store`, hands on what was put, and is that blob.
  Result<void> become(BlobStore& store) EXCLUDES(mutex_);

  const BlobKey& key() const override { return key_; }
  bool has(std::uint64_t block) const override EXCLUDES(mutex_);
  std::uint64_t cached_bytes() const override EXCLUDES(mutex_);
  bool complete() const override;
  bool verified() const override;
  bool sealed() const override;
  Result<std::string> sealed_file() override;
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override EXCLUDES(mutex_);
  bool put(std::uint64_t block, std::shared_ptr<const Bytes> bytes) override EXCLUDES(mutex_);
  void drop() override EXCLUDES(mutex_);

 private:
  using Puts = std::map<std::uint64_t, std::shared_ptr<const Bytes>>;

  // None before become().
  Blob* real() const { return real_.load(); }
  void read_sidecar_of();
  Result<void> read_block(std::uint64_t block, std::uint64_t within, std::span<std::byte> out)
      EXCLUDES(mutex_);
  Result<void> read_stored(const SidecarBlock& stored, std::uint64_t within,
                           std::span<std::byte> out);
  Result<UniqueFd> data_file() const;
  Puts take_puts() REQUIRES(mutex_);
  bool whole_here() const REQUIRES(mutex_);

  StartingContext& context_;
  const BlobKey key_;
  const std::string endpoint_;
  std::shared_ptr<Blob> owned_;  // set before real_, once
  std::atomic<Blob*> real_{nullptr};

  mutable Mutex mutex_;                                              // Lock rank: leaf.
  std::map<std::uint64_t, SidecarBlock> stored_ GUARDED_BY(mutex_);  // that this endpoint may see
  std::uint64_t stored_bytes_ GUARDED_BY(mutex_) = 0;
  Puts puts_ GUARDED_BY(mutex_);
  std::uint64_t put_bytes_ GUARDED_BY(mutex_) = 0;
  bool dropped_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
