// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/failure_log.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cache/meta_store.h"
#include "fs/coalescer.h"
#include "fs/name_table.h"
#include "fs/place.h"
#include "fs/snapshot.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

struct CatalogOptions {
  hub::RepoType type = hub::RepoType::kModel;
  std::string endpoint;  // as configured, without trailing '/': part of every metadata key
  // Where its own records are, and private and gated content: "u<uid>". With "public" it is shared:
  // repos that the Hub calls private or gated are refused.
  cache::Namespace own = "public";
  bool offline = false;
  Duration metadata_ttl = std::chrono::minutes(5);
  Duration metadata_settle = std::chrono::seconds(60);  // without an open, before a branch moves
  Duration metadata_deadline = std::chrono::seconds(30);
  // Entries that are listed in one call; what has more is listed a directory at a time. Must stay
  // as it is: a commit's numbers depend on it.
  std::size_t most_at_once = 20'000;
};

// A commit at a place: what a serial stands for. Immutable.
struct Placed {
  std::uint32_t serial = 0;
  Place place;
  hub::RepoInfo info;      // canonical id, commit, dates, gate
  cache::Namespace space;  // "public", or "u<uid>" for a private or gated repo
  // Its listing was made from such of its files as somebody had, the Hub being out of reach. As
  // soon as that answers, the place shows the same commit with its whole listing, and another
  // serial: numbers of one are not those of the other.
  bool partial = false;
  // Of a commit that is listed a directory at a time each directory has a listing, and a serial for
  // what is in it; it is itself an entry of its parent's. Null: the commit's root.
  std::shared_ptr<const Placed> parent;
  std::uint32_t entry = 0;  // in the parent's listing
  std::string directory;    // from the repo root; "" of that

  const Placed& root() const { return parent ? parent->root() : *this; }
};
using PlacedPtr = std::shared_ptr<const Placed>;
using SnapshotPtr = std::shared_ptr<const Snapshot>;

// Somebody who has shown places to a kernel.
class PlaceListener {
 public:
  virtual ~PlaceListener() = default;
  // `place` showed `before`; it shows another commit from now on, or is no longer to be seen. Null:
  // it was said not to be there, or not to be had, and may be now. Called with no lock held; must
  // not block.
  virtual void place_changed(hub::RepoType type, const Place& place, const PlacedPtr& before) = 0;
  // How much is here of a file's content changes: it begins to come, or came beside the readers.
  // Called as that.
  virtual void content_changed(hub::RepoType type, std::uint32_t serial, std::uint32_t entry) = 0;
};

// What is known of the Hub's names: which commit a place shows, and the listing of each commit.
//
// Everything learnt is kept in the MetaStore and served from there for good: the Hub is asked for
// what was never known, and once every metadata.ttl whether a branch moved, beside the caller
// (design, section 3). One for each type and namespace, however many mounts show it: two would give
// the same serials and numbers twice. Thread-safe; callbacks run on the calling thread where the
// answer is known, else on the Hub client's, with no lock held. No call blocks.
class Catalog {
 public:
  template <typename T>
  using Done = std::function<void(const Result<T>&)>;

  // `hub` and `meta` must outlive every callback of `hub`.
  static Result<std::shared_ptr<Catalog>> create(const CatalogOptions& options, hub::HubClient& hub,
                                                 cache::MetaStore& meta, Logger& log,
                                                 std::shared_ptr<FailureLog> failures,
                                                 const Clock& clock);

  NameTable& names() { return *names_; }
  hub::RepoType type() const { return options_.type; }
  bool shared() const { return options_.own == "public"; }

  // Told of every place that changes, for as long as it lives.
  void add_listener(std::weak_ptr<PlaceListener> listener);

