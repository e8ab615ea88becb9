// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"

namespace hubvfs::daemon {

struct MountPoint {
  std::string path;        // canonical
  bool made = false;       // by us, just now
  bool recovered = false;  // a dead hubvfs mount was taken away from it
};

// Makes `dir` fit to be mounted on: makes it where its parent exists, takes away a hubvfs mount
// whose daemon is dead. Errors say why not: not a folder, not empty, a mount point already, inside
// a hubvfs mount. Never hangs on a mount that does not answer.
Result<MountPoint> prepare_mount_point(const std::string& dir);

// Takes back the folder that prepare_mount_point made.
void discard_mount_point(const MountPoint& point);

}  // namespace hubvfs::daemon
