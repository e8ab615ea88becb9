// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <csetjmp>
#include <utility>

namespace hubvfs::cache {

// Where a page of a mapped file cannot be read the kernel sends SIGBUS (mmap(2)), which ends the
// process. In guarded() it becomes an error.
class MapGuard {
 public:
  MapGuard();
  ~MapGuard();
  MapGuard(const MapGuard&) = delete;
  MapGuard& operator=(const MapGuard&) = delete;

  // For sigsetjmp.
  sigjmp_buf& place() { return place_; }

 private:
  sigjmp_buf place_;
  MapGuard* const outer_;
};

// What `call`, a C function that reads the map, returns; EIO where it came upon such a page. Then
// it was left in its middle: what it worked on may be in any state. It must make no object that has
// a destructor. Any thread.
template <typename Call>
int guarded(const Call& call) {
  MapGuard guard;
  if (sigsetjmp(guard.place(), 0) != 0) return EIO;
  return call();
}

}  // namespace hubvfs::cache
