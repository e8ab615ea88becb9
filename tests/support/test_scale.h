// SPDX-License-Identifier: Apache-2.0
// How long a test with a random part goes on, and where its randomness comes from.
#pragma once

#include <cstdlib>
#include <iostream>
#include <random>
#include <string_view>

namespace hubvfs {

// HUBVFS_TEST_FULL=1 asks for long tests in full.
inline bool test_full() {
  const char* given = std::getenv("HUBVFS_TEST_FULL");
  return given != nullptr && std::string_view(given) == "1";
}

// HUBVFS_TEST_SEED, else a new one; printed, so that a failure can be had again.
inline unsigned test_seed() {
  const char* given = std::getenv("HUBVFS_TEST_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                         : static_cast<unsigned>(std::random_device()());
  std::cout << "seed " << seed << " (HUBVFS_TEST_SEED)\n";
  return seed;
}

}  // namespace hubvfs
