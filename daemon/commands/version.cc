// SPDX-License-Identifier: Apache-2.0
#include <sys/utsname.h>

#include <ostream>

#include "cache/disk_cache.h"
#include "daemon/commands/commands.h"
#include "fs/fuse_device.h"
#include "hub/curl_hub_client.h"

namespace hubvfs::daemon {

int version_command(const Io& io) {
  utsname system{};
  ::uname(&system);
  io.out << "hubvfs " HUBVFS_VERSION "\n"
         << "kernel: " << system.release << "\n"
         << "libfuse: " << fs::libfuse_version() << "\n"
         << "libcurl: " << hub::libcurl_version() << "\n"
         << "cache format: " << cache::cache_format() << "\n"
         << "passthrough: for root, on Linux 6.9 or newer; see hubvfs status\n";
  return kExitOk;
}

int fail(const Io& io, const Error& error) {
  io.err << "hubvfs: " << error.context << std::endl;
  return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

}  // namespace hubvfs::daemon
