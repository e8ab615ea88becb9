// SPDX-License-Identifier: Apache-2.0
#include "fs/backend.h"

#include <algorithm>

#include "fs/hub_filesystem.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kTick = std::chrono::seconds(1);

}  // namespace

struct Backend::Mounts {
  void add(const std::shared_ptr<HubFilesystem>& mount) EXCLUDES(mutex) {
    MutexLock lock(mutex);
    std::erase_if(all, [](const auto& known) { return known.expired(); });
    all.push_back(mount);
  }
  std::vector<std::shared_ptr<HubFilesystem>> live() EXCLUDES(mutex) {
    std::vector<std::shared_ptr<HubFilesystem>> mounts;
    MutexLock lock(mutex);
    for (const auto& weak : all) {
      if (auto mount = weak.lock()) mounts.push_back(std::move(mount));
    }
    return mounts;
  }

  Mutex mutex;  // leaf
  std::vector<std::weak_ptr<HubFilesystem>> all GUARDED_BY(mutex);
};

Backend::Backend(const BackendOptions& options, BackendHubs hubs, cache::BlobStore& store,
                 cache::MetaStore& meta, Logger& log, const Clock& clock)
    : options_(options),
      hubs_(hubs),
      store_(store),
      meta_(meta),
      log_(log),
      clock_(clock),
      failures_(std::make_shared<FailureLog>(log, clock)),
      reader_(std::make_shared<Reader>(
          ReaderOptions{options.endpoint, options.read_deadline, options.memory_budget}, store,
          failures_, clock)),
      live_(std::make_shared<Mounts>()) {}

Result<std::unique_ptr<Backend>> Backend::create(const BackendOptions& options, BackendHubs hubs,
                                                 cache::BlobStore& store, cache::MetaStore& meta,
                                                 Logger& log, const Clock& clock) {
  std::unique_ptr<Backend> backend(new Backend(options, hubs, store, meta, log, clock));
  if (options.open_table != nullptr) {
    backend->table_ = {std::shared_ptr<void>(), options.open_table};  // owns nothing
  } else {
    auto table = OpenTable::make_private(log);
    if (!table) return table.error();
    backend->table_ = std::move(*table);
  }
  backend->passed_ = std::make_shared<PassedFiles>(backend->table_);
  store.set_passthrough_check([passed = backend->passed_](const cache::BlobKey& content) {
    return passed->is_open(content);
  });
  store.on_sealed([weak = std::weak_ptr(backend->live_)](const cache::BlobKey& content) {
    const auto mounts = weak.lock();
    if (!mounts) return;
    for (const auto& mount : mounts->live()) mount->content_sealed(content);
  });
  hubs.own.on_token_change([raw = backend.get()] { raw->forget_denials(); });
  backend->housekeeper_ = std::thread([raw = backend.get()] { raw->housekeeping(); });
  return backend;
}

Backend::~Backend() { close(); }

Result<std::shared_ptr<Catalog>> Backend::catalog_of(hub::RepoType type, bool shared) {
  std::shared_ptr<Catalog>& known = catalogs_[{type, shared}];
  if (known) return known;
  CatalogOptions options;
  options.type = type;
  options.endpoint = options_.endpoint;
  options.own = shared ? "public" : "u" + std::to_string(options_.uid);
  options.offline = options_.offline;
  options.metadata_ttl = options_.metadata_ttl;
  options.metadata_settle = options_.metadata_settle;
  options.metadata_deadline = options_.metadata_deadline;
  options.most_at_once = options_.most_at_once;
  auto made = Catalog::create(options, shared ? hubs_.anonymous : hubs_.own, meta_, log_, failures_,
                              clock_);
  if (!made) return made.error();
  known = *made;
  return known;
}

Result<std::shared_ptr<Operations>> Backend::mount(const MountOptions& options,
                                                   KernelNotifier& notifier) {
  MutexLock lock(mutex_);
  if (closed_) return {ErrorCode::kCancelled, "the daemon is stopping"};
  const hub::RepoType type = options.repo ? options.repo->type : options.type;
  CatalogsByType catalogs;
  for (std::size_t i = 0; i < catalogs.size(); ++i) {
    const auto of = static_cast<hub::RepoType>(i);
    if (options.repo && of != type) continue;  // .hf-cache has all of them
    const auto catalog = catalog_of(of, options.shared);
    if (!catalog) return catalog.error();
    catalogs[i] = *catalog;
  }
  auto passthrough =
      std::make_shared<Passthrough>(options.number, passed_, options_.backing_files, clock_);
  passthrough->set(options.passthrough, options.no_passthrough_because);
  const MountParts parts{catalogs,
                         catalogs[static_cast<std::size_t>(type)],
                         reader_,
                         options.shared ? hubs_.anonymous : hubs_.own,
                         store_,
                         table_,
                         std::move(passthrough),
                         log_,
                         failures_,
                         clock_};
  const auto made = HubFilesystem::create(options_, options, parts, notifier);
  reader_->forget_wrong();  // as the log advises
  live_->add(made);
  return std::shared_ptr<Operations>(made);
}

Result<std::shared_ptr<Catalog>> Backend::catalog(hub::RepoType type) {
  MutexLock lock(mutex_);
  if (closed_) return {ErrorCode::kCancelled, "the daemon is stopping"};
  return catalog_of(type, false);
}

void Backend::close() {
  std::vector<std::shared_ptr<Catalog>> catalogs;
  {
    MutexLock lock(mutex_);
    if (!closed_) hubs_.own.on_token_change({});  // else the hubs may be gone
    closed_ = true;
    for (const auto& [key, catalog] : catalogs_) {
      if (catalog) catalogs.push_back(catalog);
    }
  }
  {
    MutexLock lock(tick_mutex_);
    stopping_ = true;
    tick_cv_.notify_all();
  }
  if (housekeeper_.joinable()) housekeeper_.join();
  for (const auto& mount : live_->live()) mount->close();
  store_.on_sealed({});
  store_.set_passthrough_check({});
  for (const auto& catalog : catalogs) catalog->close();
  reader_->close();
}

// Each request has a deadline of its own: a reader stalled in the page cache cannot be interrupted.
void Backend::housekeeping() {
  for (;;) {
    {
      MutexLock lock(tick_mutex_);
      if (!stopping_) tick_cv_.wait_for(tick_mutex_, kTick);
      if (stopping_) return;
    }
    reader_->expire();
    failures_->tick();
  }
}

// What everybody sees is asked for without a token.
void Backend::forget_denials() {
  std::vector<std::shared_ptr<Catalog>> catalogs;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, catalog] : catalogs_) {
      if (catalog && !catalog->shared()) catalogs.push_back(catalog);
    }
  }
  for (const auto& catalog : catalogs) catalog->forget_denials();
  reader_->forget_denials();
}

}  // namespace hubvfs::fs
