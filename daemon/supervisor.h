// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/messages.h"
#include "daemon/worker_process.h"
#include "fs/open_table.h"
#include "fs/request_journal.h"

namespace hubvfs::daemon {

// One worker after the other, for the keeper: starts it, notices its death, waits before a start
// where several died at once, and fences what does not behave (threats-and-faults, section 7). At
// most one worker serves at a time. Knows nothing of mounts. One thread.
class Supervisor {
 public:
  // `settings` as WorkerSettings::encode gives them. kIo: no memory to share with the workers.
  static Result<std::unique_ptr<Supervisor>> create(Bytes settings, std::string label, Logger& log,
                                                    const Clock& clock);
  ~Supervisor();  // kills what is left

  bool running() const { return current_.pid != 0; }
  const WorkerProcess& current() const { return current_; }
  // When the next worker is to be started; none: one runs.
  std::optional<TimePoint> next_start() const;
  // Starts a worker if it is time to. True: there is a new one.
  bool start_if_due();
  // It is of use: what it was asked to serve, it serves.
  void note_ready() { current_ready_ = true; }

  struct Death {
    pid_t pid = 0;
    std::string how;  // "was killed by signal 9"
    bool was_ready = false;
    std::vector<Message> said;  // what still lay in its socket
  };
  // None: the current worker lives.
  std::optional<Death> bury_current();
  // Kills the current worker. It is dead to us at once, whenever it dies.
  void fence();
  // How many fenced workers have died since the last call. What they held since their successor
  // began has to be asked for again.
  std::size_t bury_fenced();
  // For poll: become readable when a fenced worker dies.
  std::vector<int> fenced_fds() const;

  // As OpenTable::open_nodes.
  std::optional<std::unordered_set<std::uint64_t>> open_nodes(std::uint32_t number) const {
    return open_table_->open_nodes(number);
  }
  // The mount's connection is gone: nothing of it is open any more.
  void forget_mount(std::uint32_t number) { open_table_->forget_mount(number); }

  // Whether it makes no sense to go on: five died within 10 s, and none of them answered anything
  // that it was asked.
  bool hopeless() const { return fruitless_.size() >= kMostFruitless; }
  // Lets the current worker end, and kills what does not within `patience`.
  void stop(Duration patience);

  struct Counts {
    std::uint64_t started = 0;
    std::uint64_t died = 0;
    std::string last_death;  // "" when none did
    fs::RequestJournal::Counts requests;
  };
  Counts counts() const;

 private:
  static constexpr std::size_t kMostFruitless = 5;
  Supervisor(Bytes settings, std::string label, Logger& log, const Clock& clock)
      : settings_(std::move(settings)), label_(std::move(label)), log_(log), clock_(clock) {}
  void note_death(bool fruitless);

  const Bytes settings_;
  const std::string label_;
  Logger& log_;
  const Clock& clock_;
  UniqueFd journal_fd_;
  UniqueFd open_table_fd_;
  std::unique_ptr<fs::RequestJournal> journal_;
  std::unique_ptr<fs::OpenTable> open_table_;

  WorkerProcess current_;  // pid 0: none just now
  bool current_ready_ = false;
  fs::RequestJournal::Counts at_start_;  // of the current worker
  std::vector<WorkerProcess> fenced_;
  TimePoint start_at_{};
  std::deque<TimePoint> deaths_;     // of the last second
  std::deque<TimePoint> fruitless_;  // of the last ten, in a row
  std::uint64_t started_ = 0;
  std::uint64_t died_ = 0;
  std::string last_death_;
};

}  // namespace hubvfs::daemon
