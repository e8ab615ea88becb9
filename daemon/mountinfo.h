// SPDX-License-Identifier: Apache-2.0
// What is mounted, from /proc/self/mountinfo: the one source that never asks the mounts themselves.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hubvfs::daemon {

struct MountEntry {
  std::uint64_t id = 0;
  std::string device;       // "MAJOR:MINOR"
  std::string mount_point;  // escapes resolved
  std::string fs_type;      // "fuse.hubvfs"
  std::string source;
  uid_t user_id = 0;  // of a FUSE mount: who may use it, unless allow_other
  bool allow_other = false;

  bool is_hubvfs() const { return fs_type == "fuse.hubvfs"; }
};

// Lines that cannot be understood are left out.
std::vector<MountEntry> parse_mountinfo(std::string_view text);
Result<std::vector<MountEntry>> read_mountinfo();

// What is mounted at `path` (absolute, canonical): the last of them, which hides the others. Null:
// nothing.
const MountEntry* mounted_at(const std::vector<MountEntry>& mounts, std::string_view path);
// The hubvfs mount that `path` lies inside of (not at). Null: none.
const MountEntry* hubvfs_around(const std::vector<MountEntry>& mounts, std::string_view path);
// Whether `path` is `dir` or below it, both lexically normal.
bool is_within(std::string_view path, std::string_view dir);

}  // namespace hubvfs::daemon
