// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "fs/kernel_notifier.h"

namespace hubvfs {

// Remembers what the kernel would have been told. Thread-safe.
class RecordingNotifier final : public fs::KernelNotifier {
 public:
  void invalidate_entry(std::uint64_t parent, const std::string& name) override {
    MutexLock lock(mutex_);
    entries_.emplace_back(parent, name);
  }
  void invalidate_attributes(std::uint64_t node) override {
    MutexLock lock(mutex_);
    attributes_.push_back(node);
  }
  std::vector<std::pair<std::uint64_t, std::string>> entries() const {
    MutexLock lock(mutex_);
    return entries_;
  }
  std::vector<std::uint64_t> attributes() const {
    MutexLock lock(mutex_);
    return attributes_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::pair<std::uint64_t, std::string>> entries_ GUARDED_BY(mutex_);
  std::vector<std::uint64_t> attributes_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs
