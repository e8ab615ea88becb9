// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/handle.h"

namespace hubvfs::fs {

// Which files are open, by (mount number, node id, handle): a table that outlives the worker.
//
// It lies in memory given by descriptor, which the keeper holds and each worker maps. Each handle
// has an entry of its own, which one store makes or ends, and making or ending it twice is the same
// as once: an OPEN and a RELEASE are both noted before they are answered, and where the worker is
// killed before the answer, or between any two stores, the request comes again to the next one and
// finds what is left to do. So the counts are exact, whenever a worker is killed. What no request
// tells of stays open until its mount is forgotten: of an OPEN whose caller was killed before the
// next worker took it, or that two workers crashed on (fs/request_journal).
//
// Where all entries are taken a handle is not recorded: it is in no count, but while there is one
// the table is overflowed(). This process knows its own, each once; those of a worker that died are
// never found closed, since nobody can tell them from what was closed before. Then it is
// overflowed() until the keeper ends: too long, never too short.
//
// open(), close() and count() are for one process at a time, the worker; the rest is for any
// process, while others write too. No value found in the memory is believed beyond its own meaning:
// a worker that was taken over cannot make the keeper read or write elsewhere. Thread-safe; lock
// rank: leaf.
class OpenTable {
 public:
  static constexpr std::uint32_t kCapacity = 65'536;  // handles

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

  // The handle is open; it may have been before. Where all entries are taken: overflowed().
  void open(std::uint32_t mount, std::uint64_t node, Handle handle) EXCLUDES(mutex_);
  // It is not open any more; it may not have been before. Returns count(mount, node).
  std::uint32_t close(std::uint32_t mount, std::uint64_t node, Handle handle) EXCLUDES(mutex_);
  // Handles of one node.
  std::uint32_t count(std::uint32_t mount, std::uint64_t node) EXCLUDES(mutex_);

  // Handles of one mount. Looks at the whole memory.
  std::uint64_t total(std::uint32_t mount) const;
  // Nodes of one mount that have handles. A node that had one all the time, be it one after the
  // other, is among them. None: that cannot be told now. Looks at the whole memory.
  std::optional<std::unordered_set<std::uint64_t>> open_nodes(std::uint32_t mount) const;
  // The mount's connection is gone: nothing of it is open any more.
  void forget_mount(std::uint32_t mount) EXCLUDES(mutex_);
  // Some handles found no entry and are not closed yet: everything has to be taken for open.
  bool overflowed() const;

 private:
  struct Header;
  struct Slot;
  struct Region;
  struct NodeKey {
    std::uint32_t mount = 0;
    std::uint64_t node = 0;
    bool operator==(const NodeKey&) const = default;
  };
  struct Key {
    NodeKey node;
    Handle handle;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const NodeKey& key) const noexcept {
      return std::hash<std::uint64_t>()(key.node ^ static_cast<std::uint64_t>(key.mount) << 40);
    }
    std::size_t operator()(const Key& key) const noexcept {  // a number is one node's
      return std::hash<std::uint64_t>()(key.handle.number ^
                                        static_cast<std::uint64_t>(key.node.mount) << 40);
    }
  };

  OpenTable(Region* region, Logger& log) : region_(region), log_(log) {}
  void check_header() REQUIRES(mutex_);
  void read_slots() REQUIRES(mutex_);
  void follow_keeper() REQUIRES(mutex_);
  std::uint32_t used() const;
  std::uint32_t count_of(const NodeKey& node) const REQUIRES(mutex_);
  Slot* take_free_slot() REQUIRES(mutex_);

  Region* const region_;
  Logger& log_;

  mutable Mutex mutex_;
  // Of this process: where each handle is, how many a node has, and which slots below used() are
  // free; as of the header's `forgotten` seen last.
  std::unordered_map<Key, std::uint32_t, KeyHash> slot_of_ GUARDED_BY(mutex_);
  std::unordered_map<NodeKey, std::uint32_t, KeyHash> counts_ GUARDED_BY(mutex_);
  std::vector<std::uint32_t> free_ GUARDED_BY(mutex_);
  std::uint32_t forgotten_ GUARDED_BY(mutex_) = 0;
  // Of this process: handles that found no entry.
  std::unordered_set<Key, KeyHash> unrecorded_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::fs
