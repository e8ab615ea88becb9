// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <iostream>

#include "daemon/cli.h"

int main(int argc, char** argv) {
  const hubvfs::daemon::Io io{std::cout, std::cerr,
                              [](const char* name) -> std::string {
                                const char* value = std::getenv(name);
                                return value == nullptr ? "" : value;
                              },
                              ::isatty(STDOUT_FILENO) == 1};
  try {
    return hubvfs::daemon::run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc),
                               io);
  } catch (const std::exception& e) {
    std::cerr << "hubvfs: " << e.what() << "\n";
    return hubvfs::daemon::kExitFailed;
  }
}
