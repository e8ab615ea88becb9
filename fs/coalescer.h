// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace hubvfs::fs {

// Questions under way: whoever asks the same thing meanwhile gets the same answer. Thread-safe.
template <typename T>
class Coalescer {
 public:
  using Done = std::function<void(const Result<T>&)>;

  // True: the caller must get the answer and call finish(). False: somebody else is doing so.
  bool join(const std::string& question, Done done) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto [it, first] = waiting_.try_emplace(question);
    it->second.push_back(std::move(done));
    return first;
  }

  // Answers everybody who joined, on this thread, with no lock held.
  void finish(const std::string& question, const Result<T>& answer) EXCLUDES(mutex_) {
    std::vector<Done> waiting;
    {
      MutexLock lock(mutex_);
      const auto it = waiting_.find(question);
      if (it == waiting_.end()) return;
      waiting.swap(it->second);
      waiting_.erase(it);
    }
    for (const Done& done : waiting) done(answer);
  }

  // Ends all of them with an error.
  void abandon(const Error& error) EXCLUDES(mutex_) {
    std::map<std::string, std::vector<Done>> waiting;
    {
      MutexLock lock(mutex_);
      waiting.swap(waiting_);
    }
    for (const auto& [question, all] : waiting) {
      for (const Done& done : all) done(error);
    }
  }

 private:
  Mutex mutex_;  // rank 2
  std::map<std::string, std::vector<Done>> waiting_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::fs
