// SPDX-License-Identifier: Apache-2.0
// The calls of a HubClient made to wait for their answers, for tests.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "hub/hub_client.h"

namespace hubvfs {

inline TimePoint deadline_in(Duration time) { return SystemClock().now() + time; }

// The callback of one call, and its answer. Counts how often it was called.
template <typename T>
class Answer {
 public:
  hub::Done<T> callback() {
    return [state = state_](Result<T> result) {
      if (++state->calls == 1) state->promise.set_value(std::move(result));
    };
  }
  // Waits up to 20 s; a call that never ends is an error of its own.
  Result<T> wait() {
    auto future = state_->promise.get_future();
    if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      return Error{ErrorCode::kInternal, "the callback was not called within 20 s"};
    }
    return future.get();
  }
  int calls() const { return state_->calls; }

 private:
  struct State {
    std::promise<Result<T>> promise;
    std::atomic<int> calls{0};
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

inline Result<hub::RepoInfo> info_of(hub::HubClient& client, const hub::RepoId& repo,
                                     const std::string& revision,
                                     Duration time = std::chrono::seconds(10)) {
  Answer<hub::RepoInfo> answer;
  client.repo_info(repo, revision, deadline_in(time), answer.callback());
  return answer.wait();
}

inline Result<hub::RepoRefs> refs_of(hub::HubClient& client, const hub::RepoId& repo,
                                     Duration time = std::chrono::seconds(10)) {
  Answer<hub::RepoRefs> answer;
  client.list_refs(repo, deadline_in(time), answer.callback());
  return answer.wait();
}

struct Listed {
  Result<bool> more = false;
  std::vector<hub::TreeEntry> entries;
  std::size_t pages = 0;
};

// `stop_after`: pages after which on_page says stop.
inline Listed tree_of(hub::HubClient& client, const hub::RepoId& repo, const std::string& commit,
                      const std::string& directory, bool recursive,
                      Duration time = std::chrono::seconds(10),
                      std::size_t stop_after = SIZE_MAX) {
  auto listed = std::make_shared<Listed>();
  Answer<bool> answer;
  client.list_tree(
      repo, commit, directory, recursive, deadline_in(time),
      [listed, stop_after](std::vector<hub::TreeEntry> page) {
        listed->entries.insert(listed->entries.end(), page.begin(), page.end());
        return ++listed->pages < stop_after;
      },
      answer.callback());
  Listed result;
  result.more = answer.wait();
  if (!result.more && result.more.error().code == ErrorCode::kInternal) return result;
  result.entries = listed->entries;
  result.pages = listed->pages;
  return result;
}

inline Result<hub::RepoPage> list_of(hub::HubClient& client, hub::RepoType type,
                                     const std::string& owner, const std::string& next = "",
                                     Duration time = std::chrono::seconds(10)) {
  Answer<hub::RepoPage> answer;
  client.list_repos(type, owner, next, deadline_in(time), answer.callback());
  return answer.wait();
}

// A fetch under way, and what has come of it.
class Fetching {
 public:
  Fetching(hub::HubClient& client, const hub::FileRef& file, ByteRange range,
           Duration time = std::chrono::seconds(10),
           hub::Priority priority = hub::Priority::kDemand, bool hedged = true)
      : state_(std::make_shared<State>()) {
    hub::FetchRequest request;
    request.file = file;
    request.hedged = hedged;
    request.range = range;
    request.priority = priority;
    request.deadline = deadline_in(time);
    state_->next = range.begin;
    request.on_bytes = [state = state_](std::uint64_t offset, ByteView bytes) {
      if (offset != state->next || bytes.empty()) state->contiguous = false;
      state->next = offset + bytes.size();
      state->bytes.append(as_text(bytes));
    };
    request.on_done = answer_.callback();
    id_ = client.fetch(std::move(request));
  }

  hub::FetchId id() const { return id_; }
  Result<void> wait() { return answer_.wait(); }
  // After wait().
  const std::string& bytes() const { return state_->bytes; }
  bool contiguous() const { return state_->contiguous; }
  int done_calls() const { return answer_.calls(); }

 private:
  struct State {
    std::string bytes;
    std::uint64_t next = 0;
    bool contiguous = true;
  };
  std::shared_ptr<State> state_;
  Answer<void> answer_;
  hub::FetchId id_ = 0;
};

}  // namespace hubvfs
