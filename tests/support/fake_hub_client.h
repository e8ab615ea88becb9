// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "hub/hub_client.h"

namespace hubvfs {

// The id the Hub gives this content: SHA-256 for an LFS file, git's blob id for another.
ContentId content_id_of(const std::string& content, bool lfs);

// One fetch that reached the fake, as asked.
struct FakeFetch {
  std::string path;
  ByteRange range;
  hub::Priority priority = hub::Priority::kDemand;
  bool hedged = true;
};

// Calls that reached the fake; those refused for a bad name or for being offline are not counted.
struct FakeCounts {
  std::uint64_t info = 0;
  std::uint64_t refs = 0;
  std::uint64_t tree = 0;        // list_tree calls
  std::uint64_t tree_pages = 0;  // pages given
  std::uint64_t lists = 0;       // list_repos calls
  std::uint64_t crawls = 0;      // calls for metadata that count as a crawl's
  std::uint64_t fetches = 0;
  std::uint64_t cancels = 0;  // of fetches not yet answered
  std::uint64_t bytes = 0;    // given to on_bytes
  std::uint64_t metadata() const { return info + refs + tree + lists; }
};

// A Hub in memory that behaves: commits, branches, tags, paging, gates, renames. Its callbacks run
// on its own thread, as the contract says. Thread-safe; switches act on calls not yet answered.
class FakeHubClient final : public hub::HubClient {
 public:
  struct File {
    std::string content;
    bool lfs = false;
  };
  using Files = std::map<std::string, File>;  // by path

  FakeHubClient();
  ~FakeHubClient() override;

  // --- what the Hub holds ---
  // Makes the repo if need be, and the commit (its id is a hash of the files and of how many
  // commits came before). The branch then names it. Gives the commit's id.
  std::string commit(const hub::RepoId& repo, const Files& files,
                     const std::string& branch = "main") EXCLUDES(mutex_);
  // A branch ("dev"), tag ("refs/tags/v1"), pull request ("refs/pr/1") or convert ref.
  void set_ref(const hub::RepoId& repo, const std::string& ref, const std::string& commit)
      EXCLUDES(mutex_);
  void set_private(const hub::RepoId& repo, bool is_private) EXCLUDES(mutex_);
  // Gated and not granted: ids of LFS files are masked, fetches say kGated but for README.md and
  // LICENSE* at the root.
  void set_gate(const hub::RepoId& repo, hub::Gate gate, bool granted) EXCLUDES(mutex_);
  // Not visible: kNotFound, as if it did not exist.
  void set_visible(const hub::RepoId& repo, bool visible) EXCLUDES(mutex_);
  // The old id goes on working; repo_info answers with the new one.
  void rename(const hub::RepoId& from, const std::string& to) EXCLUDES(mutex_);
  // What a FileRef for this path looks like. Aborts when there is no such file.
  hub::FileRef file(const hub::RepoId& repo, const std::string& commit, const std::string& path)
      EXCLUDES(mutex_);
  void set_page_size(std::size_t entries) EXCLUDES(mutex_);
  void set_piece_size(std::size_t bytes) EXCLUDES(mutex_);  // most bytes of one on_bytes call

  // --- what goes wrong ---
  void set_offline(bool offline) EXCLUDES(mutex_);
  // While held, calls wait (whatever their deadline) until released, cancelled or destroyed.
  void hold_fetches(bool hold) EXCLUDES(mutex_);
  void hold_metadata(bool hold) EXCLUDES(mutex_);
  void hold_crawls(bool hold) EXCLUDES(mutex_);  // until they are raised, too
  // Lets the most urgent held fetch go; false when none is held.
  bool release_one_fetch() EXCLUDES(mutex_);
  // The next `count` fetches end with `error` after `after_bytes` of their bytes.
  void fail_fetches(int count, const Error& error, std::uint64_t after_bytes = 0) EXCLUDES(mutex_);
  void fail_metadata(int count, const Error& error) EXCLUDES(mutex_);
  // The next `count` fetches of this path give bytes of which the first is wrong.
  void corrupt_fetches(const std::string& path, int count) EXCLUDES(mutex_);

  void set_advice(const hub::FetchAdvice& advice) EXCLUDES(mutex_);

  // As a login does: whoever asked to be told is told.
  void change_token() EXCLUDES(mutex_);

  // --- what was asked ---
  FakeCounts counts() EXCLUDES(mutex_);
  std::vector<FakeFetch> fetches() EXCLUDES(mutex_);  // in order of arrival
  std::size_t held_fetches() EXCLUDES(mutex_);
  // Waits until at least `count` fetches have reached the fake (10 s at most: then false).
  bool await_fetches(std::uint64_t count) EXCLUDES(mutex_);

