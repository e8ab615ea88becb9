// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/worker_link.h"
#include "fs/backend.h"
#include "fs/fuse_session.h"
#include "fs/operations.h"
#include "fs/request_journal.h"

namespace hubvfs::daemon {

// One mount as the worker serves it: its FUSE connection, what answers there, and the thread that
// runs it. Thread-safe.
class ServedMount {
 public:
  struct Events {                                 // called on other threads
    std::function<void()> on_ready;               // it can be used
    std::function<void(const Error&)> on_failed;  // it cannot be, and the mount should end
    std::function<void()> on_ended;               // unmounted or stopped: destroy this
  };
  // Starts to serve. `backend` and `journal` outlive this.
  static Result<std::unique_ptr<ServedMount>> start(const ServeOrder& order, UniqueFd device,
                                                    fs::Backend& backend,
                                                    fs::RequestJournal& journal, Logger& log,
                                                    Events events);
  ~ServedMount();  // answers what is parked
  ServedMount(const ServedMount&) = delete;
  ServedMount& operator=(const ServedMount&) = delete;

  void stop() { session_->stop(); }
  std::string status_json() const { return operations_->status_json(); }
  void set_passthrough(bool on, const std::string& why_not) {
    operations_->set_passthrough(on, why_not);
  }

 private:
  ServedMount(UniqueFd device, Events events)
      : device_(std::move(device)), events_(std::move(events)) {}
  void run(Logger& log);

  const UniqueFd device_;
  const Events events_;
  std::unique_ptr<fs::FuseSession> session_;
  std::shared_ptr<fs::Operations> operations_;
  std::thread thread_;
};

}  // namespace hubvfs::daemon
