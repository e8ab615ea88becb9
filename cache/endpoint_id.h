// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace hubvfs::cache {

// An endpoint as the cache writes it down: half of the SHA-256 of its text.
struct EndpointId {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const EndpointId&) const = default;

  static EndpointId of(const std::string& endpoint);
};

}  // namespace hubvfs::cache
