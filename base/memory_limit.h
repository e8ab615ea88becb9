// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hubvfs {

// The least memory limit, in bytes, of this process' control group and of those above it, version 2
// (memory.max) or 1 (memory.limit_in_bytes); none where no group has one or none can be read.
// In a container the path that the kernel tells may be the host's: then the group at the top of
// what is mounted, which is the container's own, counts. `root`: where proc and sys are, for tests.
std::optional<std::uint64_t> cgroup_memory_limit(const std::string& root = "");

// Bytes of `wanted` to use where `limit` holds: a quarter of it at most, since the rest of the
// process and the pages of files that it writes count too, but never less than `least`.
std::uint64_t memory_share(std::uint64_t wanted, std::uint64_t least,
                           std::optional<std::uint64_t> limit);

}  // namespace hubvfs
