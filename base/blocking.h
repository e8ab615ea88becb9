// SPDX-License-Identifier: Apache-2.0
// The rule that no FUSE thread waits for the network, for fsync or for another thread, checked.
#pragma once

namespace hubvfs {

// Marks the calling thread as one that answers the kernel for the life of the object.
class NoBlockScope {
 public:
  NoBlockScope();
  ~NoBlockScope();
  NoBlockScope(const NoBlockScope&) = delete;
  NoBlockScope& operator=(const NoBlockScope&) = delete;
};

// Call before whatever may wait long: a curl transfer, fsync, a condition variable. In a debug
// build it is a bug() on a thread inside a NoBlockScope; in a release build it does nothing.
void assert_may_block(const char* what);

}  // namespace hubvfs
