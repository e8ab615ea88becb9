// SPDX-License-Identifier: Apache-2.0
// Looking at one repo: what its folders hold now, and which refs that makes.
#include <algorithm>

#include "base/text.h"
#include "hub/server/repo_catalog.h"

namespace hubvfs::hub::server {
namespace {

using std::chrono::seconds;

constexpr Duration kLookInterval = seconds(1);         // for requests
constexpr Duration kBackgroundInterval = seconds(10);  // for repos nobody asks for
constexpr Duration kRetryInterval = seconds(5);
constexpr UnixSeconds kRestlessSeconds = 60;
constexpr std::uint64_t kLfsSize = 10u << 20;
constexpr std::size_t kMaxAttributes = 1u << 20;

std::string label(const std::string& folder) { return "serve: " + escape_for_log(folder); }

}  // namespace

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
  std::set<std::string> names;
  for (const WalkedFolder& walked : walk.folders) names.insert(walked.name);
  const auto main = walk.settings.refs.find(kMainRef);
  if (main != walk.settings.refs.end() && names.count(main->second) == 0) {
    withhold(repo, std::string(kRepoSettingsFile) + ": branch main is the folder \"" +
                       escape_for_log(main->second) + "\", which is not in " + kRevisionsFolder);
    return kBackgroundInterval;
  }
  take_settings(repo, walk.settings);
  Duration again = kBackgroundInterval;
  std::vector<FileToHash> to_hash;
  for (WalkedFolder& walked : walk.folders) {
    const Looked looked{repo, walked.name, folder_of_revision(folder_of(repo), walked.name)};
    again = std::min(again, look_at_folder(looked, std::move(walked), to_hash));
  }
  publish_refs(repo, names);
  await_hashes(repo, std::move(to_hash));
  return again;
}

Duration RepoCatalog::look_at_folder(const Looked& looked, WalkedFolder walked,
                                     std::vector<FileToHash>& to_hash) {
  leave_out_unreadable(looked, walked.files);
  if (is_unchanged(looked, walked)) return kBackgroundInterval;
  if (!settle(looked, walked.files)) return kLookInterval;
  const std::size_t before = to_hash.size();
  const auto ids = identify(looked, walked.files, to_hash);
  if (!ids) {
    log_.warning(label(looked.folder) + ": " + ids.error().context);
    return kRetryInterval;
  }
  if (to_hash.size() == before) {
    publish(looked, RepoSnapshot::make(looked.repo, looked.folder, std::move(walked.files), *ids),
            walked.left_out);
  }
  return kBackgroundInterval;  // the hasher looks when it is done
}

// In any case: a repo made private is private at once, whatever its files still have to wait for.
void RepoCatalog::take_settings(const RepoId& repo, const RepoSettings& settings) {
  const MutexLock lock(mutex_);
  Record& record = repos_[repo];
  record.withheld.clear();
  if (!record.settings || *record.settings != settings) {
    record.settings = std::make_shared<const RepoSettings>(settings);
  }
}

void RepoCatalog::withhold(const RepoId& repo, const std::string& why) {
  {
    const MutexLock lock(mutex_);
    Record& record = repos_[repo];
    record.folders.clear();
    record.revisions.reset();
    record.settings.reset();
    record.to_hash.clear();
    record.bytes_pending = 0;
    if (record.withheld == why) return;
    record.withheld = why;
  }
  log_.error(label(folder_of(repo)) + " is not served to anybody: " + why);
}

bool RepoCatalog::is_unchanged(const Looked& looked, const WalkedFolder& walked) {
  const MutexLock lock(mutex_);
  Folder& folder = repos_[looked.repo].folders[looked.name];
  if (!folder.snapshot || folder.snapshot->files() != walked.files) return false;
  folder.restless_since.reset();
  return true;
}

void RepoCatalog::publish(const Looked& looked, std::shared_ptr<const RepoSnapshot> snapshot,
                          std::size_t left_out) {
  std::string line = label(looked.folder) + " is at " + snapshot->commit() + ", " +
                     std::to_string(snapshot->files().size()) + " files";
  if (left_out > 0) {
    line += "; " + std::to_string(left_out) +
            " left out (special files, names the Hub cannot have, symlinks to elsewhere)";
  }
  {
    const MutexLock lock(mutex_);
    repos_[looked.repo].folders[looked.name] = {std::move(snapshot), {}};
  }
  log_.info(line);
}

