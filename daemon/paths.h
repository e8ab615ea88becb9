// SPDX-License-Identifier: Apache-2.0
// Where things lie: the XDG folders, and paths made absolute without asking any file system.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hubvfs::daemon {

using GetEnv = std::function<std::string(const char*)>;  // "" for unset

// $XDG_CACHE_HOME, $XDG_STATE_HOME, $XDG_CONFIG_HOME, or what they stand for when unset or not
// absolute. kNotFound: no home either.
Result<std::string> cache_home(const GetEnv& getenv);
Result<std::string> state_home(const GetEnv& getenv);
Result<std::string> config_home(const GetEnv& getenv);

// The log of what is not in the foreground; its folder is made.
Result<std::string> make_log_file_path(const GetEnv& getenv);

// Absolute, without ".", "..", "//" or a trailing slash: by text alone.
Result<std::string> absolute_path(std::string_view path);

// The same with symlinks resolved, but never through what is mounted at the path itself: that may
// not answer. File systems are asked in a child, so that none on the way can block. The last
// component need not exist. kNotFound: its parent does not; kTimedOut: something on the way does
// not answer.
Result<std::string> canonical_path(std::string_view path);

// mkdir -p, 0700 for what is new. Existing folders are left as they are.
Result<void> make_directories(const std::string& path);

// Whether `path` lies on a network or FUSE file system, where a cache must not be. `path` or its
// nearest existing parent is asked.
bool on_remote_filesystem(const std::string& path);

}  // namespace hubvfs::daemon
