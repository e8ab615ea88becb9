// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {

// A FUSE mount of ours, and the descriptor that serves it: mount(2) as root, fusermount3 as anyone
// else.
//
// Never touches what it mounted: with no worker to answer, that would block. Destroying it detaches
// the mount, if it is still there, and closes the descriptor.
class KernelMount {
 public:
  // `dir` is canonical, exists and is nobody's mount point. Always read-only, nosuid, nodev,
  // default_permissions. Errors name the next step.
  static Result<KernelMount> mount(const std::string& dir, bool allow_other);
  KernelMount() = default;  // none
  KernelMount(KernelMount&&) = default;
  KernelMount& operator=(KernelMount&& other) noexcept;  // ends the one it had
  ~KernelMount();

  int dev_fd() const { return dev_fd_.get(); }
  const std::string& dir() const { return dir_; }
  const std::string& device() const { return device_; }  // "MAJOR:MINOR"

  // Whether `dir` still shows this mount.
  bool attached() const;
  // Takes it out of the tree now; who has files open keeps them. Nothing when it is not there any
  // more.
  void detach();
  // Raises the mount's read_ahead_kb, where permitted. After INIT was answered.
  void raise_read_ahead() const;

 private:
  KernelMount(std::string dir, UniqueFd dev_fd)
      : dir_(std::move(dir)), dev_fd_(std::move(dev_fd)) {}
  Result<void> learn_device();

  std::string dir_;
  std::string device_;
  UniqueFd dev_fd_;
};

// Unmounts whatever is at `dir`. kBusy: in use, and not `lazy`. kPermissionDenied, kNotFound: as
// they say.
Result<void> unmount(const std::string& dir, bool lazy);

}  // namespace hubvfs::daemon
