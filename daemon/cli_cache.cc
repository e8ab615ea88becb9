// SPDX-License-Identifier: Apache-2.0
// The command line of what works on a cache, and how commands look in --help.
#include <CLI/CLI.hpp>

#include <memory>

#include "daemon/cli_parts.h"

namespace hubvfs::daemon {
namespace {

// CLI11's, with the command line as people write it.
class Help final : public CLI::Formatter {
 public:
  explicit Help(std::string command_line) : command_line_(std::move(command_line)) {}
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: " + command_line_ + "\n";
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text;
    if (!option->get_type_name().empty()) text = " " + option->get_type_name();
    if (!option->get_default_str().empty()) text += " (" + option->get_default_str() + ")";
    return text;
  }

 private:
  std::string command_line_;
};

// Options of every command here.
void add_options(CLI::App* command, CacheOptions& options) {
  command->add_option("-o", options.o, "Set options, k=v, separated by commas")
      ->type_name("K=V,...")
      ->allow_extra_args(false);
  command->add_flag("--json", options.json, "As JSON");
  command->footer(std::string("Options for -o: see hubvfs mount --help\n") + kHelpFooter);
}

void add_offline(CLI::App* command, CacheOptions& options) {
  command->add_flag("--offline", options.offline, "Ask the Hub nothing");
}

void add_prefetch(CLI::App& app, PrefetchCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* prefetch =
      add_command(app, "prefetch", "Fill the cache with a repo's files", "REPO[@REVISION]");
  prefetch->add_option("REPO", args.repo, "ORG/NAME, datasets/ORG/NAME or spaces/ORG/NAME")
      ->required()
      ->type_name("");
  prefetch->add_option("--include", args.include, "Only files whose path matches, as \"*.json\"")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  prefetch->add_option("--exclude", args.exclude, "No files whose path matches")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  prefetch->add_option("--jobs", args.jobs, "Files to fetch at a time")
      ->type_name("N")
      ->capture_default_str();
  add_offline(prefetch, args.options);
  add_options(prefetch, args.options);
  prefetch->callback([&] { chosen = [&] { return prefetch_command(args, io); }; });
}

void add_stats(CLI::App& cache, CacheCommands& commands, ChosenCommand& chosen, const Io& io) {
  CLI::App* stats = add_command(cache, "stats", "Show what the cache and the Hub were asked", "");
  add_options(stats, commands.options);
  stats->callback([&] { chosen = [&] { return cache_stats_command(commands.options, io); }; });
}

}  // namespace

void set_usage(CLI::App& app, const std::string& command_line) {
  app.formatter(std::make_shared<Help>(command_line));
}

CLI::App* add_command(CLI::App& app, const char* name, const char* what, const char* line) {
  CLI::App* command = app.add_subcommand(name, what);
  const std::string above = app.get_parent() == nullptr ? "" : app.get_name() + " ";
  set_usage(*command, "hubvfs " + above + name + " [OPTIONS] " + line);
  return command;
}

void add_cache_commands(CLI::App& app, CacheCommands& commands, ChosenCommand& chosen,
                        const Io& io) {
  add_prefetch(app, commands.prefetch, chosen, io);
  CLI::App* cache = app.add_subcommand("cache", "Look after the cache");
  set_usage(*cache, "hubvfs cache COMMAND ...");
  cache->require_subcommand(1);
  add_stats(*cache, commands, chosen, io);
}

}  // namespace hubvfs::daemon
