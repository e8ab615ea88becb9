// SPDX-License-Identifier: Apache-2.0
// The worker: everything that serves one mount, built and joined here.
#pragma once

namespace hubvfs::daemon {

// The whole life of a worker process, on the descriptors of worker_link.h. Returns its exit status:
// 0 when the mount is gone or the keeper said stop; before anything else it has told the keeper
// why.
int run_worker();

}  // namespace hubvfs::daemon
