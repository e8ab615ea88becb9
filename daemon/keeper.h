// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/kernel_mount.h"
#include "daemon/presence.h"
#include "daemon/worker_process.h"

namespace hubvfs::daemon {

struct KeeperOptions {
  std::string dir;  // canonical, checked (mount_point.h)
  bool allow_other = false;
  Bytes worker_settings;  // WorkerSettings::encode
  bool stop_on_hangup =
      false;  // SIGHUP: true in the foreground, where it means that the terminal went away
  int audience_fd = -1;  // a pipe to whoever waits for on_ready; when its reader is gone before
                         // that, stop. Borrowed
  std::function<void()> on_ready;  // once, when the first worker answers
};

// The process that holds a mount and its worker's life (design, section 1; threats-and-faults,
// section 7).
//
// It keeps the descriptor and the INIT request, starts the worker, starts another when that dies,
// and unmounts on SIGTERM and SIGINT. It never parses a byte from outside and never touches its own
// mount: what becomes of that it learns from the descriptor. One thread.
class Keeper {
 public:
  // Mounts. SIGTERM, SIGINT and SIGHUP are blocked from then on, for good.
  static Result<std::unique_ptr<Keeper>> create(KeeperOptions options, Logger& log,
                                                const Clock& clock);
  ~Keeper();

  // Until the mount is gone. An error: why it had to end although nobody asked for it, or why it
  // never came to life; it is unmounted then, and all that waited for an answer has failed.
  Result<void> run();

 private:
  Keeper(KeeperOptions options, KernelMount mount, Logger& log, const Clock& clock);
  Result<void> prepare();
  void start();
  void wait_for_events();
  void hear_worker();
  void bury_current();
  void bury_corpses();
  void fence();
  void take_signals();
  void begin_stop();
  void wind_up();
  bool device_gone() const;
  int poll_timeout_ms() const;

  KeeperOptions options_;
  KernelMount mount_;
  Logger& log_;
  const Clock& clock_;
  Presence presence_;
  UniqueFd signals_;
  Bytes init_request_;
  WorkerProcess current_;               // pid 0: none just now
  std::vector<WorkerProcess> corpses_;  // killed as hung and not yet dead
  std::deque<TimePoint> deaths_;        // of the last second
  unsigned unanswered_deaths_ = 0;      // in a row, of workers that never got ready
  TimePoint start_at_{};
  std::optional<TimePoint> stop_at_;  // stopping: when patience with open files ends
  bool ever_ready_ = false;
  bool done_ = false;
  std::string worker_said_;  // its last kFailed
  std::optional<Error> failure_;
};

}  // namespace hubvfs::daemon
