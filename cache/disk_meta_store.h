// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cache/directory.h"
#include "cache/meta_store.h"
#include "cache/record_log.h"

namespace hubvfs::cache {

// Metadata in one record log for each namespace: meta/<namespace>/records.log.
//
// put() writes on the caller's thread and waits for no fsync: a thread of the store's own syncs
// within about a second, and writes again what a full disk refused. Destroying it syncs and
// compacts. Thread-safe.
class DiskMetaStore final : public MetaStore {
 public:
  // `meta`: the directory "meta"; must outlive the store.
  static Result<std::unique_ptr<DiskMetaStore>> open(const Directory& meta, Logger& log);
  ~DiskMetaStore() override;

  Result<void> put(const Namespace& space, std::string_view key, ByteView value) override;
  Result<void> erase(const Namespace& space, std::string_view key) override;
  Result<std::optional<Bytes>> get(const Namespace& space, std::string_view key) const override;
  Result<void> for_each(
      const Namespace& space, std::string_view prefix,
      const std::function<void(std::string_view key, ByteView value)>& visit) const override;

  // Everything put so far is on disk when it returns, or the error says why not. Blocks.
  Result<void> sync();
  // Damaged places met since open.
  std::uint64_t damaged() const;

 private:
  using Value = std::shared_ptr<const Bytes>;
  // Newest values that the disk refused; a null one was erased.
  using Unwritten = std::map<std::string, Value, std::less<>>;
  struct Space {
    std::unique_ptr<Directory> directory;
    std::unique_ptr<RecordLog> log;
    Unwritten unwritten;
  };

  DiskMetaStore(const Directory& meta, Logger& log) : meta_(meta), log_(log) {}
  Result<std::unique_ptr<Space>> open_space(const Namespace& name) const;
  Result<Space*> space_for_writing(const Namespace& name) EXCLUDES(mutex_, creation_mutex_);
  Result<void> keep_without_log(const Namespace& name, std::string_view key, Value value,
                                const Error& why) EXCLUDES(mutex_);
  void make_missing_logs() EXCLUDES(mutex_, creation_mutex_);
  const Unwritten* unwritten_of(const Namespace& name) const REQUIRES(mutex_);
  void note_dirty() EXCLUDES(mutex_);
  std::vector<Space*> spaces() const EXCLUDES(mutex_);
  Result<void> sync_logs() EXCLUDES(mutex_, creation_mutex_);
  Result<void> write_refused(Space& space) EXCLUDES(mutex_);
  void run() EXCLUDES(mutex_);

  const Directory& meta_;
  Logger& log_;
  std::thread thread_;

  // Held while a namespace's files are made: once in its life, and by nobody else. Lock rank:
  // before mutex_.
  Mutex creation_mutex_;

  // Lock rank: before RecordLog's, which begin() takes. Spaces are never removed.
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<Namespace, std::unique_ptr<Space>> spaces_ GUARDED_BY(mutex_);
  // Of namespaces that the disk let no log be made for yet.
  std::map<Namespace, Unwritten> without_log_ GUARDED_BY(mutex_);
  bool dirty_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace hubvfs::cache
