// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "fs/catalog.h"
#include "fs/entry_owner.h"
#include "fs/operations.h"

namespace hubvfs::fs {

// By View, less kTree: models, datasets, spaces.
using CatalogsByType = std::array<std::shared_ptr<Catalog>, 3>;

// The repo that a folder of .hf-cache stands for: "models--ORG--NAME", "datasets--NAME".
struct HfFolder {
  View view = View::kHfModels;
  std::string repo;  // "ORG/NAME", or "NAME" for a legacy id

  // None: huggingface_hub names no folder so.
  static std::optional<HfFolder> parse(std::string_view name);
  std::string name() const;
};

// The folders of .hf-cache: huggingface_hub's cache layout (hub-protocol G.1), read-only.
//
//   .hf-cache/models--ORG--NAME/blobs/            empty: programs of old make it where it is
//   missing
//                               refs/REV          the commit that REV shows, 40 hex digits
//                               snapshots/COMMIT/ the commit's files themselves, not links
//
// It lists what is known on this host, and finds by name what the Hub has. Below a commit all is as
// in the tree: those nodes are HubFilesystem's. Answers for the nodes of owns(); thread-safe, and
// as Operations for when replies run.
class HfView : public std::enable_shared_from_this<HfView> {
 public:
  struct Options {
    EntryOwner owner;
    Duration metadata_ttl{};
    Duration metadata_deadline{};
    UnixSeconds started = 0;  // of the mount: what has no date of its own
  };
  // `hub` is the one the catalogs ask by; borrowed.
  HfView(const Options& options, const CatalogsByType& catalogs, hub::HubClient& hub,
         const Clock& clock);

  static bool owns(NodeId node) {
    return node.serial == 0 && (node.view != View::kTree || node.entry == kHfCacheEntry);
  }
  static View of(hub::RepoType type) {
    return static_cast<View>(static_cast<std::size_t>(type) + 1);
  }
  // Of a view that is not kTree.
  Catalog& catalog(View view) const { return *catalogs_[static_cast<std::size_t>(view) - 1]; }

  void lookup(NodeId parent, const std::string& name, Operations::Reply<Entry> reply) const;
  Result<Entry> getattr(NodeId node) const;
  Result<std::string> readlink(NodeId node) const;
  // Of a folder. Answers kNotDirectory else.
  Result<void> check_folder(NodeId node) const;
  void fill(NodeId folder, std::uint64_t cookie, const Operations::Fill& fill) const;
  // What a file of refs/ says now; none of another node.
  std::optional<std::string> ref_text(NodeId node) const;
  // The repo that a node is of, for the log; "" where of none.
  std::string subject(NodeId node) const;
  Entry root_entry() const;

 private:
  // What a node's entry, but for .hf-cache's own, tells: a name's number and what of it is meant.
  enum class Role : std::uint8_t { kRepo, kBlobs, kRefs, kSnapshots, kRef, kRefFolder, kRenamed };
  struct At {
    View view;
    Role role;
    NameTable::Name name;
  };
  static constexpr int kRoleBits = 3;
  static constexpr std::array<std::pair<std::string_view, Role>, 3> kParts = {
      {{"blobs", Role::kBlobs}, {"refs", Role::kRefs}, {"snapshots", Role::kSnapshots}}};

  static std::optional<NodeId> node_of(View view, Role role, std::uint32_t number);
  std::optional<At> locate(NodeId node) const;
  // The repo's own name, wherever below it `name` is; and the ref's name up to it.
  std::optional<NameTable::Name> repo_name(const At& at) const;
  std::optional<Place> repo_of(const At& at) const;
  std::string ref_of(const At& at) const;
  static Place place_of_ref(const std::string& repo, const std::string& ref);

  void lookup_repo(const HfFolder& folder, const Operations::Reply<Entry>& reply) const;
  void lookup_commit(const At& at, const std::string& commit, Operations::Reply<Entry> reply) const;
  void lookup_ref(const At& at, const std::string& name, Operations::Reply<Entry> reply) const;
  void find_ref_folder(const At& at, const std::string& repo, const std::string& ref,
                       const std::string& name, Operations::Reply<Entry> reply) const;
  Result<Entry> named_ref(const At& at, const std::string& name, NameTable::Kind kind) const;

  void fill_repos(std::uint64_t cookie, const Operations::Fill& fill) const;
  void fill_parts(const At& at, std::uint64_t cookie, const Operations::Fill& fill) const;
  void fill_refs(const At& at, std::uint64_t cookie, const Operations::Fill& fill) const;
  void fill_commits(const At& at, std::uint64_t cookie, const Operations::Fill& fill) const;

  Entry folder_entry(NodeId node, UnixSeconds modified, Duration kept) const;
  Result<Entry> entry_of(View view, Role role, const NameTable::Name& name) const;
  Entry commit_entry(View view, const Placed& placed) const;
  static Entry absent(Duration kept);
  static Error stale();

  const Options options_;
  const CatalogsByType catalogs_;
  hub::HubClient& hub_;
  const Clock& clock_;
};

}  // namespace hubvfs::fs
