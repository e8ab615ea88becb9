// SPDX-License-Identifier: Apache-2.0
// What all commands share that the worker carries out.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "daemon/cli.h"
#include "daemon/command_request.h"
#include "daemon/commands/commands.h"
#include "daemon/json_values.h"

namespace hubvfs::daemon {

struct WorkerCommand {
  CacheOptions options;
  CommandRequest request;
  int fd = -1;  // as CommandCall, and the two below
  bool asks_hub = false;
  bool makes_cache = false;
  std::string items;  // what the items of the answer are called in its JSON; "": it has none

  using Print = std::function<void(const std::vector<JsonValues>& items, const JsonValues& summary,
                                   std::ostream& out)>;
  Print print;  // for people
  // What the command itself does once the worker is done, before anything is printed.
  std::function<Result<void>(const JsonValues& summary)> then;
  // Members that the command adds to the summary: `"key":"value"`, or "".
  std::string more_json;
  // The exit status where it was carried out; none: kExitOk.
  std::function<int(const JsonValues& summary)> status;
};

// "[datasets/|spaces/]ORG/NAME[@REVISION]", with "hf://" before it or not, into a request.
// kInvalidArgument: it is not that.
Result<void> read_repo(const std::string& text, CommandRequest& request);

// Has it carried out and shows how far it is and what came of it; the exit status. With --json that
// is one object on standard output, and nothing else.
int ask_worker(const WorkerCommand& command, const Io& io);

}  // namespace hubvfs::daemon
