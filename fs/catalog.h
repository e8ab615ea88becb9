// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cache/meta_store.h"
#include "fs/coalescer.h"
#include "fs/kernel_notifier.h"
#include "fs/name_table.h"
#include "fs/operations.h"
#include "fs/snapshot.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

// A repo at one revision as the tree names it: "ORG/NAME" or "ORG/NAME@REV".
struct Place {
  std::string repo;      // "ORG/NAME", or "NAME" for a legacy id
  std::string revision;  // "" where the name carries none: the default branch

  // From one directory name below `owner` ("" at the root): "NAME" or "NAME@REV" with '/' in REV as
  // %2F. None: the Hub would refuse such a name, so nothing needs to be asked.
  static std::optional<Place> parse(std::string_view owner, std::string_view name);
  std::string text() const { return revision.empty() ? repo : repo + "@" + revision; }
  // The directory name, and the owner it stands in ("" at the root).
  std::string name() const;
  std::string owner() const;
  bool pinned() const;  // names a full commit: never moves
};

// A commit at a place: what a serial stands for. Immutable.
struct Placed {
  std::uint32_t serial = 0;
  Place place;
  hub::RepoInfo info;      // canonical id, commit, dates, gate
  cache::Namespace space;  // "public", or "u<uid>" for a private or gated repo
};
using PlacedPtr = std::shared_ptr<const Placed>;
using SnapshotPtr = std::shared_ptr<const Snapshot>;

// What is known of the Hub's names: which commit a place shows, and the listing of each commit.
//
// Everything learnt is kept in the MetaStore and served from there for good: the Hub is asked for
// what was never known, and once every metadata.ttl whether a branch moved, beside the caller
// (design, section 3). Thread-safe; callbacks run on the calling thread where the answer is known,
// else on the Hub client's, with no lock held. No call blocks.
class Catalog {
 public:
  template <typename T>
  using Done = std::function<void(const Result<T>&)>;

  // `hub`, `meta`, `notifier` must outlive every callback of `hub`.
  static Result<std::shared_ptr<Catalog>> create(const OperationsOptions& options,
                                                 hub::HubClient& hub, cache::MetaStore& meta,
                                                 KernelNotifier& notifier, Logger& log,
                                                 const Clock& clock);

  NameTable& names() { return *names_; }

  // The commit a place shows now, if it was ever resolved; may start a check of the branch.
  PlacedPtr known(const Place& place);
  // The same, asking the Hub where needed. kNotFound (remembered for metadata.ttl), kGated and
  // others of HubClient::repo_info. Where the id was renamed: success with none, and `renamed`
  // tells the canonical id.
  struct Resolved {
    PlacedPtr placed;
    std::string renamed;
  };
  void resolve(const Place& place, Done<Resolved> done);
  // None: never given, or its record is lost.
  PlacedPtr placed(std::uint32_t serial) const;
  // A file of it was opened: its place stays on this commit for a while (metadata.settle).
  void note_open(const Placed& placed);

  // The listing of a commit. A masked one is asked again when it is older than 10 s and
  // `want_unmasked`.
  void snapshot(const PlacedPtr& placed, bool want_unmasked, Done<SnapshotPtr> done);
  // The same if it is in memory.
  SnapshotPtr snapshot_in_memory(std::uint32_t serial) const;

  // Fills the name table with the root's owners, or with an owner's repos. Answers at once when that was
  // ever done (and does it again beside, when older than its ttl); an error only if nothing is known.
  void list_root(Done<bool> done);
  void list_owner(const NameTable::Name& owner, Done<bool> done);
  // A name at the root that is not in the table: makes it an owner, a symlink or a legacy repo's
  // entry, or says kNotFound (remembered for metadata.ttl).
  void find_root_name(const std::string& name, Done<NameTable::Name> done);

  // Whether all its repos were ever listed, so that an absent name is known to be absent.
  bool was_listed(const std::string& owner) const;

  // How long the kernel may keep an absent name that was learnt from the Hub.
  Duration absent_for(const std::string& text) const;
  // Everybody who waits gets kCancelled; callbacks that come later do nothing.
  void close();

 private:
  struct Branch {  // what a place shows
    PlacedPtr placed;
    UnixSeconds checked = 0;
    bool checking = false;
    std::optional<hub::RepoInfo> moved;  // the newer commit, not yet shown
    TimePoint moved_at;
    TimePoint last_open;
  };
  struct Listed {  // a snapshot in memory
    SnapshotPtr snapshot;
    TimePoint asked;
    std::list<std::uint32_t>::iterator used;
  };

  Catalog(const OperationsOptions& options, hub::HubClient& hub, cache::MetaStore& meta,
          KernelNotifier& notifier, Logger& log, const Clock& clock);
  Result<void> load(const std::shared_ptr<Catalog>& self);
  std::string key(std::string_view kind, std::string_view rest) const;
  cache::Namespace space_of(const hub::RepoInfo& info) const;

  void ask(const Place& place);
  Result<Resolved> take_answer(const Place& place, const Result<hub::RepoInfo>& answer);
  Result<PlacedPtr> place_commit(const Place& place, const hub::RepoInfo& info);
  void show(const Place& place, const PlacedPtr& placed);
  void check(const Place& place, const PlacedPtr& shown);
  void take_check(const Place& place, const Result<hub::RepoInfo>& answer);
  bool switch_if_settled(const Place& place);

  SnapshotPtr remember(const PlacedPtr& placed, Snapshot snapshot);
  void ask_listing(const PlacedPtr& placed, const std::string& question);
  std::string listing_key(const Placed& placed) const;

  struct RepoListing;
  void take_repo_page(const std::shared_ptr<RepoListing>& listing,
                      const Result<hub::RepoPage>& answer);
  void add_names(RepoListing& listing, const hub::RepoPage& page);
  void note_listed(const std::string& question);
  void end_repo_list(const RepoListing& listing, const Result<bool>& answer);
  void list(const std::string& question, std::uint32_t parent, const std::string& owner,
            Duration ttl, Done<bool> done);
  Result<NameTable::Name> ensure_owner(const std::string& owner);
  void take_root_name(const std::string& name, const Result<hub::RepoPage>& answer);

  std::optional<UnixSeconds> time_of(const std::string& kind, const std::string& rest) const;
  void note_absent(const std::string& text);
  bool is_absent(const std::string& text) const;

  const OperationsOptions options_;
  hub::HubClient& hub_;
  cache::MetaStore& meta_;
  KernelNotifier& notifier_;
  Logger& log_;
  const Clock& clock_;
  const cache::Namespace own_;  // where this connection's own records are: "public" or "u<uid>"
  std::unique_ptr<NameTable> names_;
  std::weak_ptr<Catalog> self_;

  Coalescer<Resolved> resolving_;
  Coalescer<SnapshotPtr> listing_;
  Coalescer<bool> repo_lists_;
  Coalescer<NameTable::Name> root_names_;

  mutable Mutex mutex_;  // rank 2
  std::map<std::string, Branch> branches_ GUARDED_BY(mutex_);  // by Place::text()
  std::unordered_map<std::uint32_t, PlacedPtr> placed_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::uint32_t> serials_ GUARDED_BY(mutex_);  // text NUL commit
  std::uint32_t next_serial_ GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::uint32_t, Listed> snapshots_ GUARDED_BY(mutex_);
  std::list<std::uint32_t> snapshot_order_ GUARDED_BY(mutex_);  // most recent first
  std::uint64_t snapshot_entries_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, TimePoint> absent_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::fs
