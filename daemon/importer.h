// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cache/blob_store.h"
#include "daemon/command_threads.h"
#include "daemon/user_folder.h"
#include "fs/backend.h"
#include "fs/catalog.h"
#include "hub/types.h"

namespace hubvfs::daemon {

// A file of a folder that may be one of a commit.
struct ImportFile {
  std::string path;    // in the repo
  std::string source;  // in the folder
  std::string sha256;  // found by reading it just now; "": not looked at
  std::string etag;    // what the Hub called it, if the folder tells; "": it does not
};

// A commit as a folder tells it.
struct ImportCommit {
  hub::RepoInfo info;
  std::vector<std::string> revisions;     // names of it; "": the default branch
  std::shared_ptr<fs::Snapshot> listing;  // all of its files; null: the folder does not tell
  std::vector<ImportFile> files;
};

// What a folder has for an import.
struct FolderContent {
  std::vector<ImportCommit> commits;
  std::vector<std::pair<std::string, std::string>> unreadable;  // what, and why
};

struct ImportCounts {
  std::uint64_t commits = 0;
  std::uint64_t files = 0;  // of commits, here now
  std::uint64_t bytes = 0;  // of these, of different content
  std::uint64_t bytes_copied = 0;
  std::uint64_t foreign = 0;   // files that are none of the commit
  std::uint64_t problems = 0;  // what could not be taken; each was told to the caller as an item
};

struct ImportParts {
  fs::Backend& backend;
  cache::BlobStore& store;
  std::string endpoint;
  bool offline = false;
};

// Takes commits from a folder into the cache: metadata as far as the Hub does not know better, and
// content that is what the commit's listing says, which is hashed before a byte of it is taken. The
// folder is only read. What is here already is not copied again. Everything waits.
class Importer {
 public:
  Importer(ImportParts parts, const UserFolder& folder, UserFolder::Links links,
           CommandCaller& caller);

  // How much there is to hash and copy, for the progress.
  void expect(std::uint64_t files, std::uint64_t bytes);
  // kCancelled; an error of the cache. A file that is not what it should be is a problem and no
  // error, and so is a commit of which nobody knows the files.
  Result<void> take(const ImportCommit& commit);
  // Something of the folder that cannot be taken.
  Result<void> problem(const std::string& what, const std::string& why);
  const ImportCounts& counts() const { return counts_; }

 private:
  class Allowance;
  struct Known {
    fs::PlacedPtr placed;
    fs::SnapshotPtr snapshot;
  };
  struct Wanted {
    const ImportFile* file = nullptr;
    ContentId content;
  };

  bool cancelled() const { return caller_.cancelled(); }
  Result<Known> find(const ImportCommit& commit);
  Result<fs::Snapshot> list_files(const ImportCommit& commit) const;
  Result<ContentId> id_of(const ImportFile& file) const;
  Result<Known> learn(fs::Catalog& catalog, const ImportCommit& commit) const;
  Result<Known> ask_hub(fs::Catalog& catalog, const ImportCommit& commit) const;
  Result<void> learn_revisions(fs::Catalog& catalog, const ImportCommit& commit,
                               const Known& known) const;
  std::vector<Wanted> choose(const ImportCommit& commit, const Known& known);
  Result<void> check(const Wanted& wanted);
  std::shared_ptr<const Bytes> counted(ByteView bytes) const;
  Result<void> copy(const cache::Namespace& space, const Wanted& wanted);
  Result<void> look(const cache::Namespace& space, const std::vector<Wanted>& wanted);
  void done(std::uint64_t bytes);
  void show_half(std::uint64_t bytes);

  const ImportParts parts_;
  const UserFolder& folder_;
  const UserFolder::Links links_;
  CommandCaller& caller_;
  const std::shared_ptr<Allowance> allowance_;
  CommandProgress progress_;
  ImportCounts counts_;
  std::unordered_set<ContentId> here_;  // what counts_.bytes has
};

}  // namespace hubvfs::daemon
