// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/mutex.h"
#include "cache/blob_store.h"
#include "fs/backing_files.h"
#include "fs/passed_files.h"

namespace hubvfs::fs {

// Which files of one mount the kernel reads by itself (design, sections 1 and 5.1), and whether it
// may at all.
//
// The mode of a file is part of its node id (threats-and-faults, 7.7): mode_of() says which node a
// lookup gives, open() whether a node of passthrough can be opened as what it is. Thread-safe; no
// call blocks. Lock rank 7.
class Passthrough : public std::enable_shared_from_this<Passthrough> {
 public:
  // `backing`, borrowed: null where nothing is ever passed through.
  Passthrough(std::uint32_t mount, std::shared_ptr<PassedFiles> files, BackingFiles* backing,
              const Clock& clock)
      : mount_(mount), files_(std::move(files)), backing_(backing), clock_(clock) {}

  // As the keeper finds out. `why_not`, for people, where it is not.
  void set(bool on, std::string why_not) EXCLUDES(mutex_);
  bool on() const EXCLUDES(mutex_);
  std::string why_not() const EXCLUDES(mutex_);
  std::uint64_t opens() const EXCLUDES(mutex_);  // in passthrough, by this process

  enum class Mode {
    kRead,
    kReadForNow,  // it may be passed through later
    kPassed,
  };
  Mode mode_of(std::uint64_t ino, const cache::Blob& blob) const EXCLUDES(mutex_);

  // `node` is one of passthrough. From now on `handle` is in the open table, and from before the
  // reply not any more where that is an error: kStale, and the next lookup gives the node that is
  // read.
  using Done = std::function<void(const Result<std::int32_t>& backing_id)>;
  void open(NodeId node, Handle handle, const std::shared_ptr<cache::Blob>& blob, Done done)
      EXCLUDES(mutex_);
  // As Operations::release.
  void release(NodeId node, Handle handle) EXCLUDES(mutex_);

 private:
  void refuse(NodeId node, Handle handle, const Done& done) EXCLUDES(mutex_);

  const std::uint32_t mount_;
  const std::shared_ptr<PassedFiles> files_;
  BackingFiles* const backing_;
  const Clock& clock_;

  mutable Mutex mutex_;
  bool on_ GUARDED_BY(mutex_) = false;
  std::string why_not_ GUARDED_BY(mutex_);
  std::uint64_t opens_ GUARDED_BY(mutex_) = 0;
  // Of nodes with handles, by raw id: what their file is registered as, once that is known.
  std::unordered_map<std::uint64_t, std::optional<std::int32_t>> ids_ GUARDED_BY(mutex_);
  // By ino: read until then, since the keeper refused them.
  std::unordered_map<std::uint64_t, TimePoint> refused_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::fs
