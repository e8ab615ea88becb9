// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/blob_store.h"
#include "fs/reader.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

struct PrefetchOptions {
  unsigned jobs = 4;  // files at a time
};

struct PrefetchState {
  std::uint64_t bytes = 0;  // of all files
  std::uint64_t bytes_here = 0;
  std::uint64_t files = 0;
  std::uint64_t files_here = 0;
  std::uint64_t bytes_fetched = 0;  // by this run
  std::string now;                  // the file begun last
};

struct PrefetchFailure {
  std::string path;
  Error error;
};

// Fills the cache with files: what of them is here already is not fetched again, so that a run that
// was cut short is gone on with by another. Readers come first at every step (Reader::prefetch).
class Prefetcher {
 public:
  // All outlive it. `hub`: who is asked, as for Reader::open.
  Prefetcher(Reader& reader, cache::BlobStore& store, hub::HubClient& hub)
      : reader_(reader), store_(store), hub_(hub) {}

  struct Outcome {
    PrefetchState state;
    std::vector<PrefetchFailure> failed;  // files that cannot be had; the others are here
  };
  // Those of `files` that are not whole in the store. kIo: its index fails.
  Result<std::vector<hub::FileRef>> missing(const cache::Namespace& space,
                                            const std::vector<hub::FileRef>& files);
  // Returns once all are in the store, written and verified. `go_on` is asked several times a
  // second; false: kCancelled, as soon as can be. The same content in several files is fetched
  // once. An error of the Hub as a whole, of the disk, or that the store keeps less than it is
  // given (kNoSpace), ends the run; an error of a file is in the outcome. Waits: never on a FUSE
  // thread.
  Result<Outcome> run(const cache::Namespace& space, const std::vector<hub::FileRef>& files,
                      const PrefetchOptions& options,
                      const std::function<bool(const PrefetchState&)>& go_on);

 private:
  class Run;
  Reader& reader_;
  cache::BlobStore& store_;
  hub::HubClient& hub_;
};

}  // namespace hubvfs::fs
