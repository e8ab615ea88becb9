// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>

#include "base/mutex.h"
#include "fs/catalog.h"
#include "fs/operations.h"
#include "fs/reader.h"

namespace hubvfs::fs {

// Operations over the Hub: the tree of design section 2.
class HubFilesystem final : public Operations,
                            public std::enable_shared_from_this<HubFilesystem> {
 public:
  HubFilesystem(const OperationsOptions& options, std::shared_ptr<Catalog> catalog,
                hub::HubClient& hub, cache::BlobStore& store, Logger& log, const Clock& clock);
  ~HubFilesystem() override;
  void close() override;

  void lookup(NodeId parent, const std::string& name, Reply<Entry> reply) override;
  void getattr(NodeId node, Reply<Entry> reply) override;
  void readlink(NodeId node, Reply<std::string> reply) override;
  void opendir(NodeId node, Reply<OpenFlags> reply) override;
  void readdir(NodeId node, std::uint64_t cookie, Fill fill, Done reply) override;
  void open(NodeId node, Reply<OpenFlags> reply) override;
  void release(NodeId node) override;
  void read(NodeId node, std::uint64_t offset, std::size_t size,
            std::function<void(const Result<ByteView>&)> reply) override;
  void getxattr(NodeId node, const std::string& name, Reply<std::string> reply) override;
  void listxattr(NodeId node, Reply<std::vector<std::string>> reply) override;
  FilesystemSpace space() const override;
  std::string status_json() const override;

 private:
  // An entry of a snapshot, with what it belongs to.
  struct Located {
    PlacedPtr placed;
    SnapshotPtr snapshot;
    std::uint32_t number = 0;
    const Snapshot::Entry& entry() const { return snapshot->entry(number); }
  };
  struct OpenFile {
    std::shared_ptr<OpenBlob> blob;
    int opens = 0;  // of this worker's life; a RELEASE of an older one's is ignored
  };

  // The snapshot entry a node stands for: its own, or for a repo known by name the root of the
  // commit it is tied to (and is tied to now, if it was not).
  void locate(NodeId node, Reply<Located> reply);
  void locate_repo_name(const NameTable::Name& name, Reply<Located> reply);
  void locate_in(const PlacedPtr& placed, std::uint32_t number, Reply<Located> reply);

  void lookup_at_root(const std::string& name, Reply<Entry> reply);
  void lookup_repo(const NameTable::Name& owner, const std::string& name, Reply<Entry> reply);
  void take_repo(const NameTable::Name& owner, const std::string& name, const Place& place,
                 const Result<Catalog::Resolved>& answer, const Reply<Entry>& reply);
  void lookup_control(const std::string& name, const Reply<Entry>& reply);
  Entry absent(Duration timeout) const;
  Place place_of(const NameTable::Name& name) const;

  Entry name_entry(const NameTable::Name& name);
  Entry placed_entry(const PlacedPtr& placed) const;
  Entry snapshot_entry(const Located& at) const;
  Entry control_entry(std::uint32_t number) const;
  Entry directory(NodeId node, UnixSeconds modified, Duration entry_timeout) const;
  std::optional<std::string> control_text(std::uint32_t number) const;

  void fill_names(std::uint32_t parent, std::uint64_t cookie, const Fill& fill);
  bool fill_dots(NodeId node, std::uint64_t& cookie, const Fill& fill) const;
  void fill_snapshot(const Located& at, std::uint64_t cookie, const Fill& fill) const;

  void open_located(NodeId node, const Located& at, bool asked_again, Reply<OpenFlags> reply);
  Result<std::shared_ptr<OpenBlob>> open_blob(const Located& at);
  void keep_open(NodeId node, const std::shared_ptr<OpenBlob>& blob, int opens);
  static Error gated(const Located& at);
  std::string blob_xattr(const Located& at, const std::string& name) const;
  void housekeeping();

  const OperationsOptions options_;
  const std::shared_ptr<Catalog> catalog_;
  hub::HubClient& hub_;
  cache::BlobStore& store_;
  Logger& log_;
  const Clock& clock_;
  const UnixSeconds started_;
  Reader reader_;

  mutable Mutex mutex_;  // rank 1
  CondVar stopping_cv_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::unordered_map<std::uint64_t, OpenFile> open_files_ GUARDED_BY(mutex_);  // by raw node id
  std::thread housekeeper_;
};

}  // namespace hubvfs::fs
