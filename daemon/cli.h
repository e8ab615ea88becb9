// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "daemon/paths.h"

namespace hubvfs::daemon {

// What a command may touch of the outside world beside the file system.
struct Io {
  std::ostream& out;
  std::ostream& err;
  GetEnv getenv;
  bool out_is_terminal = false;
};

enum ExitStatus : int { kExitOk = 0, kExitFailed = 1, kExitUsage = 2 };

// The whole program: `args` without the program's name. Returns its exit status.
int run(const std::vector<std::string>& args, const Io& io);

}  // namespace hubvfs::daemon
