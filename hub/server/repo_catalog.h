// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "hub/server/git_attributes.h"
#include "hub/server/hash_cache.h"
#include "hub/server/hub_server.h"
#include "hub/server/repo_revisions.h"
#include "hub/server/repo_settings.h"
#include "hub/server/repo_snapshot.h"
#include "hub/server/repo_walk.h"

namespace hubvfs::hub::server {

// A repo as it may be answered for now.
struct ServedRepo {
  std::shared_ptr<const RepoRevisions> revisions;  // main is there
  std::shared_ptr<const RepoSettings> settings;
};

// The repos beneath the served root, and the commits of each.
//
// Two threads of its own: one looks for new, changed and gone repos, one hashes. A request for a
// repo not looked at within the last second looks itself, so that an answer is never older than
// that, but for the time that changed files take to settle and to be hashed: until then the commit
// before stays. A repo whose settings file is wrong, or whose main is a folder that is not there,
// is withheld from everybody; another ref whose folder is not there is none.
// Thread-safe. Lock rank 31; not held across disk.
class RepoCatalog {
 public:
  struct Options {
    std::string root;
    std::string state_dir;  // "" keeps no hashes
    std::uint64_t settle_seconds = 2;
  };
  static Result<std::unique_ptr<RepoCatalog>> open(const Options& options, Logger& log,
                                                   const Clock& clock);
  ~RepoCatalog();
  RepoCatalog(const RepoCatalog&) = delete;
  RepoCatalog& operator=(const RepoCatalog&) = delete;

  // None: no such repo, withheld, or not hashed yet.
  std::optional<ServedRepo> find(const RepoId& repo) EXCLUDES(mutex_);
  // The repo that `repo` is another name of: an alias of it, or its name in another letter case.
  std::optional<RepoId> canonical(const RepoId& repo) const EXCLUDES(mutex_);
  // All of a type that are ready, by name.
  std::vector<ServedRepo> list(RepoType type) EXCLUDES(mutex_);

  // The content of `entry`, a file of `snapshot`, from whatever folder holds that commit. kStale:
  // none does any more; the repo is then looked at again soon.
  Result<UniqueFd> open_content(const RepoSnapshot& snapshot, const SnapshotEntry& entry)
      EXCLUDES(mutex_);

  HubServer::Progress progress() const EXCLUDES(mutex_);

 private:
  static constexpr Duration kDiscoverInterval = std::chrono::seconds(5);
  struct FileToHash {
    WalkedFile file;  // its path is from the root
    ContentId::Algorithm algorithm;
    bool operator==(const FileToHash&) const = default;
  };
  struct Folder {
    std::shared_ptr<const RepoSnapshot> snapshot;  // none: not hashed yet
    std::optional<UnixSeconds> restless_since;     // files kept changing from then on
  };
  struct Record {
    std::map<std::string, Folder> folders;  // by name in kRevisionsFolder, "" is the repo's own
    std::shared_ptr<const RepoRevisions> revisions;  // none: not looked at yet
    std::shared_ptr<const RepoSettings> settings;
    TimePoint look_after;  // a request before this is answered from what is known
    TimePoint background_look_after;
    bool looking = false;             // one thread at a time looks at a repo
    bool look_again = false;          // what that look saw is out of date already
    std::vector<FileToHash> to_hash;  // of the state seen last, largest first
    std::uint64_t bytes_pending = 0;  // in them and in the file being hashed
    std::string withheld;             // why; "" when it is not
    bool is_served() const { return withheld.empty() && revisions && revisions->main(); }
    bool is_ready() const { return is_served() && bytes_pending == 0 && to_hash.empty(); }
  };
  // A folder of a repo under a look.
  struct Looked {
    const RepoId& repo;
    std::string name;    // in kRevisionsFolder, or ""
    std::string folder;  // from the root
  };

  RepoCatalog(ServedRoot root, std::unique_ptr<HashCache> hashes, const Options& options,
              Logger& log, const Clock& clock);

