// SPDX-License-Identifier: Apache-2.0
// serve DIR URL_FILE [TOKEN_FILE [ACCESS_LOG]]: a HubServer on a free port until its input ends.
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "hub/server/hub_server.h"

int main(int argc, char** argv) {
  using namespace hubvfs;
  if (argc < 3) return 2;
  hub::server::HubServerOptions options;
  options.root = argv[1];
  options.settle_seconds = 0;
  if (argc > 3) options.token_file = argv[3];
  if (argc > 4) options.access_log = argv[4];
  const auto log = make_stderr_logger(LogLevel::kDebug);
  const SystemClock clock;
  const auto server = hub::server::HubServer::start(options, *log, clock);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().context.c_str());
    return 1;
  }
  std::ofstream(argv[2]) << (*server)->url() << "\n";
  char byte = 0;
  while (::read(0, &byte, 1) > 0) {
  }
  return 0;
}
