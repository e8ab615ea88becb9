// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"

namespace hubvfs::fs {

// The replies that one mount owes to its requests, so that it can be closed while others go on:
// what waits for the Hub together with requests of other mounts is answered here, and the answer
// that comes later finds its reply given.
//
// Thread-safe. Lock rank: leaf; none is held while a reply runs.
class PendingReplies {
  struct State;
  struct Running;

  struct Base {
    virtual ~Base() = default;
    virtual void fail(const Error& error) = 0;
    bool claimed = false;  // guarded by the state's mutex
    std::list<std::weak_ptr<Base>>::iterator at;
  };

 public:
  template <typename T>
  using Reply = std::function<void(const Result<T>&)>;

  // One reply, given once at most.
  template <typename T>
  class Owed final : public Base {
   public:
    Owed(std::shared_ptr<State> state, Reply<T> reply)
        : state_(std::move(state)), reply_(std::move(reply)) {}
    ~Owed() override { state_->claim(*this, false); }
    Owed(const Owed&) = delete;
    Owed& operator=(const Owed&) = delete;

    // Calls `answer` with the reply, unless it was given before; close() waits for it.
    template <typename Answer>
    void run(Answer&& answer) {
      if (!state_->claim(*this, true)) return;
      const Running running{*state_};
      answer(reply_);
    }
    void give(const Result<T>& result) {
      run([&](const Reply<T>& reply) { reply(result); });
    }

   private:
    void fail(const Error& error) override { reply_(error); }

    const std::shared_ptr<State> state_;
    const Reply<T> reply_;
  };

  // Null after close(): `reply` was then given its error.
  template <typename T>
  std::shared_ptr<Owed<T>> owe(Reply<T> reply) {
    auto owed = std::make_shared<Owed<T>>(state_, std::move(reply));
    const auto closed = state_->enter(owed);
    if (!closed) return owed;
    state_->fail(*owed, *closed);
    return nullptr;
  }
  // The same as a plain function, empty after close().
  template <typename T>
  Reply<T> hold(Reply<T> reply) {
    auto owed = owe<T>(std::move(reply));
    if (!owed) return {};
    return [owed = std::move(owed)](const Result<T>& result) { owed->give(result); };
  }

  // Gives `error` to all that is owed and to what comes later. When it returns no reply is running
  // and none will run; so not to be called from one.
  void close(const Error& error) { state_->close(error); }

 private:
  struct State {
    // None: it is in. Else the error that closed this.
    std::optional<Error> enter(const std::shared_ptr<Base>& owed) EXCLUDES(mutex) {
      MutexLock lock(mutex);
      if (closed) {
        owed->claimed = true;
        ++running;
        return closed;
      }
      owed->at = waiting.insert(waiting.end(), owed);
      return {};
    }
    // False: somebody else has it.
    bool claim(Base& owed, bool to_run) EXCLUDES(mutex) {
      MutexLock lock(mutex);
      if (owed.claimed) return false;
      owed.claimed = true;
      waiting.erase(owed.at);
      if (to_run) ++running;
      return true;
    }
    void given() EXCLUDES(mutex) {
      MutexLock lock(mutex);
      if (--running == 0) idle.notify_all();
    }
    void fail(Base& owed, const Error& error) {
      const Running until_given{*this};
      owed.fail(error);
    }
    void close(const Error& error) EXCLUDES(mutex) {
      std::vector<std::shared_ptr<Base>> all;
      {
        MutexLock lock(mutex);
        if (!closed) closed = error;
        for (const std::weak_ptr<Base>& weak : waiting) {
          if (auto owed = weak.lock()) all.push_back(std::move(owed));
        }
      }
      for (const auto& owed : all) {
        if (claim(*owed, true)) fail(*owed, error);
      }
      MutexLock lock(mutex);
      while (running != 0) idle.wait(mutex);
    }

    Mutex mutex;
    CondVar idle;
    std::list<std::weak_ptr<Base>> waiting GUARDED_BY(mutex);
    int running GUARDED_BY(mutex) = 0;  // replies
    std::optional<Error> closed GUARDED_BY(mutex);
  };

  struct Running {  // ends with the reply, even where that throws
    State& state;
    ~Running() { state.given(); }
  };

  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace hubvfs::fs
