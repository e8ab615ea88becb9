// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "cache/meta_store.h"

namespace hubvfs::fs {

// The named entries of serial 0: owners, symlinks, repos known by name only, and what .hf-cache
// shows of a repo's refs. Thread-safe.
//
// Numbers are given once and kept in the MetaStore, so that node ids survive the worker and a
// restart; what was listed offline before is listed again. Nothing is ever removed; a name that the
// Hub no longer lists is only no longer listed here.
class NameTable {
 public:
  enum class Kind : std::uint8_t {
    kOwner = 1,
    kRepo = 2,
    kSymlink = 3,
    kRef = 4,        // of .hf-cache: a branch or tag; `parent` is its repo or a kRefFolder
    kRefFolder = 5,  // the part of a ref's name before a '/'
  };
  struct Name {
    std::uint32_t number = 0;
    std::uint32_t parent = 0;  // kRootEntry, or the number of another name
    Kind kind = Kind::kOwner;
    bool listed = true;
    std::string name;
    std::string target;        // kSymlink
    std::uint32_t serial = 0;  // kRepo: the snapshot its node stands for, once one was entered
    UnixSeconds modified = 0;  // 0: not known
  };

  // Records are kept under `prefix` in `space`. Damaged ones are skipped.
  static Result<std::unique_ptr<NameTable>> load(cache::MetaStore& meta,
                                                 const cache::Namespace& space,
                                                 const std::string& prefix);

  std::optional<Name> at(std::uint32_t number) const;
  std::optional<Name> find(std::uint32_t parent, std::string_view name) const;
  // The name's entry, made or changed where it is new or differs; a changed kind or target gets a
  // new number. `name.number` and `name.serial` are ignored. Errors: those of MetaStore::put.
  Result<Name> put(Name name);
  // Ties a kRepo entry to the snapshot that its node stands for from now on.
  Result<void> bind(std::uint32_t number, std::uint32_t serial);
  // What is no longer in `keep` is not listed any more.
  void retain_listed(std::uint32_t parent, const std::vector<std::string>& keep);
  // Listed children numbered above `after`, in order of number, at most `limit`.
  std::vector<Name> children(std::uint32_t parent, std::uint32_t after, std::size_t limit) const;
  // The same of all repos, whoever owns them.
  std::vector<Name> repos(std::uint32_t after, std::size_t limit) const;

 private:
  NameTable(cache::MetaStore& meta, cache::Namespace space, std::string prefix);
  Result<void> store(const Name& name);
  void insert(const Name& name) REQUIRES(mutex_);

  cache::MetaStore& meta_;
  const cache::Namespace space_;
  const std::string prefix_;

  mutable Mutex mutex_;  // rank 2
  std::map<std::uint32_t, Name> names_ GUARDED_BY(mutex_);
  std::map<std::pair<std::uint32_t, std::string>, std::uint32_t, std::less<>> by_name_
      GUARDED_BY(mutex_);
  std::map<std::uint32_t, std::vector<std::uint32_t>> children_ GUARDED_BY(mutex_);
  std::uint32_t next_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::fs