  // By the looker, or by a request that comes first; after the look that is under way, if any.
  void look_soon(Record& record) REQUIRES(mutex_);
  class LookEnd;
  // Looks at the repo's folders now and publishes what can be. The caller has set `looking`.
  void look(const RepoId& repo) EXCLUDES(mutex_);
  // These return how long to wait before the next look in the background.
  Duration look_at_walk(const RepoId& repo, RepoWalk walk) EXCLUDES(mutex_);
  Duration look_at_folder(const Looked& looked, WalkedFolder walked,
                          std::vector<FileToHash>& to_hash) EXCLUDES(mutex_);
  void take_settings(const RepoId& repo, const RepoSettings& settings) EXCLUDES(mutex_);
  void withhold(const RepoId& repo, const std::string& why) EXCLUDES(mutex_);
  bool is_unchanged(const Looked& looked, const WalkedFolder& walked) EXCLUDES(mutex_);
  void publish(const Looked& looked, std::shared_ptr<const RepoSnapshot> snapshot,
               std::size_t left_out) EXCLUDES(mutex_);
  // From what the folders hold now; those that are not among `names` are gone.
  void publish_refs(const RepoId& repo, const std::set<std::string>& names) EXCLUDES(mutex_);
  void await_hashes(const RepoId& repo, std::vector<FileToHash> to_hash) EXCLUDES(mutex_);
  void leave_out_unreadable(const Looked& looked, std::vector<WalkedFile>& files) EXCLUDES(mutex_);
  // False: wait, files still change. When that has lasted too long they are taken out instead.
  bool settle(const Looked& looked, std::vector<WalkedFile>& files) EXCLUDES(mutex_);
  bool is_settled(const WalkedFile& file) const;
  // The ids of all files; those still to be found out are listed in `to_hash` as well.
  Result<std::vector<ContentId>> identify(const Looked& looked,
                                          const std::vector<WalkedFile>& files,
                                          std::vector<FileToHash>& to_hash) const;
  Result<GitAttributes> read_attributes(const Looked& looked,
                                        const std::vector<WalkedFile>& files) const;

  void discover() EXCLUDES(mutex_);
  void discover_type(RepoType type, std::set<RepoId>& found) const;
  void look_at_due() EXCLUDES(mutex_);
  void run_looker() EXCLUDES(mutex_);
  void run_hasher() EXCLUDES(mutex_);
  struct HashJob {
    RepoId repo;
    FileToHash file;
  };
  std::optional<HashJob> next_job() EXCLUDES(mutex_);
  void run_job(const HashJob& job) EXCLUDES(mutex_);
  Result<std::string> hash_file(const HashJob& job) EXCLUDES(mutex_);
  bool count_hashed(const RepoId& repo, std::uint64_t bytes) EXCLUDES(mutex_);

  const ServedRoot root_;
  const std::unique_ptr<HashCache> hashes_;
  const Options options_;
  Logger& log_;
  const Clock& clock_;

  mutable Mutex mutex_;  // Lock rank 31
  CondVar wake_looker_;
  CondVar wake_hasher_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::map<RepoId, Record> repos_ GUARDED_BY(mutex_);
  std::set<WalkedFile> unreadable_ GUARDED_BY(mutex_);  // paths from the root
  bool look_now_ GUARDED_BY(mutex_) = false;  // the looker has something to do before it naps
  TimePoint discover_after_ GUARDED_BY(mutex_);
  bool discovering_ GUARDED_BY(mutex_) = false;
  std::uint64_t bytes_hashed_ GUARDED_BY(mutex_) = 0;
  std::optional<HashJob> hashing_ GUARDED_BY(mutex_);  // under way
  std::uint64_t hashing_done_ GUARDED_BY(mutex_) = 0;  // bytes of it

  std::thread looker_;
  std::thread hasher_;
};

// Whether a repo of that id can be served at all: ORG/NAME, and reachable by the Hub's routes.
bool is_servable(const RepoId& repo);

// The repo's folder beneath the root: "ORG/NAME", "datasets/ORG/NAME".
std::string folder_of(const RepoId& repo);

}  // namespace hubvfs::hub::server
