// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuse_lowlevel.h>

namespace hubvfs::fs {

// libfuse's requests as calls of Operations. Every request is answered exactly once, from whichever
// thread has the answer; no exception leaves. FuseLoop::userdata_of is an Operations*,
// borrowed.
const fuse_lowlevel_ops& fuse_operations();

}  // namespace hubvfs::fs