void RepoCatalog::publish_refs(const RepoId& repo, const std::set<std::string>& names) {
  std::shared_ptr<const RepoRevisions> before;
  std::shared_ptr<const RepoRevisions> now;
  {
    const MutexLock lock(mutex_);
    Record& record = repos_[repo];
    std::erase_if(record.folders, [&](const auto& entry) { return names.count(entry.first) == 0; });
    RepoRevisions::Folders folders;
    for (const auto& [name, folder] : record.folders) folders.emplace(name, folder.snapshot);
    before = record.revisions;
    now = std::make_shared<const RepoRevisions>(record.settings->refs, folders, before.get());
    record.revisions = now;
  }
  if (now->missing() != (before ? before->missing() : std::vector<std::string>())) {
    for (const std::string& ref : now->missing()) {
      log_.warning(label(folder_of(repo)) + ": there is no " + escape_for_log(ref) +
                   ": its folder is not in " + kRevisionsFolder);
    }
  }
  if (!before) return;
  for (const auto& [ref, snapshot] : now->refs()) {
    const auto old = before->refs().find(ref);
    if (old == before->refs().end() || old->second->commit() == snapshot->commit()) continue;
    log_.info(label(folder_of(repo)) + ": " + escape_for_log(ref) + " moved from " +
              old->second->commit() + " to " + snapshot->commit());
  }
}

void RepoCatalog::leave_out_unreadable(const Looked& looked, std::vector<WalkedFile>& files) {
  const MutexLock lock(mutex_);
  if (unreadable_.empty()) return;
  std::erase_if(files, [&](const WalkedFile& file) REQUIRES(mutex_) {
    return unreadable_.count({looked.folder + "/" + file.path, file.identity}) > 0;
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

bool RepoCatalog::settle(const Looked& looked, std::vector<WalkedFile>& files) {
  std::shared_ptr<const RepoSnapshot> known;
  {
    const MutexLock lock(mutex_);
    known = repos_[looked.repo].folders[looked.name].snapshot;
  }
  const auto restless = [&](const WalkedFile& file) {
    return !is_settled(file) &&
           !(known && std::binary_search(known->files().begin(), known->files().end(), file));
  };
  if (std::none_of(files.begin(), files.end(), restless)) return true;
  const UnixSeconds now = clock_.unix_now();
  {
    const MutexLock lock(mutex_);
    Folder& folder = repos_[looked.repo].folders[looked.name];
    if (!folder.restless_since) folder.restless_since = now;
    if (now - *folder.restless_since < kRestlessSeconds) return false;
  }
  std::erase_if(files, restless);
  return true;
}

Result<GitAttributes> RepoCatalog::read_attributes(const Looked& looked,
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
    const auto fd = root_.open_file(looked.folder + "/" + file->path, file->identity);
    if (!fd) return fd.error();
    const auto text = read_small(fd->get(), kMaxAttributes);
    if (!text) return text.error().within(escape_for_log(file->path));
    attributes.add(directory(file), *text);
  }
  return attributes;
}

Result<std::vector<ContentId>> RepoCatalog::identify(const Looked& looked,
                                                     const std::vector<WalkedFile>& files,
                                                     std::vector<FileToHash>& to_hash) const {
  const auto attributes = read_attributes(looked, files);
  if (!attributes) return attributes.error();
  const std::set<std::uint64_t> mounted = hubvfs_devices();
  std::vector<ContentId> ids(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    const WalkedFile& file = files[i];
    // The mount's word is asked for each time and never kept: its device number may be another
    // filesystem's tomorrow.
    if (mounted.count(file.identity.device) > 0) {
      const auto fd = root_.open_file(looked.folder + "/" + file.path, file.identity);
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
      to_hash.push_back({{looked.folder + "/" + file.path, file.identity}, algorithm});
    }
  }
  return ids;
}

}  // namespace hubvfs::hub::server
