// SPDX-License-Identifier: Apache-2.0
// What this host knows, read from the metadata alone: the commits that were listed, and the pins.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/content_id.h"
#include "base/result.h"
#include "cache/blob_store.h"
#include "cache/meta_store.h"
#include "fs/listing_parts.h"
#include "fs/snapshot.h"
#include "hub/types.h"

namespace hubvfs::fs {

// A commit whose listing is kept.
struct KnownCommit {
  std::string endpoint;
  hub::RepoId repo;  // canonical
  std::string commit;
  cache::Namespace space;  // of its content
  // By which names places show it now, in order: "" for the default branch. Not its own.
  std::vector<std::string> revisions;
  bool evicted = false;  // its content was dropped by a command, and may be back
  // Only some of its files are known: Placed::partial, or not all directories were listed.
  bool partial = false;
};

// Each of them, of every endpoint, in `own` ("u<uid>") and "public", in order. A damaged listing is
// left out. `visit` must not call `meta`. Errors: those of MetaStore::for_each.
Result<void> for_each_known_commit(
    const cache::MetaStore& meta, const cache::Namespace& own,
    const std::function<void(const KnownCommit&, const ListingParts&)>& visit);

// The blobs of its files, each once; files that are empty or whose ids are masked have none.
std::vector<cache::BlobKey> blobs_of(const cache::Namespace& space, const ListingParts& listing);

// Its content was dropped, or is wanted again: what KnownCommit::evicted says.
Result<void> note_evicted(cache::MetaStore& meta, const KnownCommit& commit, bool evicted);

// A commit that is to stay here whatever else does, and the name it was asked for by.
struct Pin {
  std::string endpoint;
  hub::RepoId repo;      // canonical
  std::string revision;  // as asked for; "": the default branch
  std::string commit;
  cache::Namespace space;  // of its listing and content
};

// The pins of a cache, kept in its metadata. A repo has one pin for each revision by name, so that
// pinning a branch again moves its pin to where the branch is now. Thread-safe as the store is.
class Pins {
 public:
  // `own`: where the records are.
  Pins(cache::MetaStore& meta, cache::Namespace own) : meta_(meta), own_(std::move(own)) {}

  // Of every endpoint. Damaged records are left out.
  Result<std::vector<Pin>> all() const;
  Result<void> put(const Pin& pin);
  Result<void> erase(const Pin& pin);
  // What is pinned by these, each once. A pin whose listing is not there pins nothing yet.
  Result<std::vector<cache::BlobKey>> blobs(const std::vector<Pin>& pins) const;

 private:
  static std::string key(const Pin& pin);

  cache::MetaStore& meta_;
  const cache::Namespace own_;
};

}  // namespace hubvfs::fs