  // The commit a place shows now, if it was ever resolved; may start a check of the branch, as a
  // crawl's if nobody opened a file of the place.
  PlacedPtr known(const Place& place);
  // The same without a check.
  PlacedPtr shown(const Place& place) const;
  // How long until known() would check it; zero: now, or it is not known.
  Duration check_due_in(const Place& place) const;
  // As known(); and a commit by its id, where any place has shown it.
  PlacedPtr at_hand(const Place& place);
  // The same, asking the Hub where needed. kNotFound, and where shared that a repo is private or
  // gated, are remembered for metadata.ttl, other denials for 10 s; else the errors of
  // HubClient::repo_info. Where the id was renamed: success with none, and `renamed` tells the
  // canonical id.
  struct Resolved {
    PlacedPtr placed;
    std::string renamed;
  };
  void resolve(const Place& place, Done<Resolved> done, Purpose purpose = Purpose::kDemand);
  // The entry in names() of a place that resolve() found to be called `canonical` now: a symlink.
  // Errors: it cannot be written.
  Result<NameTable::Name> link_renamed(const Place& place, const std::string& canonical);
  // The same of the newest commit, for which the Hub is asked now: that is at the place from the
  // moment it is settled. What is known, where the Hub cannot be reached.
  void refresh(const Place& place, Done<Resolved> done);
  // Takes a commit and its listing, or what is known of that, from elsewhere than the Hub. A
  // listing that is known already stays. The place shows the commit if it showed none or an older
  // one, as soon as that is settled; with part of a listing only if it showed none. Errors: the
  // metadata cannot be written.
  enum class Listing { kWhole, kPartial };
  Result<PlacedPtr> learn(const Place& place, const hub::RepoInfo& info, const Snapshot& listing,
                          Listing kind);
  // What was remembered of its refusal is asked again.
  void forget_refusal(const Place& place);
  // The user has another token: what was denied, or hidden, is asked again, and kernels are told.
  void forget_denials();
  // None: never given, or its record is lost.
  PlacedPtr placed(std::uint32_t serial) const;
  // A file of it was opened: its place stays on this commit for a while (metadata.settle).
  void note_open(const Placed& placed);
  // Tells every listener: of a file of which nothing was here kernels keep name and attributes.
  void note_content_changed(std::uint32_t serial, std::uint32_t entry);
  // The same of the file at this path in the commit, where a kernel may know it.
  void note_content_changed(const PlacedPtr& placed, const std::string& path);

  // The listing of a commit, or of its root alone (Snapshot::is_one_directory) where it is too
  // large, or of a folder(). A masked one is asked again when it is older than 10 s and
  // `want_unmasked`. Where a file of its place was opened, nobody who lists it crawls.
  void snapshot(const PlacedPtr& placed, bool want_unmasked, Done<SnapshotPtr> done,
                Purpose purpose = Purpose::kDemand);
  // The same without a question, from memory or the store; null when it was never listed.
  SnapshotPtr stored_snapshot(const PlacedPtr& placed);
  // What stands for a directory that `listing`, which is that of `placed` and of one directory,
  // names as `entry`. Errors: out of serials.
  Result<PlacedPtr> folder(const PlacedPtr& placed, const Snapshot& listing, std::uint32_t entry);
  // All files of a commit, however many, asked for in one listing; what it tells of each directory
  // is kept. Its numbers are not those of nodes. `stored_whole`: null where some were never listed.
  void whole_listing(const PlacedPtr& placed, Done<SnapshotPtr> done);
  SnapshotPtr stored_whole(const PlacedPtr& placed);
  // The commits of a repo that any place has shown, each once.
  std::vector<std::string> commits_of(const std::string& repo) const;

  // Fills the name table with the root's owners, or with an owner's repos. Answers at once when
  // that was ever done (and does it again beside, when older than its ttl); an error only if
  // nothing is known. An owner is asked for as a crawl's; the root, ten requests a day at most, is
  // not: a mount is usable when that is answered.
  void list_root(Done<bool> done);
  void list_owner(const NameTable::Name& owner, Done<bool> done);
  // A name at the root that is not in the table: makes it an owner, a symlink or a legacy repo's
  // entry, or says kNotFound (remembered for metadata.ttl).
  void find_root_name(const std::string& name, Done<NameTable::Name> done);

  // Whether all its repos were ever listed, so that an absent name is known to be absent.
  bool was_listed(const std::string& owner) const;

  // How long the kernel may keep an absent name that was learnt from the Hub; zero: not at all.
  Duration absent_for(const std::string& text) const;
  // Everybody who waits gets kCancelled; callbacks that come later do nothing.
  void close();

 private:
  struct Branch {  // what a place shows
    PlacedPtr placed;
    UnixSeconds checked = 0;
    bool checking = false;
    hub::CrawlPtr crawl;  // of that check, which is to be raised when a file is opened
    std::optional<hub::RepoInfo> moved;  // the newer commit, not yet shown
    TimePoint moved_at;
    TimePoint last_open;
  };
  struct Listed {  // a snapshot in memory
    SnapshotPtr snapshot;
    std::optional<TimePoint> asked;  // none: with another token, or by an earlier worker
    std::list<std::uint32_t>::iterator used;
  };

  struct Refusal {
    Place place;
    Error error;
    TimePoint until;
  };

  Catalog(const CatalogOptions& options, hub::HubClient& hub, cache::MetaStore& meta, Logger& log,
          std::shared_ptr<FailureLog> failures, const Clock& clock);
  Result<void> load(const std::shared_ptr<Catalog>& self);
  std::string key(std::string_view kind, std::string_view rest) const;
  cache::Namespace space_of(const hub::RepoInfo& info) const;
  std::optional<Error> refused_by_kind(const hub::RepoInfo& info) const;

