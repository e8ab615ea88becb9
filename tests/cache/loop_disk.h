// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace hubvfs::cache {

// A filesystem of its own, in a file, whose power can be cut.
//
// It is mounted in a mount namespace of this process, so that nothing is left of it whatever
// becomes of the process.
class LoopDisk {
 public:
  // "ext4" or "xfs". Why it cannot be made here; "" when it can.
  static std::string why_not(const std::string& type);
  // Aborts the program where it fails after all.
  LoopDisk(const std::string& type, std::uint64_t size);
  ~LoopDisk();
  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;

  const std::string& path() const { return mount_.path(); }  // where it is mounted
  // Nothing more reaches the disk, the log of the filesystem included. Then it can be unmounted.
  void cut_power();
  void unmount();
  void mount();

 private:
  const std::string type_;
  TempDir folder_;
  TempDir mount_;
  UniqueFd loop_;
  std::string device_;
  bool mounted_ = false;
};

}  // namespace hubvfs::cache
