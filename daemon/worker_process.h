// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {

// A running worker as the keeper sees it. Destroying it does not end the process.
struct WorkerProcess {
  pid_t pid = 0;
  UniqueFd pidfd;  // readable once it is dead
  UniqueFd link;   // SOCK_SEQPACKET, worker_link.h
  bool ready = false;
};

// Starts this same program again as a worker, without privileges, in a session of its own, and
// hands it settings and INIT. It is killed when the keeper dies. `settings` as
// WorkerSettings::encode gives them.
Result<WorkerProcess> start_worker(int dev_fd, const std::string& label, ByteView settings,
                                   ByteView init_request);

}  // namespace hubvfs::daemon
