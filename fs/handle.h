// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hubvfs::fs {

// One open of a file: the number of the OPEN request that asked for it. The kernel gives no other
// request of the connection that number, and the same one when it sends the request again.
struct Handle {
  std::uint64_t number = 0;
  bool operator==(const Handle&) const = default;
};

}  // namespace hubvfs::fs
