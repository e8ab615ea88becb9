// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "base/clock.h"
#include "fs/operations.h"

namespace hubvfs::fs {

// Whose the nodes of a mount are: they are read-only, and where the mount is not shared for their
// owner alone (design, section 2).
struct EntryOwner {
  uid_t uid = 0;
  gid_t gid = 0;
  bool shared = false;

  mode_t folder_mode() const { return S_IFDIR | (shared ? 0555 : 0500); }
  mode_t file_mode() const { return S_IFREG | (shared ? 0444 : 0400); }

  Entry folder(NodeId node, UnixSeconds modified, Duration entry_timeout,
               Duration attribute_timeout) const {
    Entry entry;
    entry.attributes.node = node;
    entry.attributes.kind = Attributes::Kind::kDirectory;
    entry.attributes.mode = folder_mode();
    entry.attributes.uid = uid;
    entry.attributes.gid = gid;
    entry.attributes.modified = modified;
    entry.entry_timeout = entry_timeout;
    entry.attribute_timeout = attribute_timeout;
    return entry;
  }
};

}  // namespace hubvfs::fs
