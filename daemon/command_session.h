// SPDX-License-Identifier: Apache-2.0
// A command's way to the worker that has the cache open: the daemon's where one runs, else one of
// its own that ends with the command.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/command_request.h"
#include "daemon/paths.h"
#include "daemon/worker_link.h"

namespace hubvfs::daemon {

struct CommandCall {
  WorkerSettings settings;  // of a worker of its own; its log file is filled in here
  CommandRequest request;
  int fd = -1;               // goes along; borrowed
  bool asks_hub = false;     // a daemon that asks another Hub than `settings` say is refused
  bool makes_cache = false;  // where there is none; else that is an error
};

struct CommandEvents {  // on the calling thread
  std::function<void(const CommandProgress&)> on_progress;
  std::function<void(const std::string& json)> on_item;
  std::function<void(const std::string& text)> on_note;  // for the user: what may surprise
};

// Has it carried out; the JSON object that sums it up. kCancelled: SIGINT, SIGTERM or SIGHUP came,
// or the worker died in the middle; what was done until then is kept. kBusy: the cache is in use by
// something that is no daemon, or by one for another Hub. Before the worker is asked, a signal ends
// the process as ever. Only for a process without threads.
Result<std::string> call_worker(CommandCall call, const CommandEvents& events,
                                const GetEnv& getenv);

}  // namespace hubvfs::daemon
