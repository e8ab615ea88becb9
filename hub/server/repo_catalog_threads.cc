// SPDX-License-Identifier: Apache-2.0
// The catalog's own threads: looking for changes, hashing.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <tuple>

#include "base/digest.h"
#include "base/text.h"
#include "hub/names.h"
#include "hub/server/repo_catalog.h"

namespace hubvfs::hub::server {
namespace {

constexpr Duration kLookerNap = std::chrono::milliseconds(500);
constexpr std::size_t kReadSize = 1u << 20;

}  // namespace

void RepoCatalog::discover_type(RepoType type, std::set<RepoId>& found) const {
  std::string top = route_prefix(type);
  if (!top.empty()) top.pop_back();
  const auto owners = root_.directories(top);
  if (!owners) return;
  if (!top.empty()) top += '/';
  for (const std::string& owner : *owners) {
    if (!is_repo_name_part(owner)) continue;
    const auto names = root_.directories(std::string(top).append(owner));
    if (!names) continue;
    for (const std::string& name : *names) {
      const RepoId repo{type, std::string(owner).append("/").append(name)};
      if (is_servable(repo)) found.insert(repo);
    }
  }
}

void RepoCatalog::discover() {
  {
    const MutexLock lock(mutex_);
    if (discovering_) return;
    discovering_ = true;
  }
  std::set<RepoId> found;
  for (RepoType type : {RepoType::kModel, RepoType::kDataset, RepoType::kSpace}) {
    discover_type(type, found);
  }
  std::vector<RepoId> missing;
  {
    const MutexLock lock(mutex_);
    for (const auto& [repo, record] : repos_) {
      if (found.count(repo) == 0 && !record.looking) missing.push_back(repo);
    }
  }
  // A folder may exist and not be listed: a hubvfs mount shows repos when they are asked for.
  std::erase_if(missing, [&](const RepoId& repo) { return root_.is_directory(folder_of(repo)); });
  const MutexLock lock(mutex_);
  for (const RepoId& repo : missing) {
    const auto gone = repos_.find(repo);
    if (gone != repos_.end() && !gone->second.looking) repos_.erase(gone);
  }
  for (const RepoId& repo : found) repos_.try_emplace(repo);
  discover_after_ = clock_.now() + kDiscoverInterval;
  discovering_ = false;
  look_now_ = true;
  wake_looker_.notify_all();
}

void RepoCatalog::look_at_due() {
  std::vector<RepoId> due;
  {
    const MutexLock lock(mutex_);
    const TimePoint now = clock_.now();
    for (const auto& [repo, record] : repos_) {
      if (!record.looking && now >= record.background_look_after) due.push_back(repo);
    }
  }
  for (const RepoId& repo : due) {
    {
      const MutexLock lock(mutex_);
      const auto found = repos_.find(repo);
      if (stop_) return;
      if (found == repos_.end() || found->second.looking) continue;
      found->second.looking = true;
    }
    look(repo);
  }
}

void RepoCatalog::run_looker() {
  for (;;) {
    bool discover_now = false;
    {
      const MutexLock lock(mutex_);
      if (stop_) return;
      look_now_ = false;
      discover_now = clock_.now() >= discover_after_;
    }
    try {
      if (discover_now) discover();
      look_at_due();
    } catch (const std::exception& e) {
      log_.error(std::string("serve: looking for changes: ") + e.what());
    }
    const MutexLock lock(mutex_);
    if (!stop_ && !look_now_) wake_looker_.wait_for(mutex_, kLookerNap);
  }
}

void RepoCatalog::await_hashes(const RepoId& repo, std::vector<FileToHash> to_hash) {
  // Taken from the back: small files first. A file that several revisions hold is one.
  const auto key = [](const FileToHash& wanted) {
    return std::make_tuple(wanted.file.identity.size, wanted.file.identity, wanted.algorithm);
  };
  std::sort(to_hash.begin(), to_hash.end(),
            [&](const FileToHash& a, const FileToHash& b) { return key(a) > key(b); });
  to_hash.erase(std::unique(to_hash.begin(), to_hash.end(),
                            [&](const auto& a, const auto& b) { return key(a) == key(b); }),
                to_hash.end());
  const MutexLock lock(mutex_);
  Record& record = repos_[repo];
  record.to_hash = std::move(to_hash);
  record.bytes_pending = 0;
  for (const FileToHash& wanted : record.to_hash) {
    record.bytes_pending += wanted.file.identity.size;
  }
  // What is being hashed is not queued a second time; when it is done the hasher looks.
  const auto is_under_way = [&](const FileToHash& wanted)
                                REQUIRES(mutex_) { return key(wanted) == key(hashing_->file); };
  if (hashing_ && hashing_->repo == repo && std::erase_if(record.to_hash, is_under_way) > 0) {
    record.bytes_pending -= std::min(record.bytes_pending, hashing_done_);
  }
  wake_hasher_.notify_all();
}

// A file of the repo with the least left to hash: small repos do not wait for large ones.
std::optional<RepoCatalog::HashJob> RepoCatalog::next_job() {
  const MutexLock lock(mutex_);
  for (;;) {
    if (stop_) return {};
    auto least = repos_.end();
    for (auto it = repos_.begin(); it != repos_.end(); ++it) {
      if (it->second.to_hash.empty()) continue;
      if (least == repos_.end() || it->second.bytes_pending < least->second.bytes_pending) {
        least = it;
      }
    }
    if (least != repos_.end()) {
      hashing_ = HashJob{least->first, std::move(least->second.to_hash.back())};
      hashing_done_ = 0;
      least->second.to_hash.pop_back();
      return hashing_;
    }
    wake_hasher_.wait(mutex_);
  }
}

void RepoCatalog::run_hasher() {
  while (auto job = next_job()) {
    try {
      run_job(*job);
    } catch (const std::exception& e) {
      log_.error(std::string("serve: hashing: ") + e.what());
    }
  }
}

void RepoCatalog::run_job(const HashJob& job) {
  const FileIdentity& identity = job.file.file.identity;
  if (hashes_->find(identity, job.file.algorithm).empty()) {
    const auto hex = hash_file(job);
    if (hex) {
      hashes_->add(identity, job.file.algorithm, *hex);
    } else if (hex.error().code == ErrorCode::kCancelled) {
      return;
    } else if (hex.error().code == ErrorCode::kPermissionDenied) {
      log_.warning("serve: " + hex.error().context + "; the file is left out");
      const MutexLock lock(mutex_);
      unreadable_.insert(job.file.file);
    } else {
      log_.warning("serve: " + hex.error().context);
    }
  }
  bool look_now = false;
  {
    const MutexLock lock(mutex_);
    hashing_.reset();
    const auto found = repos_.find(job.repo);
    if (found == repos_.end() || !found->second.to_hash.empty()) return;
    found->second.bytes_pending = 0;
    look_now = !found->second.looking;
    if (look_now) {
      found->second.looking = true;
    } else {
      look_soon(found->second);  // that look may have begun too early
    }
  }
  if (look_now) look(job.repo);
  const HubServer::Progress all = progress();
  if (all.repos_ready == all.repos_found) hashes_->compact();  // each hash in use was asked for
}

Result<std::string> RepoCatalog::hash_file(const HashJob& job) {
  const FileIdentity& identity = job.file.file.identity;
  const std::string& path = job.file.file.path;
  const auto fd = root_.open_file(path, identity);
  if (!fd) return fd.error();
  ::posix_fadvise(fd->get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Digest digest = Digest::sha256();
  if (job.file.algorithm == ContentId::Algorithm::kGitSha1) {
    const std::string header = "blob " + std::to_string(identity.size);
    digest = Digest::sha1();
    digest.update(as_bytes({header.c_str(), header.size() + 1}));  // with its NUL
  }
  std::vector<std::byte> buffer(std::min<std::uint64_t>(kReadSize, identity.size + 1));
  std::uint64_t total = 0;
  for (;;) {
    const ssize_t got = ::read(fd->get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, escape_for_log(path));
    if (got == 0) break;
    digest.update({buffer.data(), static_cast<std::size_t>(got)});
    total += static_cast<std::uint64_t>(got);
    if (!count_hashed(job.repo, static_cast<std::uint64_t>(got))) {
      return {ErrorCode::kCancelled, "stopping"};
    }
  }
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0 || identity_of(status) != identity ||
      total != identity.size) {
    return {ErrorCode::kStale, escape_for_log(path) + " changed while it was hashed"};
  }
  return digest.finish_hex();
}

// False when the catalog is stopping.
bool RepoCatalog::count_hashed(const RepoId& repo, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  bytes_hashed_ += bytes;
  hashing_done_ += bytes;
  const auto found = repos_.find(repo);
  if (found != repos_.end()) {
    found->second.bytes_pending -= std::min(found->second.bytes_pending, bytes);
  }
  return !stop_;
}

}  // namespace hubvfs::hub::server
