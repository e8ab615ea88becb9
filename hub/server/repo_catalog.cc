// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_catalog.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::hub::server {
namespace {

constexpr Duration kLookInterval = std::chrono::seconds(1);
// First components of routes: an owner of that name could not be reached.
constexpr std::array<std::string_view, 5> kReserved = {"api", "datasets", "spaces", "kernels",
                                                       "buckets"};

}  // namespace

bool is_servable(const RepoId& repo) {
  const std::size_t slash = repo.name.find('/');
  if (slash == std::string::npos || !is_repo_name(repo.name)) return false;
  const std::string_view owner = std::string_view(repo.name).substr(0, slash);
  return std::find(kReserved.begin(), kReserved.end(), owner) == kReserved.end();
}

std::string folder_of(const RepoId& repo) { return route_prefix(repo.type) + repo.name; }

Result<std::unique_ptr<RepoCatalog>> RepoCatalog::open(const Options& options, Logger& log,
                                                       const Clock& clock) {
  auto root = ServedRoot::open(options.root);
  if (!root) return {ErrorCode::kInvalidArgument, root.error().context};
  auto hashes = HashCache::open(options.state_dir, log);
  if (!hashes) return hashes.error();
  std::unique_ptr<RepoCatalog> catalog(
      new RepoCatalog(std::move(*root), std::move(*hashes), options, log, clock));
  catalog->discover();
  RepoCatalog* self = catalog.get();
  catalog->looker_ = std::thread([self] { self->run_looker(); });
  catalog->hasher_ = std::thread([self] { self->run_hasher(); });
  return catalog;
}

RepoCatalog::RepoCatalog(ServedRoot root, std::unique_ptr<HashCache> hashes, const Options& options,
                         Logger& log, const Clock& clock)
    : root_(std::move(root)),
      hashes_(std::move(hashes)),
      options_(options),
      log_(log),
      clock_(clock) {}

RepoCatalog::~RepoCatalog() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
    wake_looker_.notify_all();
    wake_hasher_.notify_all();
  }
  if (looker_.joinable()) looker_.join();
  if (hasher_.joinable()) hasher_.join();
}

std::optional<ServedRepo> RepoCatalog::find(const RepoId& repo) {
  bool known = false;
  bool look_now = false;
  {
    const MutexLock lock(mutex_);
    known = repos_.count(repo) > 0;
  }
  if (!known && (!is_servable(repo) || !root_.is_directory(folder_of(repo)))) return {};
  {
    const MutexLock lock(mutex_);
    Record& record = repos_[repo];
    if (!record.looking && clock_.now() >= record.look_after) {
      record.looking = true;
      look_now = true;
    }
  }
  if (look_now) look(repo);
  const MutexLock lock(mutex_);
  const auto found = repos_.find(repo);
  if (found == repos_.end() || !found->second.is_served()) return {};
  return ServedRepo{found->second.revisions, found->second.settings};
}

std::optional<RepoId> RepoCatalog::canonical(const RepoId& repo) const {
  const std::string lower = to_lower(repo.name);
  const MutexLock lock(mutex_);
  for (const auto& [id, record] : repos_) {
    if (id.type != repo.type || id.name == repo.name || !record.settings) continue;
    const auto& aliases = record.settings->aliases;
    if (to_lower(id.name) == lower ||
        std::find(aliases.begin(), aliases.end(), repo.name) != aliases.end()) {
      return id;
    }
  }
  return {};
}

std::vector<ServedRepo> RepoCatalog::list(RepoType type) {
  bool due = false;
  {
    const MutexLock lock(mutex_);
    due = clock_.now() >= discover_after_ - kDiscoverInterval + kLookInterval;
  }
  if (due) discover();
  std::vector<ServedRepo> ready;
  const MutexLock lock(mutex_);
  for (const auto& [repo, record] : repos_) {
    if (repo.type == type && record.is_served()) {
      ready.push_back({record.revisions, record.settings});
    }
  }
  return ready;
}

Result<UniqueFd> RepoCatalog::open_content(const RepoSnapshot& snapshot,
                                           const SnapshotEntry& entry) {
  auto fd = root_.open_file(snapshot.folder() + "/" + entry.path, entry.identity);
  if (fd) return fd;
  std::vector<std::shared_ptr<const RepoSnapshot>> others;
  {
    const MutexLock lock(mutex_);
    const auto found = repos_.find(snapshot.repo());
    if (found == repos_.end()) return fd;
    look_soon(found->second);
    for (const auto& [name, folder] : found->second.folders) {
      if (folder.snapshot && folder.snapshot.get() != &snapshot &&
          folder.snapshot->commit() == snapshot.commit()) {
        others.push_back(folder.snapshot);
      }
    }
  }
  for (const auto& other : others) {
    const SnapshotEntry* same = other->find(entry.path);
    if (same == nullptr) continue;
    auto opened = root_.open_file(other->folder() + "/" + same->path, same->identity);
    if (opened) return opened;
  }
  return fd;
}

void RepoCatalog::look_soon(Record& record) {
  record.look_again = record.looking;
  record.look_after = TimePoint();
  record.background_look_after = TimePoint();
  look_now_ = true;
  wake_looker_.notify_all();
}

HubServer::Progress RepoCatalog::progress() const {
  HubServer::Progress progress;
  const MutexLock lock(mutex_);
  progress.bytes_hashed = bytes_hashed_;
  progress.bytes_to_hash = bytes_hashed_;
  for (const auto& [repo, record] : repos_) {
    if (!record.withheld.empty()) continue;
    ++progress.repos_found;
    if (record.is_ready()) ++progress.repos_ready;
    progress.bytes_to_hash += record.bytes_pending;
  }
  return progress;
}

}  // namespace hubvfs::hub::server
