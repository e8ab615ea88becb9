// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_catalog.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::hub::server {
namespace {

using std::chrono::seconds;

constexpr Duration kLookInterval = seconds(1);         // for requests
constexpr Duration kBackgroundInterval = seconds(10);  // for repos nobody asks for
constexpr Duration kRetryInterval = seconds(5);
constexpr UnixSeconds kRestlessSeconds = 60;
constexpr std::uint64_t kLfsSize = 10u << 20;
constexpr std::size_t kMaxAttributes = 1u << 20;
// First components of routes: an owner of that name could not be reached.
constexpr std::array<std::string_view, 5> kReserved = {"api", "datasets", "spaces", "kernels",
                                                       "buckets"};

std::string label(const RepoId& repo) { return "serve: " + escape_for_log(folder_of(repo)); }

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
  if (found == repos_.end() || !found->second.withheld.empty() || !found->second.snapshot) {
    return {};
  }
  return ServedRepo{found->second.snapshot, found->second.settings};
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
    if (repo.type == type && record.withheld.empty() && record.snapshot) {
      ready.push_back({record.snapshot, record.settings});
    }
  }
  return ready;
}

Result<UniqueFd> RepoCatalog::open_content(const RepoSnapshot& snapshot,
                                           const SnapshotEntry& entry) {
  auto fd = root_.open_file(folder_of(snapshot.repo()) + "/" + entry.path, entry.identity);
  if (fd) return fd;
  const MutexLock lock(mutex_);
  const auto found = repos_.find(snapshot.repo());
  if (found != repos_.end()) look_soon(found->second);
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
    if (record.snapshot && record.bytes_pending == 0 && record.to_hash.empty()) {
      ++progress.repos_ready;
    }
    progress.bytes_to_hash += record.bytes_pending;
  }
  return progress;
}

// Ends the look at a repo, however it went.
class RepoCatalog::LookEnd {
 public:
  LookEnd(RepoCatalog& catalog, const RepoId& repo)
      : catalog_(catalog), repo_(repo), start_(catalog.clock_.now()) {}
  ~LookEnd() {
    const TimePoint now = catalog_.clock_.now();
    const Duration took = now - start_;
    const MutexLock lock(catalog_.mutex_);
    const auto found = catalog_.repos_.find(repo_);
    if (found == catalog_.repos_.end()) return;
    Record& record = found->second;
    record.looking = false;
    record.look_after = now + std::max(kLookInterval, 10 * took);
    record.background_look_after = now + std::max(again, 20 * took);
    if (record.look_again) catalog_.look_soon(record);
  }
  LookEnd(const LookEnd&) = delete;
  LookEnd& operator=(const LookEnd&) = delete;

  Duration again = kRetryInterval;  // for the next look in the background

 private:
  RepoCatalog& catalog_;
  const RepoId& repo_;
  const TimePoint start_;
};

void RepoCatalog::look(const RepoId& repo) {
  LookEnd end(*this, repo);
  auto walk = root_.walk(folder_of(repo));
  if (walk) {
    end.again = look_at_walk(repo, std::move(*walk));
  } else if (walk.error().code == ErrorCode::kNotFound) {
    const MutexLock lock(mutex_);
    repos_.erase(repo);
  } else {
    withhold(repo, walk.error().context);
    end.again = kBackgroundInterval;
  }
}

Duration RepoCatalog::look_at_walk(const RepoId& repo, RepoWalk walk) {
  leave_out_unreadable(repo, walk.files);
  if (is_unchanged(repo, walk)) return kBackgroundInterval;
  if (!settle(repo, walk.files)) return kLookInterval;
  std::vector<FileToHash> to_hash;
  const auto ids = identify(repo, walk.files, to_hash);
  if (!ids) {
    log_.warning(label(repo) + ": " + ids.error().context);
    return kRetryInterval;
  }
  if (!to_hash.empty()) {
    await_hashes(repo, std::move(to_hash));
    return kBackgroundInterval;  // the hasher looks when it is done
  }
  publish(RepoSnapshot::make(repo, std::move(walk.files), *ids), walk.left_out);
  return kBackgroundInterval;
}

// Takes the settings over in any case: a repo made private is private at once, whatever its files
// still have to wait for.
bool RepoCatalog::is_unchanged(const RepoId& repo, const RepoWalk& walk) {
  const MutexLock lock(mutex_);
  Record& record = repos_[repo];
  record.withheld.clear();
  if (!record.settings || *record.settings != walk.settings) {
    record.settings = std::make_shared<const RepoSettings>(walk.settings);
  }
  if (!record.snapshot || record.snapshot->files() != walk.files) return false;
  record.to_hash.clear();
  record.bytes_pending = 0;
  record.restless_since.reset();
  return true;
}

void RepoCatalog::withhold(const RepoId& repo, const std::string& why) {
  {
    const MutexLock lock(mutex_);
    Record& record = repos_[repo];
    record.snapshot.reset();
    record.settings.reset();
    record.to_hash.clear();
    record.bytes_pending = 0;
    if (record.withheld == why) return;
    record.withheld = why;
  }
  log_.error(label(repo) + " is not served to anybody: " + why);
}

