// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace hubvfs::cache {

// An endpoint as the cache writes it down: half of the SHA-256 of its text.
struct EndpointId {
  std::array<std::uint8_t, 16> bytes{};
  bool operator==(const EndpointId&) const = default;
  bool operator<(const EndpointId& other) const { return bytes < other.bytes; }

  static EndpointId of(const std::string& endpoint);
};

}  // namespace hubvfs::cache
