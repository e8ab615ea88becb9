// SPDX-License-Identifier: Apache-2.0
// The calls by which the cache and LMDB change a disk, each of which can fail or be the last.
//
// A program that has this linked in calls these functions in place of the C library's; so does the
// LMDB it is linked to. Unarmed they only pass on. What is armed holds for the process that armed
// it, not for its children, and for files and directories only, not for pipes.
#pragma once

#include <cstdint>

namespace hubvfs::cache::disk_calls {

enum class Act {
  kFail,        // this call fails
  kFailOn,      // this call and all that follow
  kKillBefore,  // SIGKILL in its place
  kKillAfter,   // SIGKILL when it is done
  kKillTorn,    // the first part of a write, then SIGKILL; kKillAfter for any other call
};

struct Plan {
  std::uint64_t at = UINT64_MAX;  // the number of the call, from 1
  Act act = Act::kFail;
  int error = 0;            // of kFail and kFailOn
  std::uint32_t torn = 50;  // of kKillTorn: how much is written, in hundredths
};

void arm(const Plan& plan);
// How many calls were made since arm().
std::uint64_t disarm();

// fsync and its like do nothing: what a killed process leaves is in the page cache, synced or not.
void skip_syncs(bool skip);

}  // namespace hubvfs::cache::disk_calls
