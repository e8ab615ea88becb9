// SPDX-License-Identifier: Apache-2.0
#include "daemon/mount_point.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/child.h"
#include "daemon/kernel_mount.h"
#include "daemon/mountinfo.h"
#include "daemon/paths.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::seconds;

constexpr auto kPatience = seconds(5);

std::string shown(const std::string& path) { return escape_for_log(path, 1024); }

// What a folder is, in a word, since it is asked in a child.
std::string look_at(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return "absent";
    if (errno == ENOTDIR || errno == ELOOP) return "not-a-folder";
    if (errno == ENOTCONN) return "dead";
    return std::string("error ") + std::strerror(errno);
  }
  DIR* dir = ::fdopendir(::dup(fd.get()));
  if (dir == nullptr) return std::string("error ") + std::strerror(errno);
  std::string found = "empty";
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") found = "not-empty";
  }
  ::closedir(dir);
  return found;
}

Error refused(const std::string& path, const std::string& why) {
  return {ErrorCode::kUnsupported, "cannot mount at " + shown(path) + ": " + why};
}

// True when a dead mount was taken away.
Result<bool> clear_mount(const MountEntry& there) {
  const std::string& path = there.mount_point;
  auto state = ask_child([&path] { return look_at(path); }, kPatience);
  if (!state || *state != "dead") {
    return refused(path,
                   "a hubvfs is mounted there already; see `hubvfs status`, or end it with "
                   "`hubvfs umount " +
                       shown(path) + "`");
  }
  if (auto gone = unmount(path, true); !gone) {
    return gone.error().within("a hubvfs that died is still mounted there");
  }
  return true;
}

Result<void> check_folder(MountPoint& point) {
  auto state = ask_child([&point] { return look_at(point.path); }, kPatience);
  if (!state) return refused(point.path, "its file system does not answer");
  if (*state == "absent") {
    if (::mkdir(point.path.c_str(), 0755) < 0) {
      return system_error(errno, "cannot make the folder " + shown(point.path));
    }
    point.made = true;
    return {};
  }
  if (*state == "empty") return {};
  if (*state == "not-empty") {
    return refused(point.path,
                   "it is not empty, and what is in it would be hidden; choose another folder");
  }
  if (*state == "not-a-folder") return refused(point.path, "it is not a folder");
  if (*state == "dead")
    return refused(point.path, "what is mounted there is dead; unmount it first");
  return refused(point.path, state->substr(state->find(' ') + 1));
}

}  // namespace

Result<MountPoint> prepare_mount_point(const std::string& dir) {
  auto path = canonical_path(dir);
  if (!path && path.error().code == ErrorCode::kNotFound) {
    return refused(dir, "its parent folder does not exist; make that first");
  }
  if (!path) return path.error().within("cannot mount at " + shown(dir));
  MountPoint point{*path};
  if (point.path == "/") return refused(dir, "the root of the file system; choose another folder");
  for (;;) {
    auto mounts = read_mountinfo();
    if (!mounts) return mounts.error();
    if (const MountEntry* around = hubvfs_around(*mounts, point.path)) {
      return refused(point.path, "it lies inside the hubvfs mounted at " +
                                     shown(around->mount_point) + "; choose another folder");
    }
    const MountEntry* there = mounted_at(*mounts, point.path);
    if (there == nullptr || !there->is_hubvfs()) break;
    auto cleared = clear_mount(*there);
    if (!cleared) return cleared.error();
    point.recovered = true;
  }
  if (auto fit = check_folder(point); !fit) return fit.error();
  return point;
}

void discard_mount_point(const MountPoint& point) {
  if (point.made) ::rmdir(point.path.c_str());
}

}  // namespace hubvfs::daemon
