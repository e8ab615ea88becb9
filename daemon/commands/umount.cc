// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <ostream>

#include "base/text.h"
#include "daemon/busy.h"
#include "daemon/commands/commands.h"
#include "daemon/kernel_mount.h"
#include "daemon/mountinfo.h"
#include "daemon/presence.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::seconds;

constexpr auto kEndPatience = seconds(10);
constexpr auto kLazyPatience = seconds(1);
constexpr std::size_t kMostNamed = 10;

Result<MountEntry> find_mount(const std::string& dir) {
  auto path = canonical_path(dir);
  if (!path) return path.error();
  auto mounts = read_mountinfo();
  if (!mounts) return mounts.error();
  const MountEntry* there = mounted_at(*mounts, *path);
  if (there == nullptr || !there->is_hubvfs()) {
    return {ErrorCode::kNotFound, "no hubvfs is mounted at " + escape_for_log(*path, 1024) +
                                      "; `hubvfs status` lists the mounts there are"};
  }
  return *there;
}

Error busy_error(const MountEntry& mount) {
  std::string text = "cannot unmount " + escape_for_log(mount.mount_point, 1024) + ": it is in use";
  const auto users = processes_using(mount);
  for (std::size_t i = 0; i < users.size() && i < kMostNamed; ++i) {
    text += (i == 0 ? " by " : ", ") + users[i].name + " (process " + std::to_string(users[i].pid) +
            ", " + users[i].use + ")";
  }
  if (users.size() > kMostNamed) {
    text += " and " + std::to_string(users.size() - kMostNamed) + " more";
  }
  return {ErrorCode::kBusy, text + "; end these, or detach it now with `hubvfs umount -l`"};
}

}  // namespace

int umount_command(const UmountCommand& command, const Io& io) {
  auto mount = find_mount(command.dir);
  if (!mount) return fail(io, mount.error());
  const auto keeper = find_keeper(mount->device, mount->user_id);
  // Out of its own way, where this was started from inside the mount.
  if (::chdir("/") < 0) return fail(io, system_error(errno, "leaving the current folder"));
  auto gone = unmount(mount->mount_point, command.lazy);
  if (!gone && gone.error().code == ErrorCode::kBusy) return fail(io, busy_error(*mount));
  if (!gone) return fail(io, gone.error());
  if (!keeper || wait_for_end(*keeper, command.lazy ? kLazyPatience : kEndPatience)) return kExitOk;
  if (command.lazy) {
    io.out << "detached; process " << keeper->pid << " serves it until the last open file is closed"
           << std::endl;
    return kExitOk;
  }
  return fail(io, {ErrorCode::kTimedOut, "unmounted, but process " + std::to_string(keeper->pid) +
                                             " has not let go of it yet; see the log"});
}

}  // namespace hubvfs::daemon
