// SPDX-License-Identifier: Apache-2.0
// Child processes with a time limit: for programs, and for system calls that a dead mount would
// block. Only for a process without threads.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace hubvfs::daemon {

// What `answer` returns, computed in a forked child. kTimedOut: it took longer, and was killed; if
// it cannot be killed it is left behind, never waited for. The child sees all descriptors of this
// process.
Result<std::string> ask_child(const std::function<std::string()>& answer, Duration timeout);

struct ProgramEnd {
  int status = 0;      // exit status; 128 + signal when killed
  std::string errors;  // what it wrote to standard error, trimmed, its first 4 KiB
};

// Runs a program found in PATH with standard input and output closed to it and LC_ALL=C. kNotFound:
// there is no such program. kTimedOut: as above.
Result<ProgramEnd> run_program(const std::vector<std::string>& argv, Duration timeout);

// The same with one more descriptor for it, whose number it finds in the environment variable
// `name`.
Result<ProgramEnd> run_program_with_fd(const std::vector<std::string>& argv, Duration timeout,
                                       const std::string& name, int fd);

}  // namespace hubvfs::daemon
