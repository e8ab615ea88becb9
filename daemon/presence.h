// SPDX-License-Identifier: Apache-2.0
// How `umount` and `status` find the keeper of a mount, and learn when it has ended.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {

// A name in the abstract socket namespace, made from the mount's device number, that lasts exactly
// as long as the keeper. Nothing is ever read from it: whoever connects learns the keeper's pid
// from the kernel.
class Presence {
 public:
  // Without a name (taken, or none to be had) the keeper works all the same.
  explicit Presence(const std::string& device);
  int fd() const { return listener_.get(); }  // readable when somebody has connected; -1: no name
  void dismiss_visitor() const;

 private:
  UniqueFd listener_;
};

struct FoundKeeper {
  pid_t pid = 0;
  UniqueFd pidfd;
};

// The keeper of the mount with this device number, if one of `owner` or root lives.
std::optional<FoundKeeper> find_keeper(const std::string& device, uid_t owner);
// False when it still lives after `timeout`.
bool wait_for_end(const FoundKeeper& keeper, Duration timeout);

}  // namespace hubvfs::daemon
