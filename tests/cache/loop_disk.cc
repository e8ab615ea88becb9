// SPDX-License-Identifier: Apache-2.0
#include "tests/cache/loop_disk.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>
#include <vector>

namespace hubvfs::cache {
namespace {

// Of ext4, and of XFS before it: FS_IOC_SHUTDOWN, which linux/fs.h does not have yet.
constexpr unsigned long kShutdown = _IOR('X', 125, std::uint32_t);
constexpr std::uint32_t kWithoutLogFlush = 2;

void require(bool done, const std::string& what) {
  if (done) return;
  std::cerr << what << ": " << std::strerror(errno) << "\n";
  std::abort();
}

std::string tool_path(const std::string& type) {
  for (const char* folder : {"/usr/sbin/", "/sbin/", "/usr/bin/"}) {
    std::string path = folder + ("mkfs." + type);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

void make_filesystem(const std::string& type, const std::string& device) {
  const std::string tool = tool_path(type);
  std::vector<std::string> words = {tool, "-q", type == "xfs" ? "-f" : "-F", device};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  require(::posix_spawn(&child, tool.c_str(), nullptr, nullptr, argv.data(), environ) == 0, tool);
  int status = 0;
  require(::waitpid(child, &status, 0) == child && status == 0, tool + " failed");
}

// Mounts made after this are this process's alone, and end with it.
void take_own_mount_namespace() {
  static const bool kDone = [] {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }();
  require(kDone, "a mount namespace");
}

}  // namespace

std::string LoopDisk::why_not(const std::string& type) {
  if (::geteuid() != 0) return "only root can mount a disk of its own";
  if (::access("/dev/loop-control", R_OK | W_OK) != 0) return "there are no loop devices";
  if (tool_path(type).empty()) {
    return "mkfs." + type + " is missing: install " + (type == "xfs" ? "xfsprogs" : "e2fsprogs");
  }
  return "";
}

LoopDisk::LoopDisk(const std::string& type, std::uint64_t size) : type_(type) {
  take_own_mount_namespace();
  const UniqueFd file(::open((folder_ / "disk").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  require(file && ::ftruncate(file.get(), static_cast<off_t>(size)) == 0, "a disk's file");
  const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  require(static_cast<bool>(control), "/dev/loop-control");
  for (int attempt = 0; !loop_ && attempt < 100; ++attempt) {  // others take loop devices, too
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    require(number >= 0, "a free loop device");
    device_ = "/dev/loop" + std::to_string(number);
    UniqueFd device(::open(device_.c_str(), O_RDWR | O_CLOEXEC));
    loop_config config{};
    config.fd = static_cast<std::uint32_t>(file.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (device && ::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) loop_ = std::move(device);
  }
  require(static_cast<bool>(loop_), "a loop device");
  make_filesystem(type_, device_);
  mount();
  require(::chmod(path().c_str(), S_IRWXU) == 0, path());
}

LoopDisk::~LoopDisk() {
  if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
}

void LoopDisk::mount() {
  require(::mount(device_.c_str(), path().c_str(), type_.c_str(), MS_NOATIME, nullptr) == 0,
          "mounting " + type_);
  mounted_ = true;
}

// What a process that just ended had open there, the kernel lets go of a moment later.
void LoopDisk::unmount() {
  bool done = false;
  for (int tries = 0; tries < 100 && !done; ++tries) {
    if (tries > 0) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    done = ::umount2(path().c_str(), 0) == 0;
    if (!done && errno != EBUSY) break;
  }
  require(done, "unmounting " + type_);
  mounted_ = false;
}

void LoopDisk::cut_power() {
  const UniqueFd root(::open(path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::uint32_t how = kWithoutLogFlush;
  require(::ioctl(root.get(), kShutdown, &how) == 0, "shutting " + type_ + " down");
}

}  // namespace hubvfs::cache
