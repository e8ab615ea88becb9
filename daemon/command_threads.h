// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/command_request.h"
#include "daemon/messages.h"

namespace hubvfs::daemon {

// The command at the other end of a connection, for the code that works for it. Thread-safe.
class CommandCaller {
 public:
  // `extra`: the descriptor that came with the request, or none.
  CommandCaller(UniqueFd connection, UniqueFd extra)
      : connection_(std::move(connection)), extra_(std::move(extra)) {}

  // It hung up (a Ctrl-C), or this worker is to end: stop as soon as possible.
  bool cancelled() const;
  // Told at most ten times a second, but for the end of a thing, and not at all while the caller
  // does not listen.
  void progress(const CommandProgress& progress) EXCLUDES(mutex_);
  // One JSON object of the answer. Waits for a slow caller. kCancelled: as above.
  Result<void> item(std::string_view json) const;
  int extra_fd() const { return extra_.get(); }  // -1: none

  // The end of it: a JSON object, or why not. Waits as item() does.
  void finish(const Result<std::string>& answer) const;
  void cancel() { cancelled_ = true; }

 private:
  Result<void> send(MessageKind kind, ByteView body) const;

  const UniqueFd connection_;
  const UniqueFd extra_;
  std::atomic<bool> cancelled_{false};
  const SystemClock clock_;

  Mutex mutex_;  // lock rank: leaf
  std::optional<TimePoint> told_ GUARDED_BY(mutex_);
};

// The commands that a worker carries out, each on a thread of its own, a few at a time. Not
// thread-safe.
class CommandThreads {
 public:
  // Does what is asked for and returns a JSON object. On the command's thread, which may wait.
  using CarryOut = std::function<Result<std::string>(const CommandRequest&, CommandCaller&)>;

  CommandThreads(CarryOut carry_out, Logger& log) : carry_out_(std::move(carry_out)), log_(log) {}
  ~CommandThreads() { stop(); }
  CommandThreads(const CommandThreads&) = delete;
  CommandThreads& operator=(const CommandThreads&) = delete;

  // `message`: kCommand with the command's connection. Does not wait.
  void start(Message message);
  // Cancels what is under way and returns when it has ended.
  void stop();

 private:
  struct Job {
    std::weak_ptr<CommandCaller> caller;  // its thread has it, and with it the connection
    std::shared_ptr<std::atomic<bool>> ended;
    std::thread thread;
  };

  void run(const CommandRequest& request, CommandCaller& caller) const;
  void bury_ended();

  const CarryOut carry_out_;
  Logger& log_;
  std::list<Job> jobs_;
};

}  // namespace hubvfs::daemon
