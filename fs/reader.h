// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/failure_log.h"
#include "cache/blob_store.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

struct ReaderOptions {
  std::string endpoint;
  Duration read_deadline = std::chrono::seconds(120);  // without progress
  std::uint64_t memory_budget = 256u << 20;            // bytes of blocks in flight or being written
};

struct ReaderStats {
  std::uint64_t reads = 0;
  std::uint64_t reads_waited = 0;  // of these: had to wait for the Hub
  std::uint64_t waiting_now = 0;
  std::uint64_t blocks_fetched = 0;
  std::uint64_t buffer_bytes = 0;   // of memory_budget, in use
  std::uint64_t buffer_limit = 0;   // memory_budget
  std::uint64_t corrupt_blobs = 0;  // content that did not match its hash
};

class OpenBlob;  // one content being read; shared by all who read it
class ReaderCore;

// Joins the Hub and the cache: a read is answered from the store, or parked until its own bytes
// have arrived. One fetch a block however many wait for it, and one memory budget: so one reader
// for all mounts of a process. Thread-safe; no call blocks.
class Reader {
 public:
  // `bytes`: exactly what was asked for, valid during the call only. Errors: those of
  // HubClient::fetch, kCorrupt (refetched once, still not its hash), kTimedOut.
  // Runs once, on the calling thread or on another, with no lock held; never short.
  using Done = std::function<void(const Result<ByteView>& bytes)>;

  // `store` and the hubs given to open() must outlive every callback of those: close the reader,
  // then destroy the hubs, then the reader and the store.
  Reader(const ReaderOptions& options, cache::BlobStore& store,
         std::shared_ptr<FailureLog> failures, const Clock& clock);
  ~Reader();  // closes
  // What is parked ends with kCancelled, and so does every later read.
  void close();

  // `file` and `hub` say where missing blocks come from and whose token asks for them. The same
  // content in a namespace gives the same OpenBlob, which asks as who opened it first. `next`: what
  // who reads it to its end is likely to read then; it is begun before that.
  // kIo: the store's index fails. kCorrupt: this content came wrong twice and is refused.
  Result<std::shared_ptr<OpenBlob>> open(const cache::Namespace& space, const hub::FileRef& file,
                                         hub::HubClient& hub,
                                         const std::optional<hub::FileRef>& next = {});
  // `range` is not empty and within the content. Content of one block is checked before a byte of
  // it is given. Of a larger one only the whole can be: the block that comes last is held back
  // until it was (for 10 s at most), so that nobody gets all of a wrong one, and when it proves
  // wrong all reads fail until it is opened again. `thread` says who reads, by the kernel's number,
  // for read-ahead; 0: not known.
  void read(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Done done,
            std::uint32_t thread = 0);
  // Fetches what is not here of the blocks that `range` touches, for nobody to read now: after all
  // that anybody waits for, within half of the memory budget and without a deadline but the fetch's
  // own. `done` runs as read()'s does, with no bytes; each block has been handed to the store by
  // then.
  void prefetch(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Done done);
  // Whether somebody has it open, or fetches some of it.
  bool is_open(const cache::BlobKey& key) const;
  // What the store has of it.
  static const cache::Blob& stored(const OpenBlob& blob);
  // How often its content has proved wrong since this was made: bytes of it that others keep, from
  // before the last time, are not to be trusted.
  std::uint64_t times_wrong(const OpenBlob& blob) const;

  // The user has another token: what was denied is asked again.
  void forget_denials();
  // Content that came wrong twice is tried again when it is next opened.
  void forget_wrong();

  // Ends reads whose deadline passed. To be called about once a second.
  void expire();
  ReaderStats stats() const;

 private:
  std::shared_ptr<ReaderCore> core_;  // shared with fetches under way
};

}  // namespace hubvfs::fs