void RepoCatalog::publish(std::shared_ptr<const RepoSnapshot> snapshot, std::size_t left_out) {
  const RepoId repo = snapshot->repo();
  std::string line = label(repo) + " is at " + snapshot->commit() + ", " +
                     std::to_string(snapshot->files().size()) + " files";
  if (left_out > 0) {
    line += "; " + std::to_string(left_out) +
            " left out (special files, names the Hub cannot have, symlinks to elsewhere)";
  }
  {
    const MutexLock lock(mutex_);
    Record& record = repos_[repo];
    record.snapshot = std::move(snapshot);
    record.to_hash.clear();
    record.bytes_pending = 0;
    record.restless_since.reset();
  }
  log_.info(line);
}

void RepoCatalog::leave_out_unreadable(const RepoId& repo, std::vector<WalkedFile>& files) {
  const std::string folder = folder_of(repo) + "/";
  const MutexLock lock(mutex_);
  if (unreadable_.empty()) return;
  std::erase_if(files, [&](const WalkedFile& file) REQUIRES(mutex_) {
    return unreadable_.count({folder + file.path, file.identity}) > 0;
  });
}

// A ctime well ahead of our clock is no sign of a change: clocks are set back, and others' may be
// ahead. The clock gives whole seconds, so "more than" makes it at least settle_seconds.
bool RepoCatalog::is_settled(const WalkedFile& file) const {
  if (options_.settle_seconds == 0) return true;
  const auto settle_for = static_cast<UnixSeconds>(options_.settle_seconds);
  const UnixSeconds age = clock_.unix_now() - file.identity.ctime_ns / 1'000'000'000;
  return age > settle_for || age < -settle_for;
}

bool RepoCatalog::settle(const RepoId& repo, std::vector<WalkedFile>& files) {
  std::shared_ptr<const RepoSnapshot> known;
  {
    const MutexLock lock(mutex_);
    known = repos_[repo].snapshot;
  }
  const auto restless = [&](const WalkedFile& file) {
    return !is_settled(file) &&
           !(known && std::binary_search(known->files().begin(), known->files().end(), file));
  };
  if (std::none_of(files.begin(), files.end(), restless)) return true;
  const UnixSeconds now = clock_.unix_now();
  {
    const MutexLock lock(mutex_);
    Record& record = repos_[repo];
    if (!record.restless_since) record.restless_since = now;
    if (now - *record.restless_since < kRestlessSeconds) return false;
  }
  std::erase_if(files, restless);
  return true;
}

Result<GitAttributes> RepoCatalog::read_attributes(const RepoId& repo,
                                                   const std::vector<WalkedFile>& files) const {
  constexpr std::string_view kName = ".gitattributes";
  std::vector<const WalkedFile*> found;
  for (const WalkedFile& file : files) {
    if (file.path == kName || file.path.ends_with("/.gitattributes")) found.push_back(&file);
  }
  // From the root downwards: a path sorts behind those of the directories it is in.
  const auto directory = [&](const WalkedFile* file) {
    const std::size_t size = file->path.size() - kName.size();
    return file->path.substr(0, size == 0 ? 0 : size - 1);
  };
  std::sort(found.begin(), found.end(),
            [&](const WalkedFile* a, const WalkedFile* b) { return directory(a) < directory(b); });
  GitAttributes attributes;
  for (const WalkedFile* file : found) {
    if (file->identity.size > kMaxAttributes) continue;
    const auto fd = root_.open_file(folder_of(repo) + "/" + file->path, file->identity);
    if (!fd) return fd.error();
    const auto text = read_small(fd->get(), kMaxAttributes);
    if (!text) return text.error().within(escape_for_log(file->path));
    attributes.add(directory(file), *text);
  }
  return attributes;
}

Result<std::vector<ContentId>> RepoCatalog::identify(const RepoId& repo,
                                                     const std::vector<WalkedFile>& files,
                                                     std::vector<FileToHash>& to_hash) const {
  const auto attributes = read_attributes(repo, files);
  if (!attributes) return attributes.error();
  const std::set<std::uint64_t> mounted = hubvfs_devices();
  std::vector<ContentId> ids(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    const WalkedFile& file = files[i];
    // The mount's word is asked for each time and never kept: its device number may be another
    // filesystem's tomorrow.
    if (mounted.count(file.identity.device) > 0) {
      const auto fd = root_.open_file(folder_of(repo) + "/" + file.path, file.identity);
      if (!fd) return fd.error();
      if (auto id = mounted_content_id(fd->get(), file.identity.size)) {
        ids[i] = *id;
        continue;
      }
    }
    const bool lfs = file.identity.size >= kLfsSize || attributes->is_lfs(file.path);
    const auto algorithm = lfs ? ContentId::Algorithm::kSha256 : ContentId::Algorithm::kGitSha1;
    const std::string hex = hashes_->find(file.identity, algorithm);
    if (auto id = ContentId::create(algorithm, hex, file.identity.size)) {
      ids[i] = *id;
    } else {
      to_hash.push_back({file, algorithm});
    }
  }
  return ids;
}

}  // namespace hubvfs::hub::server