  PlacedPtr known_commit(const Place& place) const;
  // None: it is being asked already. Else the caller must ask it, on these terms, and finish it.
  template <typename T>
  std::optional<hub::Terms> join(Coalescer<T>& questions, const std::string& question,
                                 Purpose purpose, Done<T> done) {
    const auto joined = questions.join(question, purpose, std::move(done));
    if (joined.first) return terms(joined.crawl);
    if (joined.crawl) hub_.raise(joined.crawl);
    return {};
  }
  hub::Terms terms(const hub::CrawlPtr& crawl = nullptr) const;

  void ask(const Place& place, const hub::Terms& terms);
  Result<Resolved> take_answer(const Place& place, std::uint64_t denials_forgotten,
                               const Result<hub::RepoInfo>& answer);
  Result<PlacedPtr> place_commit(const Place& place, const hub::RepoInfo& info,
                                 bool partial = false);
  void show(const Place& place, const PlacedPtr& placed);
  void check(const Place& place, const PlacedPtr& shown, const hub::CrawlPtr& crawl);
  void take_check(const Place& place, const Result<hub::RepoInfo>& answer);
  void drop(const Place& place, const PlacedPtr& shown, const Error& why);
  void switch_if_settled(const Place& place);
  std::vector<std::shared_ptr<PlaceListener>> listeners() const;
  void tell_listeners(const Place& place, const PlacedPtr& before);

  bool was_opened(const Place& place) const;
  SnapshotPtr load_snapshot(const PlacedPtr& placed);
  SnapshotPtr remember(const PlacedPtr& placed, Snapshot snapshot, std::optional<TimePoint> asked);
  void ask_listing(const PlacedPtr& placed, const std::string& question, const hub::Terms& terms);
  void ask_directory(const PlacedPtr& placed, const std::string& question, const hub::Terms& terms);
  void ask_whole(const PlacedPtr& placed, Done<SnapshotPtr> done);
  using Entries = std::vector<hub::TreeEntry>;
  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();
  void list_tree(const Placed& placed, bool recursive, std::size_t most, const hub::Terms& terms,
                 std::function<void(Result<Entries>)> done);
  void take_listing(const PlacedPtr& placed, const std::string& question, Snapshot listing);
  Result<void> keep_listing(const Placed& placed, const Snapshot& listing);
  Result<void> keep_learnt(const PlacedPtr& placed, const Snapshot& listing);
  Result<void> keep_parts(const Placed& placed, const Snapshot& whole);
  PlacedPtr known_folder(const Placed& placed, std::uint32_t entry) const;
  Result<void> load_folders();
  Result<void> give_serial(const std::shared_ptr<Placed>& made) REQUIRES(mutex_);
  std::string listing_key(const Placed& placed) const;
  std::string listing_key(const Placed& placed, std::string_view directory) const;

  struct RepoListing;
  void take_repo_page(const std::shared_ptr<RepoListing>& listing,
                      const Result<hub::RepoPage>& answer);
  void add_names(RepoListing& listing, const hub::RepoPage& page);
  void note_listed(const std::string& question);
  void list(const std::string& question, std::uint32_t parent, const std::string& owner,
            Duration ttl, Done<bool> done);
  Result<NameTable::Name> ensure_owner(const std::string& owner);
  void take_root_name(const std::string& name, const Result<hub::RepoPage>& answer);

  std::optional<UnixSeconds> time_of(const std::string& kind, const std::string& rest) const;
  void note_refusal(const Place& place, const Error& error, Duration kept);
  void note_unkept(const Result<void>& stored, const std::string& consequence);
  std::optional<Error> refusal(const std::string& text) const;

  const CatalogOptions options_;
  hub::HubClient& hub_;
  cache::MetaStore& meta_;
  Logger& log_;
  const std::shared_ptr<FailureLog> failures_;
  const Clock& clock_;
  std::unique_ptr<NameTable> names_;
  std::weak_ptr<Catalog> self_;

  Coalescer<Resolved> resolving_;
  Coalescer<SnapshotPtr> listing_;
  Coalescer<bool> repo_lists_;
  Coalescer<NameTable::Name> root_names_;

  mutable Mutex mutex_;                                        // rank 2
  std::map<std::string, Branch> branches_ GUARDED_BY(mutex_);  // by Place::text()
  std::unordered_map<std::uint32_t, PlacedPtr> placed_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::uint32_t> serials_ GUARDED_BY(mutex_);  // text NUL commit
  // Of folders, by the serial and entry that each is in its parent's listing.
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> folders_ GUARDED_BY(mutex_);
  std::uint32_t next_serial_ GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::uint32_t, Listed> snapshots_ GUARDED_BY(mutex_);
  std::list<std::uint32_t> snapshot_order_ GUARDED_BY(mutex_);  // most recent first
  std::uint64_t snapshot_entries_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, Refusal> refused_ GUARDED_BY(mutex_);  // by Place::text()
  std::uint64_t denials_forgotten_ GUARDED_BY(mutex_) = 0;               // how often
  std::optional<UnixSeconds> token_changed_ GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<PlaceListener>> listeners_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::fs
