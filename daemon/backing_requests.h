// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "fs/backing_files.h"

namespace hubvfs::daemon {

// The worker's questions to its keeper for files to be passed through (messages.h). Thread-safe.
// Lock rank: leaf; not held while an answer is given on.
class BackingRequests final : public fs::BackingFiles {
 public:
  // `link`: the socket to the keeper, borrowed.
  BackingRequests(int link, const Clock& clock) : link_(link), clock_(clock) {}
  ~BackingRequests() override;  // what waits is told that no answer came

  void open(std::uint32_t mount, fs::NodeId node, const std::string& name, Done done) override
      EXCLUDES(mutex_);
  void closed() override EXCLUDES(mutex_);

  // kBacking.
  void take_answer(ByteView body) EXCLUDES(mutex_);
  // Gives up what got no answer in time. To be called about once a second, when all answers that
  // came were taken.
  void expire() EXCLUDES(mutex_);

 private:
  struct Waiting {
    Done done;
    TimePoint until;
  };

  const int link_;
  const Clock& clock_;
  Mutex mutex_;
  std::uint64_t next_ GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, Waiting> waiting_ GUARDED_BY(mutex_);  // by number, so oldest first
  TimePoint told_at_ GUARDED_BY(mutex_){};                       // the last kClosedBacking
};

}  // namespace hubvfs::daemon
