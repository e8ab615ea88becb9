// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "cache/directory.h"

namespace hubvfs::cache {

// Reads the whole index in a child process, since LMDB trusts its file and a damaged one ends the
// process that maps it. True for a sound one and for none at all; else `why` says what happened
// ("signal 7"). The child is ended after `limit`, and nothing of it is left behind. Blocks.
bool probe_index(const Directory& index, std::chrono::seconds limit, std::string& why);

}  // namespace hubvfs::cache
