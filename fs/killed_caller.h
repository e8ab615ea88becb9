// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string_view>

namespace hubvfs::fs {

// Whether the thread of this number, the caller of a request that the kernel has interrupted, is
// being killed and will not see an answer: SIGKILL is pending for it, which the kernel makes of
// every fatal signal that dumps no core. False where that cannot be seen: the caller of another
// namespace has no number here. Reads /proc.
bool is_being_killed(pid_t thread);

// The same as the text of /proc/THREAD/status tells it.
bool tells_of_a_kill(std::string_view status);

}  // namespace hubvfs::fs
