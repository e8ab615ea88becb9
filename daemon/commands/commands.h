// SPDX-License-Identifier: Apache-2.0
// The commands behind the command line. Each returns an ExitStatus and has said why when it failed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/cli.h"
#include "daemon/options.h"

namespace hubvfs::daemon {

struct MountCommand {
  std::vector<std::string> where;  // [hf://REPO] DIR
  MountRequest request;
};
int mount_command(const MountCommand& command, const Io& io);

struct UmountCommand {
  std::string dir;
  bool lazy = false;
};
int umount_command(const UmountCommand& command, const Io& io);

struct StatusCommand {
  std::string dir;  // "": all
  bool json = false;
};
int status_command(const StatusCommand& command, const Io& io);

struct ServeCommand {
  std::string dir;
  std::string listen = "127.0.0.1:0";
  std::uint16_t content_port = 0;
  std::string public_url;
  std::string token_file;
  std::string url_file;
  std::string access_log;
  std::string state_dir;
  std::string url_lifetime = "1h";
  std::uint64_t page_size = 1000;
};
int serve_command(const ServeCommand& command, const Io& io);

// What every command takes that works on a cache.
struct CacheOptions {
  std::vector<std::string> o;  // this and `config`: as MountRequest
  std::string config;
  bool offline = false;
  bool json = false;
};

struct PrefetchCommand {
  CacheOptions options;
  std::string repo;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  std::uint32_t jobs = 4;
};
int prefetch_command(const PrefetchCommand& command, const Io& io);

struct RepoCommand {
  CacheOptions options;
  std::string repo;
};
int pin_command(const RepoCommand& command, const Io& io);
int unpin_command(const RepoCommand& command, const Io& io);
int evict_command(const RepoCommand& command, const Io& io);

struct PruneCommand {
  CacheOptions options;
  std::string older_than;
  std::string to;
};
int cache_prune_command(const PruneCommand& command, const Io& io);

struct VerifyCommand {
  CacheOptions options;
  bool repair = false;
};
int cache_verify_command(const VerifyCommand& command, const Io& io);

struct ExportCommand {
  CacheOptions options;
  std::string repo;
  std::string dir;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  std::string sign_by;  // a key; "": not signed
};
int cache_export_command(const ExportCommand& command, const Io& io);

struct ImportCommand {
  CacheOptions options;
  std::string dir;
  std::string repo;       // "": the folder tells
  std::string signed_by;  // a key; "": whoever, or nobody
};
int cache_import_command(const ImportCommand& command, const Io& io);

int cache_ls_command(const CacheOptions& options, const Io& io);
int cache_du_command(const CacheOptions& options, const Io& io);
int cache_stats_command(const CacheOptions& options, const Io& io);

int version_command(const Io& io);

// Says what failed. The status is kExitUsage where what was asked for can never be right, else
// kExitFailed.
int fail(const Io& io, const Error& error);

}  // namespace hubvfs::daemon
