// SPDX-License-Identifier: Apache-2.0
// What the command line is put together from.
#pragma once

#include <functional>
#include <string>

#include "daemon/cli.h"
#include "daemon/commands/commands.h"

namespace CLI {
class App;
}

namespace hubvfs::daemon {

using ChosenCommand = std::function<int()>;  // what the command line asks for

inline constexpr const char* kHelpFooter =
    "Exit status: 0 done, 1 failed, 2 wrong usage. More: hubvfs COMMAND --help; man hubvfs";

// The first line of an app's --help.
void set_usage(CLI::App& app, const std::string& command_line);
// A subcommand; `line` is what follows "hubvfs ... NAME [OPTIONS]" there.
CLI::App* add_command(CLI::App& app, const char* name, const char* what, const char* line);

// What the commands of the cache are given.
struct CacheCommands {
  CacheOptions options;
  PrefetchCommand prefetch;
  RepoCommand repo;  // pin, unpin, evict
  PruneCommand prune;
  VerifyCommand verify;
  ExportCommand export_files;
  ImportCommand import_folder;
};
// These commands; `commands` and `io` outlive the parsing.
void add_cache_commands(CLI::App& app, CacheCommands& commands, ChosenCommand& chosen,
                        const Io& io);

}  // namespace hubvfs::daemon
