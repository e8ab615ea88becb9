// SPDX-License-Identifier: Apache-2.0
// What a command asks of the worker that has the cache open, and what it hears meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "hub/types.h"

namespace hubvfs::daemon {

// One kind for all commands: each uses the fields that mean something to it.
struct CommandRequest {
  enum class Kind : std::uint8_t {
    kStats = 1,  // counters of the cache and the Hub's client
    kPrefetch,   // repo, include, exclude, jobs
    kList,       // items: the commits that are known
    kUsage,      // items: what each repo has here
    kPin,        // repo, jobs
    kUnpin,      // repo
    kEvict,      // repo
    kPrune,      // older_than, to_bytes or to_percent
    kVerify,     // repair; items: what is wrong
    kExport,     // repo, include, exclude, jobs, file_mode; descriptor: the folder
    kImport,     // repo (or none), sums_hash; descriptor: the folder; items: what cannot be taken
  };

  Kind kind = Kind::kStats;
  hub::RepoId repo;
  std::string revision;              // "": the default branch
  std::vector<std::string> include;  // as fs::FilePatterns
  std::vector<std::string> exclude;
  std::uint32_t jobs = 4;                   // files at a time
  std::optional<std::uint64_t> older_than;  // seconds
  std::optional<std::uint64_t> to_bytes;
  std::optional<std::uint64_t> to_percent;  // of cache.size
  bool repair = false;
  std::uint32_t file_mode = 0600;  // of new files; folders may be entered, too, where they are read
  std::string sums_hash;           // SHA-256 of the SHA256SUMS that was signed; "": none was

  Bytes encode() const;
  // kBadAnswer: not what encode() of this version wrote.
  static Result<CommandRequest> decode(ByteView bytes);
};

// How far a command has come, for a progress bar. Amounts are bytes.
struct CommandProgress {
  std::string doing;  // "fetching", for people
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  std::uint64_t files_done = 0;
  std::uint64_t files_total = 0;  // 0: not counted
  std::string now;                // the file it is at; "": several, or none

  Bytes encode() const;
  static Result<CommandProgress> decode(ByteView bytes);
};

}  // namespace hubvfs::daemon
