// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::fs {

// Which files are open, how often, by (mount number, node id): a table that outlives the worker.
//
// It lies in memory given by descriptor, which the keeper holds and each worker maps. An OPEN is
// counted before it is answered and a RELEASE after, and each change is one store, so that whenever
// the worker is killed no count is too low. It may be one too high for a request that was under
// way: an OPEN counted and not answered comes again, a RELEASE answered and not counted does not.
// What is counted too high stays open until its mount is forgotten.
//
// open() and close() are for one process at a time, the worker; the rest is for any process, while
// others write too. No value found in the memory is believed beyond its own meaning: a worker that
// was taken over cannot make the keeper read or write elsewhere. Thread-safe; lock rank: leaf.
class OpenTable {
 public:
  static constexpr std::uint32_t kCapacity = 65'536;

  // The memory of an empty table. Its size is sealed.
  static Result<UniqueFd> create_memfd();
  // The table in it; `fd` is not needed afterwards. Where another version wrote it, it is reset and
  // overflowed() for good, and `log` is told. kInvalidArgument: not a table's memory.
  static Result<std::unique_ptr<OpenTable>> map(int fd, Logger& log);
  // A table of this process alone.
  static Result<std::unique_ptr<OpenTable>> make_private(Logger& log);
  ~OpenTable();
  OpenTable(const OpenTable&) = delete;
  OpenTable& operator=(const OpenTable&) = delete;

  // One more handle. Never fails: where all entries are taken the table is overflowed().
  void open(std::uint32_t mount, std::uint64_t node) EXCLUDES(mutex_);
  // One handle less. Returns how many are left; one that was never counted is none of them.
  std::uint32_t close(std::uint32_t mount, std::uint64_t node) EXCLUDES(mutex_);

  std::uint32_t count(std::uint32_t mount, std::uint64_t node) const EXCLUDES(mutex_);
  // Handles of one mount.
  std::uint64_t total(std::uint32_t mount) const;
  // The mount's connection is gone: nothing of it is open any more.
  void forget_mount(std::uint32_t mount) EXCLUDES(mutex_);
  // Some handles found no entry and are not closed yet: everything has to be taken for open.
  bool overflowed() const;

 private:
  struct Header;
  struct Slot;
  struct Region;
  struct Key {
    std::uint32_t mount = 0;
    std::uint64_t node = 0;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept {
      return std::hash<std::uint64_t>()(key.node ^ static_cast<std::uint64_t>(key.mount) << 40);
    }
  };

  OpenTable(Region* region, Logger& log) : region_(region), log_(log) {}
  void check_header() REQUIRES(mutex_);
  void read_slots() REQUIRES(mutex_);
  std::uint32_t used() const;
  Slot* find(const Key& key) REQUIRES(mutex_);
  Slot* take_free_slot() REQUIRES(mutex_);

  Region* const region_;
  Logger& log_;

  mutable Mutex mutex_;
  // Of this process: where each key is, and which slots below used() are free. Where the keeper has
  // forgotten a mount its keys stay, with a count of zero, until they are closed or room is needed.
  std::unordered_map<Key, std::uint32_t, KeyHash> index_ GUARDED_BY(mutex_);
  std::vector<std::uint32_t> free_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::fs
