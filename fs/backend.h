// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/failure_log.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "cache/blob_store.h"
#include "cache/meta_store.h"
#include "fs/backing_files.h"
#include "fs/catalog.h"
#include "fs/kernel_notifier.h"
#include "fs/open_table.h"
#include "fs/operations.h"
#include "fs/passed_files.h"
#include "fs/reader.h"
#include "fs/repo_scope.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

class HubFilesystem;

struct BackendOptions {  // the same for all mounts of a worker
  std::string endpoint;  // as configured, without trailing '/': part of every metadata key
  uid_t uid = 0;         // owner of every node, and of the namespace for private and gated repos
  gid_t gid = 0;
  bool offline = false;
  Duration metadata_ttl = std::chrono::minutes(5);
  Duration metadata_settle = std::chrono::seconds(60);
  Duration metadata_deadline = std::chrono::seconds(30);
  Duration read_deadline = std::chrono::seconds(120);  // without progress
  std::uint64_t memory_budget = 256u << 20;            // bytes of fetch buffers, of all mounts
  std::size_t most_at_once = CatalogOptions().most_at_once;
  OpenTable* open_table = nullptr;        // the keeper's; borrowed. Null: one of this process alone
  BackingFiles* backing_files = nullptr;  // the keeper; borrowed. Null: no passthrough
};

struct MountOptions {
  hub::RepoType type = hub::RepoType::kModel;  // of a whole tree; else the repo's
  // allow_other: modes 0444 and 0555, public repos only, no token; else 0400 and 0500.
  bool shared = false;
  std::optional<RepoScope> repo;  // none: a whole tree
  std::uint32_t number = 0;       // the keeper's, in the open table; not that of another mount
  bool passthrough = false;       // until Operations::set_passthrough says otherwise
  std::string no_passthrough_because = "this process has no keeper that could do it";
};

// May be the same client, where no token is set.
struct BackendHubs {
  hub::HubClient& own;        // with the user's token
  hub::HubClient& anonymous;  // sends none: for shared mounts
};

// What all mounts of one worker share: one Reader, so that a block is fetched once and memory is
// bounded once, and a Catalog for each type and namespace. Thread-safe: mounts come and go while
// others are served.
//
// To end: close(), destroy the hubs, let go of the mounts and of this, then the store and meta.
class Backend {
 public:
  // All borrowed. Errors: no memory for an open table.
  static Result<std::unique_ptr<Backend>> create(const BackendOptions& options, BackendHubs hubs,
                                                 cache::BlobStore& store, cache::MetaStore& meta,
                                                 Logger& log, const Clock& clock);
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // Asks the Hub nothing (see Operations::check_root); may read the metadata of the disk.
  // `notifier` is told until the Operations are closed. Errors: the metadata cannot be read;
  // kCancelled after close().
  Result<std::shared_ptr<Operations>> mount(const MountOptions& options, KernelNotifier& notifier);

  // What a user's own mounts see by, for what works on the cache beside them. kCancelled after
  // close(); else the errors of mount().
  Result<std::shared_ptr<Catalog>> catalog(hub::RepoType type) EXCLUDES(mutex_);
  Reader& reader() { return *reader_; }

  // Everything parked anywhere ends with kCancelled. Once, before the hubs are destroyed.
  void close() EXCLUDES(mutex_);

 private:
  Backend(const BackendOptions& options, BackendHubs hubs, cache::BlobStore& store,
          cache::MetaStore& meta, Logger& log, const Clock& clock);
  Result<std::shared_ptr<Catalog>> catalog_of(hub::RepoType type, bool shared) REQUIRES(mutex_);
  void housekeeping() EXCLUDES(tick_mutex_);
  void forget_denials() EXCLUDES(mutex_);

  const BackendOptions options_;
  const BackendHubs hubs_;
  cache::BlobStore& store_;
  cache::MetaStore& meta_;
  Logger& log_;
  const Clock& clock_;
  const std::shared_ptr<FailureLog> failures_;
  const std::shared_ptr<Reader> reader_;
  std::shared_ptr<OpenTable> table_;  // borrowed, or of this process alone
  std::shared_ptr<PassedFiles> passed_;
  struct Mounts;
  const std::shared_ptr<Mounts> live_;  // for what the store tells, perhaps as this ends

  // Rank 0. Only mount() and close() wait for it: it is held while a catalog is read from the disk.
  Mutex mutex_;
  std::map<std::pair<hub::RepoType, bool>, std::shared_ptr<Catalog>> catalogs_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;

  Mutex tick_mutex_;  // leaf
  CondVar tick_cv_;
  bool stopping_ GUARDED_BY(tick_mutex_) = false;
  std::thread housekeeper_;
};

}  // namespace hubvfs::fs
