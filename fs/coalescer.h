// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

// Why something is asked of the Hub.
enum class Purpose {
  kDemand,         // somebody looks for the thing itself
  kCrawl,          // somebody lists directories (hub::Crawl)
  kPerhapsACrawl,  // nobody knows: they do not wait, and it counts as a crawl's
};

// Questions under way: whoever asks the same thing meanwhile gets the same answer. Thread-safe.
template <typename T>
class Coalescer {
 public:
  using Done = std::function<void(const Result<T>&)>;

  struct Joined {
    // The caller must get the answer and call finish(); else somebody else is doing so.
    bool first = false;
    // First: what to ask it as, null for a demand. Else set where somebody asks it as that: it is
    // to be raised, since the caller is the first who does not crawl.
    hub::CrawlPtr crawl;
  };
  Joined join(const std::string& question, Purpose purpose, Done done) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto [it, first] = questions_.try_emplace(question);
    Question& asked = it->second;
    asked.waiting.push_back(std::move(done));
    if (first && purpose != Purpose::kDemand) {
      asked.crawl = std::make_shared<hub::Crawl>();
      asked.crawl->raised = purpose == Purpose::kPerhapsACrawl;
    }
    if (first) return {true, asked.crawl};
    if (purpose == Purpose::kCrawl) return {};
    return {false, std::exchange(asked.crawl, nullptr)};
  }

  // Answers everybody who joined, on this thread, with no lock held.
  void finish(const std::string& question, const Result<T>& answer) EXCLUDES(mutex_) {
    std::vector<Done> waiting;
    {
      MutexLock lock(mutex_);
      const auto it = questions_.find(question);
      if (it == questions_.end()) return;
      waiting.swap(it->second.waiting);
      questions_.erase(it);
    }
    for (const Done& done : waiting) done(answer);
  }

  // Ends all of them with an error.
  void abandon(const Error& error) EXCLUDES(mutex_) {
    std::map<std::string, Question> questions;
    {
      MutexLock lock(mutex_);
      questions.swap(questions_);
    }
    for (const auto& [text, question] : questions) {
      for (const Done& done : question.waiting) done(error);
    }
  }

 private:
  struct Question {
    std::vector<Done> waiting;
    hub::CrawlPtr crawl;  // null once somebody does not crawl
  };

  Mutex mutex_;  // rank 2
  std::map<std::string, Question> questions_ GUARDED_BY(mutex_);
};

}  // namespace hubvfs::fs
