// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "cache/blob_store.h"
#include "cache/meta_store.h"
#include "daemon/command_request.h"
#include "daemon/command_threads.h"
#include "fs/backend.h"
#include "fs/catalog.h"
#include "hub/hub_client.h"

namespace hubvfs::daemon {

// What commands work on: the parts of the worker they run in.
struct CommandParts {
  fs::Backend& backend;
  cache::BlobStore& store;
  cache::MetaStore& meta;
  hub::HubClient& hub;  // with the user's token
  Logger& log;
  const Clock& clock;
  std::string endpoint;         // as configured
  std::string offline_because;  // "": online
};

// Carries out what commands ask, where the cache is open. Everything of it runs on the threads of
// the commands, which may wait. Thread-safe.
class WorkerCommands {
 public:
  explicit WorkerCommands(const CommandParts& parts) : parts_(parts) {}

  // A JSON object. kCancelled: the caller went away, or the worker ends.
  Result<std::string> carry_out(const CommandRequest& request, CommandCaller& caller);

 private:
  // One commit of a repo and those of its files that were asked for.
  struct Selection {
    fs::PlacedPtr placed;
    fs::SnapshotPtr snapshot;
    std::vector<hub::FileRef> files;
    std::uint64_t bytes = 0;  // of different content
  };

  std::string stats() const;
  Result<std::string> prefetch(const CommandRequest& request, CommandCaller& caller);

  // worker_fetch.cc
  Result<Selection> select(const CommandRequest& request, CommandCaller& caller) const;
  Result<fs::PlacedPtr> newest(const CommandRequest& request, CommandCaller& caller) const;
  Result<std::uint64_t> fetch(const Selection& selection, unsigned jobs,
                              CommandCaller& caller) const;
  Error gated(const fs::Placed& placed, const std::string& path) const;

  const CommandParts parts_;
};

}  // namespace hubvfs::daemon
