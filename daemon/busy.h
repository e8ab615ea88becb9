// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "daemon/mountinfo.h"

namespace hubvfs::daemon {

struct BusyProcess {
  pid_t pid = 0;
  std::string name;
  std::string use;  // "current folder", "open file", ...
};

// Who keeps `mount` busy: read from /proc alone, never from the mount. Processes of other users are
// seen only by root.
std::vector<BusyProcess> processes_using(const MountEntry& mount);

}  // namespace hubvfs::daemon
