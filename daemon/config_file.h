// SPDX-License-Identifier: Apache-2.0
// Configuration files (design section 9): YAML whose settings have the keys of -o, written as one
// ("cache.size: 200G") or as nested maps; the
// list of `endpoints` may be one of YAML too.
// "environments" holds settings of the same form by name, which HUBVFS_ENV chooses from.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/paths.h"

namespace hubvfs::daemon {

inline constexpr const char* kSystemConfig = "/etc/hubvfs/config.yaml";

struct ConfigSetting {
  std::string key;    // as written: nobody has looked yet whether there is such a key
  std::string value;  // of a list: its items, with blanks between
  std::string where;  // "FILE:LINE", for messages
};

struct ConfigFile {
  std::vector<ConfigSetting> settings;
  std::map<std::string, std::vector<ConfigSetting>> environments;
};

// $XDG_CONFIG_HOME/hubvfs/config.yaml. kNotFound: there is no home.
Result<std::string> user_config_path(const GetEnv& getenv);

// kInvalidArgument: not YAML, or not of that form; the context has file and line, `shown` being the
// file's name.
Result<ConfigFile> parse_config(std::string_view text, const std::string& shown);
// kNotFound: there is no such file. Other errors: it cannot be read, or as above.
Result<ConfigFile> read_config(const std::string& path);

}  // namespace hubvfs::daemon
