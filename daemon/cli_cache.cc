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
  command->add_option("--config", options.config, "The only configuration file")->type_name("FILE");
  command->add_flag("--json", options.json, "As JSON");
  command->footer(std::string("Options for -o: see hubvfs mount --help\n") + kHelpFooter);
}

void add_offline(CLI::App* command, CacheOptions& options) {
  command->add_flag("--offline", options.offline, "Ask the Hub nothing");
}

void add_repo(CLI::App* command, std::string& repo) {
  command->add_option("REPO", repo, "ORG/NAME, datasets/ORG/NAME or spaces/ORG/NAME")
      ->required()
      ->type_name("");
}

void add_patterns(CLI::App* command, std::vector<std::string>& include,
                  std::vector<std::string>& exclude) {
  command->add_option("--include", include, "Only files whose path matches, such as *.json")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command->add_option("--exclude", exclude, "No files whose path matches")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
}

void add_prefetch(CLI::App& app, PrefetchCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* prefetch =
      add_command(app, "prefetch", "Fill the cache with a repo's files", "REPO[@REVISION]");
  add_repo(prefetch, args.repo);
  add_patterns(prefetch, args.include, args.exclude);
  prefetch->add_option("--jobs", args.jobs, "Files to fetch at a time")
      ->type_name("N")
      ->capture_default_str();
  add_offline(prefetch, args.options);
  add_options(prefetch, args.options);
  prefetch->callback([&] { chosen = [&] { return prefetch_command(args, io); }; });
}

void add_pins(CLI::App& app, RepoCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* pin =
      add_command(app, "pin", "Keep a commit in the cache, whatever else goes", "REPO[@REVISION]");
  CLI::App* unpin = add_command(app, "unpin", "Let go of what was pinned", "REPO[@REVISION]");
  CLI::App* evict =
      add_command(app, "evict", "Drop a repo's files from the cache", "REPO[@REVISION]");
  for (CLI::App* command : {pin, unpin, evict}) add_repo(command, args.repo);
  add_offline(pin, args.options);
  for (CLI::App* command : {pin, unpin, evict}) add_options(command, args.options);
  pin->callback([&] { chosen = [&] { return pin_command(args, io); }; });
  unpin->callback([&] { chosen = [&] { return unpin_command(args, io); }; });
  evict->callback([&] { chosen = [&] { return evict_command(args, io); }; });
}

using PlainCommand = int (*)(const CacheOptions&, const Io&);

// One that takes nothing but the options of all.
void add_plain(CLI::App& cache, const char* name, const char* what, PlainCommand run,
               CacheOptions& options, ChosenCommand& chosen, const Io& io) {
  CLI::App* command = add_command(cache, name, what, "");
  add_options(command, options);
  command->callback([&chosen, &options, &io, run] {
    chosen = [&options, &io, run] { return run(options, io); };
  });
}

void add_prune(CLI::App& cache, PruneCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* prune = add_command(cache, "prune", "Drop what was not used for long", "");
  prune->add_option("--older-than", args.older_than, "What was not used for that long, as 7d")
      ->type_name("TIME");
  prune
      ->add_option("--to", args.to,
                   "More, until the cache holds no more than this: 20G, or 80% of cache.size")
      ->type_name("SIZE");
  add_options(prune, args.options);
  prune->callback([&] { chosen = [&] { return cache_prune_command(args, io); }; });
}

void add_verify(CLI::App& cache, VerifyCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* verify =
      add_command(cache, "verify", "Read everything again and check it against its hashes", "");
  verify->add_flag("--repair", args.repair, "Drop what is wrong");
  add_options(verify, args.options);
  verify->callback([&] { chosen = [&] { return cache_verify_command(args, io); }; });
}

void add_export(CLI::App& cache, ExportCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* command = add_command(
      cache, "export", "Write a repo's files to a folder, with their sums", "REPO[@REVISION] DIR");
  add_repo(command, args.repo);
  command->add_option("DIR", args.dir, "The folder: empty, or not yet there")
      ->required()
      ->type_name("");
  add_patterns(command, args.include, args.exclude);
  command->add_option("--sign", args.sign_by, "Sign the sums by this GnuPG key of yours")
      ->type_name("KEY");
  add_offline(command, args.options);
  add_options(command, args.options);
  command->callback([&] { chosen = [&] { return cache_export_command(args, io); }; });
}

void add_import(CLI::App& cache, ImportCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* command =
      add_command(cache, "import", "Take what is in a folder into the cache", "DIR");
  command
      ->add_option(
          "DIR", args.dir,
          "A cache of huggingface_hub, a bundle of cache export, or a folder with a repo's files")
      ->required()
      ->type_name("");
  command
      ->add_option("--repo", args.repo,
                   "Whose files they are, or only these where the folder tells")
      ->type_name("REPO[@REVISION]");
  command
      ->add_option("--signed-by", args.signed_by, "Refuse it unless it is signed by this GnuPG key")
      ->type_name("KEY");
  add_offline(command, args.options);
  add_options(command, args.options);
  command->callback([&] { chosen = [&] { return cache_import_command(args, io); }; });
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
  add_pins(app, commands.repo, chosen, io);
  CLI::App* cache = app.add_subcommand("cache", "Look after the cache");
  set_usage(*cache, "hubvfs cache COMMAND ...");
  cache->require_subcommand(1);
  add_plain(*cache, "ls", "List the commits that this host knows, and what of them is here",
            cache_ls_command, commands.options, chosen, io);
  add_plain(*cache, "du", "Show how much of the cache each repo has", cache_du_command,
            commands.options, chosen, io);
  add_plain(*cache, "stats", "Show what the cache and the Hub were asked", cache_stats_command,
            commands.options, chosen, io);
  add_prune(*cache, commands.prune, chosen, io);
  add_verify(*cache, commands.verify, chosen, io);
  add_import(*cache, commands.import_folder, chosen, io);
  add_export(*cache, commands.export_files, chosen, io);
}

}  // namespace hubvfs::daemon
