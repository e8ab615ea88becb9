// SPDX-License-Identifier: Apache-2.0
// How commands that know only a mount find the keeper of it, and learn when it has let go of it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {

// A socket in the abstract namespace, named for the mount's device number, that lasts exactly as
// long as the keeper holds the mount. Who connects learns the keeper's pid and user from the
// kernel, may ask kStatus (messages.h), and finds the connection closed when the mount has ended.
class Presence {
 public:
  Presence() = default;  // none
  // Without a name (taken, or none to be had) the mount works all the same.
  explicit Presence(const std::string& device);
  int fd() const { return listener_.get(); }  // readable when somebody has connected; -1: no name

 private:
  UniqueFd listener_;
};

struct FoundKeeper {
  pid_t pid = 0;
  UniqueFd connection;
};

// The keeper of the mount with this device number, if it is of `owner` or root.
std::optional<FoundKeeper> find_keeper(const std::string& device, uid_t owner);
// False when it still holds the mount after `timeout`. Nothing may have been asked.
bool wait_for_end(const FoundKeeper& keeper, Duration timeout);

}  // namespace hubvfs::daemon
