// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/content_id.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::hub::server {

// What tells one state of one file from every other: while it is the same, so is the content.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  auto operator<=>(const FileIdentity&) const = default;
};

// The hashes of file states, so that a restart reads no file again.
//
// Kept in DIR/hashes as lines that are appended, each with a checksum; a damaged line is dropped
// and the file rewritten without it. Thread-safe. Lock rank 32; not held across disk. add() and
// compact() write the file: they are for one thread, the hasher's.
class HashCache {
 public:
  // `directory` "" keeps hashes in memory only. A folder that is missing is made (0700). Fails when
  // the folder or file cannot be opened or written; damage within it is no failure.
  static Result<std::unique_ptr<HashCache>> open(const std::string& directory, Logger& log);

  // "" when not known. The hex hash of that algorithm.
  std::string find(const FileIdentity& file, ContentId::Algorithm algorithm) const EXCLUDES(mutex_);
  void add(const FileIdentity& file, ContentId::Algorithm algorithm, const std::string& hex)
      EXCLUDES(mutex_);
  // Rewrites the file without what nobody asked for since the start, if that is most of it.
  void compact() EXCLUDES(mutex_);

 private:
  struct Key {
    FileIdentity file;
    ContentId::Algorithm algorithm;
    auto operator<=>(const Key&) const = default;
  };
  struct Known {
    std::string hex;
    mutable bool used = false;
  };
  using Hashes = std::map<Key, Known>;

  HashCache(std::string directory, Logger& log) : directory_(std::move(directory)), log_(log) {}
  static std::string line_of(const Key& key, const std::string& hex);
  static bool parse_line(std::string_view line, Hashes& into);
  Result<void> load();
  Result<void> rewrite(const Hashes& hashes);

  const std::string directory_;
  Logger& log_;
  UniqueFd file_;  // the hasher's

  mutable Mutex mutex_;  // Lock rank 32
  Hashes hashes_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::hub::server
