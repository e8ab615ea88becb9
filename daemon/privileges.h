// SPDX-License-Identifier: Apache-2.0
// What the processes give up before they meet bytes from outside.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace hubvfs::daemon {

// No core files, and memory, environment and descriptors closed to other processes of this user.
void seal_process();

// Gives up every capability for good, whatever is executed later; as root also the supplementary
// groups. The uid stays. Makes system calls only: for a child between fork and exec. False: some of
// it failed.
bool drop_privileges();

// While it lives this thread may do to files what a worker may: that has our uid and gid, and no
// capability, root's neither. System calls only; one at a time.
class WorkersRights {
 public:
  WorkersRights();
  ~WorkersRights();
  WorkersRights(const WorkersRights&) = delete;
  WorkersRights& operator=(const WorkersRights&) = delete;

 private:
  bool changed_ = false;
};

// kPermissionDenied when this process still has a capability or may gain one.
Result<void> check_unprivileged();

// The part of `environment` ("NAME=VALUE") that a worker gets: where files and proxies are, not
// what changes how programs are loaded (LD_*), what leaks keys (SSLKEYLOGFILE), nor any token.
std::vector<std::string> worker_environment(const char* const* environment);

}  // namespace hubvfs::daemon
