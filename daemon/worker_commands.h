// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "cache/blob_store.h"
#include "cache/meta_store.h"
#include "daemon/command_request.h"
#include "daemon/command_threads.h"
#include "daemon/importer.h"
#include "daemon/user_folder.h"
#include "fs/backend.h"
#include "fs/catalog.h"
#include "fs/known_commits.h"
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
  cache::Namespace own;         // of the user: "u<uid>"
  std::string endpoint;         // as configured
  std::string offline_because;  // "": online
};

// Carries out what commands ask, where the cache is open. Everything of it runs on the threads of
// the commands, which may wait. Thread-safe.
class WorkerCommands {
 public:
  explicit WorkerCommands(const CommandParts& parts)
      : parts_(parts), pins_(parts.meta, parts.own) {}

  // Tells the store what was pinned in an earlier life. Before anything may be evicted.
  void load_pins() EXCLUDES(pins_mutex_);

  // A JSON object. kCancelled: the caller went away, or the worker ends.
  Result<std::string> carry_out(const CommandRequest& request, CommandCaller& caller);

 private:
  // One commit of a repo and those of its files that were asked for.
  struct Selection {
    fs::PlacedPtr placed;
    fs::SnapshotPtr snapshot;  // whole: its numbers are not those of nodes
    std::vector<hub::FileRef> files;
    std::uint64_t bytes = 0;  // of different content
  };

  std::string stats() const;
  Result<std::string> prefetch(const CommandRequest& request, CommandCaller& caller);

  // worker_fetch.cc
  Result<Selection> select(const CommandRequest& request, CommandCaller& caller) const;
  Result<fs::PlacedPtr> newest(const CommandRequest& request, CommandCaller& caller) const;
  void tell_kernels(const Selection& selection) const;
  fs::KnownCommit known(const fs::Placed& placed) const;
  std::string summary(const Selection& selection, std::uint64_t fetched) const;
  Result<std::uint64_t> fetch(const Selection& selection, unsigned jobs,
                              CommandCaller& caller) const;
  Error gated(const fs::Placed& placed, const std::string& path) const;

  // worker_listing.cc
  Result<std::string> list(CommandCaller& caller) const;
  Result<std::string> usage(CommandCaller& caller) const;

  // worker_pins.cc
  Result<std::string> pin(const CommandRequest& request, CommandCaller& caller);
  Result<void> keep(const fs::Pin& pin, const Selection& selection) EXCLUDES(pins_mutex_);
  Result<std::string> unpin(const CommandRequest& request) EXCLUDES(pins_mutex_);
  Result<std::vector<fs::Pin>> tell_store() REQUIRES(pins_mutex_);

  // worker_evict.cc
  Result<std::string> evict(const CommandRequest& request, CommandCaller& caller);
  Result<std::string> prune(const CommandRequest& request);
  Result<std::string> verify(const CommandRequest& request, CommandCaller& caller);
  Result<void> name_problems(const std::vector<std::string>& problems, CommandCaller& caller) const;

  // worker_export.cc
  Result<std::string> export_files(const CommandRequest& request, CommandCaller& caller);
  Result<void> read_range(const std::shared_ptr<fs::OpenBlob>& blob, ByteRange range, Bytes& into,
                          CommandCaller& caller) const;

  // worker_import.cc
  Result<std::string> import_folder(const CommandRequest& request, CommandCaller& caller);
  Result<FolderContent> look_into(const UserFolder& folder, const CommandRequest& request,
                                  CommandCaller& caller) const;
  Result<ImportCommit> plain_folder(const UserFolder& folder, const CommandRequest& request,
                                    CommandCaller& caller) const;

  const CommandParts parts_;

  Mutex pins_mutex_;  // lock rank: before all others; held while pins change
  fs::Pins pins_;
};

}  // namespace hubvfs::daemon
