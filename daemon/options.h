// SPDX-License-Identifier: Apache-2.0
// What `hubvfs mount` was told, from defaults, configuration files, the environment and -o, in
// rising order.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/config_file.h"
#include "daemon/paths.h"
#include "daemon/worker_link.h"

namespace hubvfs::daemon {

inline constexpr const char* kDefaultEndpoint = "https://huggingface.co";
inline constexpr std::size_t kMostEndpoints = 8;  // each has threads and connections of its own

// One setting. The environment variable is HUBVFS_ and the key in capitals, dots as underscores.
struct OptionKey {
  const char* key;
  const char* value;  // what it takes, for help: "SIZE"; "" for a switch
  const char* help;
};

// All of them, in the order of the manual.
const std::vector<OptionKey>& option_keys();
// "HUBVFS_CACHE_PATH" for "cache.path".
std::string environment_name(std::string_view key);

struct MountRequest {          // as the command line has it
  std::vector<std::string> o;  // each "-o" as given: "k=v,k=v"; "\," is a comma within a value
  std::string config;          // the only configuration file; "": the system's, then the user's
  std::string type;            // "" where it was not said
  std::string repo;            // "hf://...", or "" for the whole Hub
  bool offline = false;
  bool foreground = false;
};

struct ResolvedMount {
  WorkerSettings worker;  // log_file is filled in later
  MountSettings mount;
  bool passthrough = true;         // of the mount, where it can be
  std::vector<std::string> notes;  // for the user: what was decided that may surprise
};

// kInvalidArgument: an unknown key or a bad value, or both `endpoint` and `endpoints` from one
// source (one file or environment overlay, the environment, -o); the context names it, where it
// came from and the keys there are. From a later source either replaces what an earlier one said of
// both, and HF_ENDPOINT is one that comes before the other variables. kNotFound: no such
// configuration file. `mount_point` is where the mount will be (for HF_HUB_OFFLINE, design section
// 9);
// "" for a command that mounts nothing.
Result<ResolvedMount> resolve_options(const MountRequest& request, const std::string& mount_point,
                                      const GetEnv& getenv,
                                      const std::string& system_config = kSystemConfig);

}  // namespace hubvfs::daemon
