// SPDX-License-Identifier: Apache-2.0
#include "daemon/kernel_mount.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/text.h"
#include "daemon/child.h"
#include "daemon/mountinfo.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::seconds;

constexpr const char* kReadAheadKib = "1024";

std::string shown(const std::string& path) { return escape_for_log(path, 1024); }

Error no_fuse(int error) {
  std::string next =
      error == ENOENT || error == ENODEV
          ? ": load the module (modprobe fuse), or give the container the device (--device "
            "/dev/fuse)"
          : ": in a container, give it the device and the right to mount (--device /dev/fuse "
            "--cap-add SYS_ADMIN)";
  return {ErrorCode::kUnsupported,
          "cannot open /dev/fuse: " + std::string(std::strerror(error)) + next};
}

Result<UniqueFd> mount_as_root(const std::string& dir, bool allow_other) {
  UniqueFd dev(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!dev) return no_fuse(errno);
  // By descriptor, so that nothing can be put in the way of the path that was checked.
  const UniqueFd target(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!target) return system_error(errno, "cannot open " + shown(dir));
  const std::string options = "fd=" + std::to_string(dev.get()) +
                              ",rootmode=40000,user_id=" + std::to_string(::getuid()) +
                              ",group_id=" + std::to_string(::getgid()) + ",default_permissions" +
                              (allow_other ? ",allow_other" : "");
  const std::string path = "/proc/self/fd/" + std::to_string(target.get());
  if (::mount("hubvfs", path.c_str(), "fuse.hubvfs", MS_RDONLY | MS_NOSUID | MS_NODEV,
              options.c_str()) < 0) {
    const int error = errno;
    Error failed = system_error(error, "cannot mount at " + shown(dir));
    if (error == EPERM) failed.context += ": in a container, give it --cap-add SYS_ADMIN";
    return failed;
  }
  return dev;
}

// The descriptor that fusermount3 sent before it ended, if it did.
UniqueFd receive_fd(int sock) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(sock, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0) return UniqueFd();
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    return UniqueFd();
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

Error explain_fusermount(const std::string& dir, const ProgramEnd& end) {
  std::string text =
      "cannot mount at " + shown(dir) + ": " +
      (end.errors.empty() ? "fusermount3 ended with status " + std::to_string(end.status)
                          : escape_for_log(end.errors, 1024));
  if (end.errors.find("user_allow_other") != std::string::npos) {
    text += ": an administrator has to add that line, or mount without -o allow_other";
  } else if (end.errors.find("/dev/fuse") != std::string::npos) {
    text += ": /dev/fuse has to exist and be usable by everyone (mode 0666)";
  }
  return {ErrorCode::kPermissionDenied, text};
}

Result<UniqueFd> mount_as_user(const std::string& dir, bool allow_other) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
    return system_error(errno, "making a socket for fusermount3");
  }
  const UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  const std::string options =
      std::string("ro,nosuid,nodev,default_permissions,fsname=hubvfs,subtype=hubvfs") +
      (allow_other ? ",allow_other" : "");
  auto end = run_program_with_fd({"fusermount3", "-o", options, "--", dir}, seconds(30),
                                 "_FUSE_COMMFD", theirs.get());
  if (!end && end.error().code == ErrorCode::kNotFound) {
    return {ErrorCode::kUnsupported,
            "fusermount3 is not installed, and without it only root can mount: install fuse3"};
  }
  if (!end) return end.error().within("cannot mount at " + shown(dir));
  UniqueFd dev = receive_fd(ours.get());
  if (end->status != 0 || !dev) return explain_fusermount(dir, *end);
  return dev;
}

Result<void> unmount_as_user(const std::string& dir, bool lazy) {
  std::vector<std::string> argv{"fusermount3", "-u"};
  if (lazy) argv.push_back("-z");
  argv.insert(argv.end(), {"--", dir});
  auto end = run_program(argv, seconds(20));
  if (!end) return end.error().within("cannot unmount " + shown(dir));
  if (end->status == 0) return {};
  const bool busy = end->errors.find("busy") != std::string::npos;
  return {busy ? ErrorCode::kBusy : ErrorCode::kPermissionDenied,
          "cannot unmount " + shown(dir) + ": " + escape_for_log(end->errors, 1024)};
}

}  // namespace

Result<KernelMount> KernelMount::mount(const std::string& dir, bool allow_other) {
  auto dev = ::geteuid() == 0 ? mount_as_root(dir, allow_other) : mount_as_user(dir, allow_other);
  if (!dev) return dev.error();
  KernelMount mounted(dir, std::move(*dev));
  if (auto known = mounted.learn_device(); !known) {
    static_cast<void>(unmount(dir, true));
    return known.error();
  }
  return mounted;
}

Result<void> KernelMount::learn_device() {
  auto mounts = read_mountinfo();
  if (!mounts) return mounts.error();
  const MountEntry* entry = mounted_at(*mounts, dir_);
  if (entry == nullptr || !entry->is_hubvfs()) {
    return {ErrorCode::kInternal, "mounted, but /proc/self/mountinfo does not show " + shown(dir_)};
  }
  device_ = entry->device;
  return {};
}

KernelMount& KernelMount::operator=(KernelMount&& other) noexcept {
  if (this == &other) return *this;
  if (dev_fd_) detach();
  dir_ = std::move(other.dir_);
  device_ = std::move(other.device_);
  dev_fd_ = std::move(other.dev_fd_);
  return *this;
}

KernelMount::~KernelMount() {
  if (dev_fd_) detach();
}

bool KernelMount::attached() const {
  auto mounts = read_mountinfo();
  if (!mounts) return false;
  const MountEntry* entry = mounted_at(*mounts, dir_);
  return entry != nullptr && entry->device == device_;
}

void KernelMount::detach() {
  if (!device_.empty() && attached()) static_cast<void>(unmount(dir_, true));
}

void KernelMount::raise_read_ahead() const {
  const std::string path = "/sys/class/bdi/" + device_ + "/read_ahead_kb";
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd) {
    [[maybe_unused]] const ssize_t written =
        ::write(fd.get(), kReadAheadKib, std::strlen(kReadAheadKib));
  }
}

Result<void> unmount(const std::string& dir, bool lazy) {
  if (::geteuid() != 0) return unmount_as_user(dir, lazy);
  if (::umount2(dir.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return {};
  const int error = errno;
  if (error == EINVAL) return {ErrorCode::kNotFound, shown(dir) + " is not a mount point"};
  return system_error(error, "cannot unmount " + shown(dir));
}

}  // namespace hubvfs::daemon
