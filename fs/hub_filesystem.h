// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/failure_log.h"
#include "base/mutex.h"
#include "fs/backend.h"
#include "fs/catalog.h"
#include "fs/entry_owner.h"
#include "fs/hf_view.h"
#include "fs/open_table.h"
#include "fs/operations.h"
#include "fs/passthrough.h"
#include "fs/pending_replies.h"
#include "fs/reader.h"

namespace hubvfs::fs {

// What a mount has from its backend.
struct MountParts {
  CatalogsByType catalogs;
  std::shared_ptr<Catalog> catalog;  // of these, the mount's type
  std::shared_ptr<Reader> reader;
  hub::HubClient& hub;  // the catalog's too: the user's, or anonymous
  cache::BlobStore& store;
  std::shared_ptr<OpenTable> table;
  std::shared_ptr<Passthrough> passthrough;
  Logger& log;
  std::shared_ptr<FailureLog> failures;
  const Clock& clock;
};

// Operations over the Hub: the tree of design section 2 with .hf-cache, or one repo of it at the
// root.
//
// In the mount of one repo node 1 is the folder, of the commit that the place shows now; all below
// it is as in the tree. There the kernel keeps names right below the root for metadata.ttl only,
// and absent ones not at all, since it cannot be told of each that a newer commit brings.
class HubFilesystem final : public Operations,
                            public PlaceListener,
                            public std::enable_shared_from_this<HubFilesystem> {
 public:
  static std::shared_ptr<HubFilesystem> create(const BackendOptions& options,
                                               const MountOptions& mount, const MountParts& parts,
                                               KernelNotifier& notifier);
  ~HubFilesystem() override;
  void close() override;
  void check_root(Done reply) override;

  void lookup(NodeId parent, const std::string& name, Reply<Entry> reply) override;
  void getattr(NodeId node, Reply<Entry> reply) override;
  void readlink(NodeId node, Reply<std::string> reply) override;
  void opendir(NodeId node, Reply<OpenFlags> reply) override;
  void readdir(NodeId node, std::uint64_t cookie, Fill fill, Done reply) override;
  void open(NodeId node, Handle handle, Reply<OpenFlags> reply) override;
  void release(NodeId node, Handle handle) override;
  void read(NodeId node, Handle handle, std::uint64_t offset, std::size_t size,
            std::uint32_t thread, std::function<void(const Result<ByteView>&)> reply) override;
  void getxattr(NodeId node, const std::string& name, Reply<std::string> reply) override;
  void listxattr(NodeId node, Reply<std::vector<std::string>> reply) override;
  FilesystemSpace space() const override;
  void set_passthrough(bool on, const std::string& why_not) override {
    parts_.passthrough->set(on, why_not);
  }
  std::string status_json() const override;

  void place_changed(hub::RepoType type, const Place& place, const PlacedPtr& before) override;
  // Whoever opens a file of this content from now on is to get the node of passthrough.
  void content_sealed(const cache::BlobKey& content);
  void content_changed(hub::RepoType type, std::uint32_t serial, std::uint32_t entry) override;

 private:
  // An entry of a snapshot, with what it belongs to.
  struct Located {
    PlacedPtr placed;
    SnapshotPtr snapshot;
    std::uint32_t number = 0;
    View view = View::kTree;
    Snapshot::Entry entry() const { return snapshot->entry(number); }
  };
  struct OpenFile {
    std::shared_ptr<OpenBlob> blob;
    bool counted = false;  // in the open table: stays until its last RELEASE
  };
  using OpenReply = std::shared_ptr<PendingReplies::Owed<OpenFlags>>;

  HubFilesystem(const BackendOptions& options, const MountOptions& mount, const MountParts& parts,
                KernelNotifier& notifier);

  // The snapshot entry a node stands for: its own; for a repo known by name the root of the commit
  // it is tied to (and is tied to now, if it was not); for node 1 of one repo's mount its folder.
  void locate(NodeId node, Reply<Located> reply, Purpose purpose = Purpose::kDemand);
  void locate_repo_name(const NameTable::Name& name, Reply<Located> reply, Purpose purpose);
  void locate_in(const PlacedPtr& placed, View view, std::uint32_t number, Reply<Located> reply,
                 Purpose purpose);
  void locate_root(Reply<Located> reply);
  // A directory where the names in it are listed: itself, or, in a commit that is listed a
  // directory at a time, entry 0 of its own listing. kNotDirectory: a file.
  void enter(const Located& at, Reply<Located> reply, Purpose purpose = Purpose::kDemand);
  void locate_inside(NodeId node, Reply<Located> reply, Purpose purpose = Purpose::kDemand);
  // The directory at `path` below another one ("": that itself), entered.
  void follow(const Located& at, const std::string& path, Reply<Located> reply);

  // The reply of `operation` on `node` (a lookup: of `name` in it), which tells the log when it is
  // an error. No reply runs once close() has returned: this outlives it.
  template <typename T>
  Reply<T> telling(const char* operation, NodeId node, Reply<T> reply, std::string name = {}) {
    return [this, operation, node, name = std::move(name),
            reply = std::move(reply)](const Result<T>& result) {
      if (!result) tell(operation, subject_of(node, name), result.error());
      reply(result);
    };
  }
  template <typename T>
  Reply<T> hold(const char* operation, NodeId node, Reply<T> reply, const std::string& name = {}) {
    return pending_.hold<T>(telling<T>(operation, node, std::move(reply), name));
  }
  void tell(const char* operation, const std::string& subject, const Error& error) const;
  std::string subject_of(NodeId node, const std::string& name) const;

  static constexpr const char* kControlDir = ".hubvfs";
  static constexpr const char* kHfCacheDir = ".hf-cache";
  static Error stale();
  // A node of the whole tree above its repos.
  bool in_tree(NodeId node) const {
    return node.serial == 0 && node.view == View::kTree && !mount_.repo;
  }
  // A folder of .hf-cache above its commits.
  bool in_hf_cache(NodeId node) const { return hf_ != nullptr && HfView::owns(node); }
  Catalog& catalog(View view) const {
    return view == View::kTree ? *parts_.catalog : hf_->catalog(view);
  }
  // The commit of a node that has a serial; null when it means nothing.
  PlacedPtr placed_of(NodeId node) const;

  // The mount of one repo (repo_root.cc).
  bool is_repo_root(NodeId node) const {
    return mount_.repo && node.serial == 0 && node.view == View::kTree && node.entry == kRootEntry;
  }
  bool pinned() const { return place_.pinned(); }
  void locate_folder(const PlacedPtr& placed, Reply<Located> reply);
  Entry repo_root_entry();
  Duration name_timeout(NodeId parent, const PlacedPtr& placed);
  void check_folder(const PlacedPtr& placed, const Done& reply);
  void explain_absent_repo(const Error& error, const Done& reply);
  Error no_such_repo(const Error& error) const;
  Error renamed_repo(const std::string& canonical) const;
  void forget_names_below_root(const PlacedPtr& before);

  void lookup_at_root(const std::string& name, Reply<Entry> reply);
  void lookup_repo(const NameTable::Name& owner, const std::string& name, Reply<Entry> reply);
  void take_repo(const NameTable::Name& owner, const std::string& name, const Place& place,
                 const Result<Catalog::Resolved>& answer, const Reply<Entry>& reply);
  void lookup_control(const std::string& name, const Reply<Entry>& reply);
  Entry absent(Duration timeout) const;
  Place place_of(const NameTable::Name& name) const;

  Entry name_entry(const NameTable::Name& name);
  Entry listed_entry(const NameTable::Name& name) const;
  Entry unplaced_entry(const NameTable::Name& name) const;
  Entry placed_entry(const PlacedPtr& placed, View view = View::kTree) const;
  Entry snapshot_entry(const Located& at) const;
  Duration content_timeout(const Located& at, std::uint64_t cached) const;
  Entry control_entry(std::uint32_t number) const;
  Entry directory(NodeId node, UnixSeconds modified, Duration entry_timeout) const;
  // The text of a file of .hubvfs, or of a ref of .hf-cache, as it is now or was when the handle
  // was opened.
  std::optional<std::string> control_text(NodeId node) const;
  std::optional<std::string> control_text(NodeId node, Handle handle) const EXCLUDES(mutex_);

  void fill_names(std::uint32_t parent, std::uint64_t cookie, const Fill& fill);
  void fill_root(std::uint64_t cookie, const Fill& fill);
  void fill_control(std::uint64_t cookie, const Fill& fill) const;
  bool fill_dots(NodeId node, std::uint64_t& cookie, const Fill& fill) const;
  void fill_snapshot(NodeId node, const Located& at, std::uint64_t cookie, const Fill& fill);

  void open_located(NodeId node, Handle handle, const Located& at, bool asked_again,
                    const OpenReply& reply);
  void open_passed(NodeId node, Handle handle, const Located& at, const OpenReply& reply);
  void forget_name_of(NodeId node);
  Result<std::shared_ptr<OpenBlob>> open_blob(const Located& at);
  // `opened`: none where a read finds its file again.
  void keep_open(NodeId node, const std::shared_ptr<OpenBlob>& blob, std::optional<Handle> opened);
  // Before a byte of it is asked for.
  void read_begins(NodeId node, const OpenBlob& blob);
  std::optional<NameTable::Name> name_of(const Placed& placed) const;
  bool pages_are_good(NodeId node, const OpenBlob& blob);
  Error gated(const Located& at) const;
  std::string blob_xattr(const Located& at, const std::string& name) const;

  const BackendOptions options_;
  const MountOptions mount_;
  const Place place_;  // of the mount of one repo
  const MountParts parts_;
  const EntryOwner owner_;
  const UnixSeconds started_;
  const std::shared_ptr<const HfView> hf_;  // null in the mount of one repo
  PendingReplies pending_;
  std::atomic<std::uint64_t> reads_{0};

  mutable Mutex mutex_;                                                        // rank 1
  std::unordered_map<std::uint64_t, OpenFile> open_files_ GUARDED_BY(mutex_);  // by raw node id
  // Of open files that are texts, by handle: what is read in pieces is one text.
  std::unordered_map<std::uint64_t, std::string> control_texts_ GUARDED_BY(mutex_);
  // Of nodes whose content came wrong: how often it had when the kernel last let go of its pages.
  std::unordered_map<std::uint64_t, std::uint64_t> flushed_ GUARDED_BY(mutex_);

  Mutex notifier_mutex_;  // rank 5: held while the notifier queues, so that close() ends its use
  KernelNotifier* notifier_ GUARDED_BY(notifier_mutex_);
};

}  // namespace hubvfs::fs
