// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {

// A running worker as the keeper sees it. Destroying it does not end the process.
struct WorkerProcess {
  pid_t pid = 0;
  UniqueFd pidfd;  // readable once it is dead
  UniqueFd link;   // SOCK_SEQPACKET, messages.h
};

// Starts this same program again as a worker, without privileges, in a session of its own, and
// sends it its settings (as WorkerSettings::encode gives them) with the memory it shares with the
// keeper. It is killed when the keeper dies. `label` is for people who read `ps`.
Result<WorkerProcess> start_worker(const std::string& label, ByteView settings,
                                   const std::vector<int>& shared_memory);

}  // namespace hubvfs::daemon