  // --- HubClient ---
  void repo_info(const hub::RepoId& repo, const std::string& revision, hub::Terms terms,
                 hub::Done<hub::RepoInfo> done) override;
  void list_refs(const hub::RepoId& repo, hub::Terms terms, hub::Done<hub::RepoRefs> done) override;
  void list_tree(const hub::RepoId& repo, const std::string& commit, const std::string& directory,
                 bool recursive, hub::Terms terms,
                 std::function<bool(std::vector<hub::TreeEntry>)> on_page,
                 hub::Done<bool> done) override;
  void list_repos(hub::RepoType type, const std::string& owner, const std::string& next,
                  hub::Terms terms, hub::Done<hub::RepoPage> done) override;
  void raise(const hub::CrawlPtr& crawl) override EXCLUDES(mutex_);
  hub::FetchId fetch(hub::FetchRequest request) override;
  void cancel(hub::FetchId id) override;
  void raise_priority(hub::FetchId id, hub::Priority priority) override;
  void on_token_change(std::function<void()> changed) override EXCLUDES(mutex_);
  hub::FetchAdvice advice() const override EXCLUDES(mutex_);
  hub::HubStats stats() const override;

 private:
  struct Commit {
    Files files;
  };
  struct Repo {
    std::map<std::string, Commit> commits;
    std::map<std::string, std::string> refs;  // "refs/heads/main" to commit
    bool is_private = false;
    bool visible = true;
    hub::Gate gate = hub::Gate::kNone;
    bool granted = true;
  };
  struct PendingFetch {
    hub::FetchId id = 0;
    hub::FetchRequest request;
    bool released = false;
  };
  // A metadata call: `run` takes the failure to answer with, or none to answer truly.
  using Metadata = std::function<void(std::optional<Error>)>;
  struct PendingMetadata {
    Metadata run;
    hub::CrawlPtr crawl;
  };

  void serve();
  // What to run next, without the lock; empty when there is nothing.
  std::function<void()> next_answer() REQUIRES(mutex_);
  std::deque<PendingFetch>::iterator next_fetch() REQUIRES(mutex_);
  std::deque<PendingMetadata>::iterator next_metadata() REQUIRES(mutex_);
  std::optional<Error> metadata_failure() REQUIRES(mutex_);
  void answer_fetch(const PendingFetch& fetch) EXCLUDES(mutex_);
  void queue_metadata(const hub::Terms& terms, Metadata run) EXCLUDES(mutex_);
  const Repo* find(const hub::RepoId& repo, hub::RepoId& canonical) const REQUIRES(mutex_);
  Result<const Commit*> find_commit(const hub::RepoId& repo, const std::string& commit) const
      REQUIRES(mutex_);
  Result<hub::RepoInfo> info_now(const hub::RepoId& repo, const std::string& revision)
      EXCLUDES(mutex_);
  Result<hub::RepoRefs> refs_now(const hub::RepoId& repo) EXCLUDES(mutex_);
  Result<std::vector<hub::TreeEntry>> tree_now(const hub::RepoId& repo, const std::string& commit,
                                               const std::string& directory, bool recursive)
      EXCLUDES(mutex_);
  Result<hub::RepoPage> list_now(hub::RepoType type, const std::string& owner,
                                 const std::string& next) EXCLUDES(mutex_);
  Result<std::string> content_now(const hub::FetchRequest& request) EXCLUDES(mutex_);
  Result<void> give_pages(std::vector<hub::TreeEntry> entries,
                          const std::function<bool(std::vector<hub::TreeEntry>)>& on_page,
                          bool& stopped) EXCLUDES(mutex_);

  mutable Mutex mutex_;  // lock rank: leaf; never held in a callback
  CondVar changed_;
  std::map<hub::RepoId, Repo> repos_ GUARDED_BY(mutex_);
  std::map<hub::RepoId, std::string> renames_ GUARDED_BY(mutex_);
  std::deque<PendingMetadata> metadata_ GUARDED_BY(mutex_);
  std::function<void()> on_token_change_ GUARDED_BY(mutex_);
  std::deque<PendingFetch> pending_ GUARDED_BY(mutex_);
  std::deque<std::function<void(Result<void>)>> cancelled_ GUARDED_BY(mutex_);
  std::deque<std::function<void()>> token_news_ GUARDED_BY(mutex_);
  std::vector<FakeFetch> log_ GUARDED_BY(mutex_);
  std::map<std::string, int> corrupt_ GUARDED_BY(mutex_);
  FakeCounts counts_ GUARDED_BY(mutex_);
  std::size_t page_size_ GUARDED_BY(mutex_) = 1000;
  std::size_t piece_size_ GUARDED_BY(mutex_) = 64 << 10;
  hub::FetchAdvice advice_ GUARDED_BY(mutex_);
  bool offline_ GUARDED_BY(mutex_) = false;
  bool hold_fetches_ GUARDED_BY(mutex_) = false;
  bool hold_metadata_ GUARDED_BY(mutex_) = false;
  bool hold_crawls_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  int failing_fetches_ GUARDED_BY(mutex_) = 0;
  Error fetch_error_ GUARDED_BY(mutex_);
  std::uint64_t fail_after_ GUARDED_BY(mutex_) = 0;
  int failing_metadata_ GUARDED_BY(mutex_) = 0;
  Error metadata_error_ GUARDED_BY(mutex_);
  hub::FetchId next_id_ GUARDED_BY(mutex_) = 1;
  std::uint64_t commits_made_ GUARDED_BY(mutex_) = 0;
  std::uint64_t failures_ GUARDED_BY(mutex_) = 0;
  std::string last_failure_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace hubvfs
