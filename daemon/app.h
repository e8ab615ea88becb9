// SPDX-License-Identifier: Apache-2.0
// The worker: everything that serves the mounts of one cache, built and joined here.
#pragma once

namespace hubvfs::daemon {

// The whole life of a worker process, on the socket of worker_link.h. Returns its exit status: 0 when
// the keeper said stop or is gone; before anything else it has told the keeper why.
int run_worker();

}  // namespace hubvfs::daemon
