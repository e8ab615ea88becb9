// SPDX-License-Identifier: Apache-2.0
#include "daemon/cli.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <ostream>

#include "daemon/app.h"
#include "daemon/cli_parts.h"
#include "daemon/commands/commands.h"
#include "daemon/worker_link.h"

namespace hubvfs::daemon {
namespace {

// What is wrong, and where to read on.
std::string explain_usage(const CLI::App* app, const CLI::Error& error) {
  std::string command = "hubvfs";
  for (const CLI::App* at = app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    command += " " + at->get_name();
  }
  return "hubvfs: " + std::string(error.what()) + "; see " + command + " --help\n";
}

std::string option_list() {
  std::string text =
      "Options for -o, each also in the environment as HUBVFS_KEY (cache.path: "
      "HUBVFS_CACHE_PATH)\nand in configuration files:\n";
  for (const OptionKey& option : option_keys()) {
    std::string left = std::string("  ") + option.key;
    if (option.value[0] != '\0') left += std::string("=") + option.value;
    left.resize(std::max<std::size_t>(left.size() + 2, 30), ' ');
    text += left + option.help + "\n";
  }
  return text;
}

void add_mount(CLI::App& app, MountCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* mount = add_command(app, "mount", "Mount the Hub at a folder", "[hf://REPO] DIR");
  mount->add_option("DIR", args.where, "The folder to mount at: empty, or not yet there")
      ->required()
      ->expected(1, 2)
      ->type_name("");
  mount->add_flag("-f,--foreground", args.request.foreground,
                  "Stay in the foreground and log to standard error");
  mount->add_option("-o", args.request.o, "Set options, k=v, separated by commas")
      ->type_name("K=V,...")
      ->allow_extra_args(false);
  mount
      ->add_option("--type", args.request.type,
                   "What kind of repos: model (default), dataset or space")
      ->type_name("TYPE");
  mount
      ->add_option("--config", args.request.config,
                   "The only configuration file (else /etc/hubvfs/config.yaml, then your own)")
      ->type_name("FILE");
  mount->add_flag("--offline", args.request.offline, "Ask the Hub nothing; serve what is cached");
  mount->footer(option_list() + kHelpFooter);
  mount->callback([&] { chosen = [&] { return mount_command(args, io); }; });
}

void add_umount(CLI::App& app, UmountCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* umount = add_command(app, "umount", "Leave a mount", "DIR");
  umount->add_option("DIR", args.dir, "The folder it is mounted at")->required()->type_name("");
  umount->add_flag("-l,--lazy", args.lazy, "Detach a busy mount; who has files open keeps them");
  umount->callback([&] { chosen = [&] { return umount_command(args, io); }; });
}

void add_status(CLI::App& app, StatusCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* status =
      add_command(app, "status", "Show the mounts of this host and how they do", "[DIR]");
  status->add_option("DIR", args.dir, "Only the mount at this folder")->type_name("");
  status->add_flag("--json", args.json, "As JSON");
  status->callback([&] { chosen = [&] { return status_command(args, io); }; });
}

void add_serve(CLI::App& app, ServeCommand& args, ChosenCommand& chosen, const Io& io) {
  CLI::App* serve =
      add_command(app, "serve", "Serve a folder ORG/NAME/... with the Hub's API", "DIR");
  serve->add_option("DIR", args.dir, "The folder; datasets/ and spaces/ in it hold those")
      ->required()
      ->type_name("");
  serve->add_option("--listen", args.listen, "Address and port to answer at; port 0: a free one")
      ->type_name("ADDR:PORT")
      ->capture_default_str();
  serve
      ->add_option("--content-port", args.content_port,
                   "Port of the second origin, which signed URLs point at; 0: a free one")
      ->type_name("PORT")
      ->capture_default_str();
  serve
      ->add_option("--public-url", args.public_url,
                   "The URL that clients know this server by (default: http://ADDR:PORT)")
      ->type_name("URL");
  serve
      ->add_option("--token-file", args.token_file,
                   "Tokens to accept: lines of TOKEN USER; read again when it changes")
      ->type_name("FILE");
  serve->add_option("--url-file", args.url_file, "Write the URL to this file once it answers")
      ->type_name("FILE");
  serve->add_option("--access-log", args.access_log, "Write a JSON line for each request")
      ->type_name("FILE");
  serve
      ->add_option("--state-dir", args.state_dir,
                   "Where hashes are kept (default: $XDG_STATE_HOME/hubvfs/serve)")
      ->type_name("DIR");
  serve->add_option("--url-lifetime", args.url_lifetime, "How long a signed URL is good")
      ->type_name("TIME")
      ->capture_default_str();
  serve->add_option("--page-size", args.page_size, "Most entries of a page of a listing")
      ->type_name("N")
      ->capture_default_str();
  serve->callback([&] { chosen = [&] { return serve_command(args, io); }; });
}

}  // namespace

int run(const std::vector<std::string>& args, const Io& io) {
  if (!args.empty() && args.front() == kWorkerCommand) return run_worker();
  CLI::App app{"hubvfs mounts the Hugging Face model Hub as a folder.", "hubvfs"};
  set_usage(app, "hubvfs [--version] COMMAND ...");
  app.failure_message(explain_usage);
  app.footer(kHelpFooter);
  bool version = false;
  app.add_flag("--version", version, "Show versions: hubvfs, kernel, libraries, cache format");
  app.require_subcommand(0, 1);
  MountCommand mount;
  UmountCommand umount;
  StatusCommand status;
  ServeCommand serve;
  CacheCommands cache;
  ChosenCommand chosen;
  add_mount(app, mount, chosen, io);
  add_umount(app, umount, chosen, io);
  add_status(app, status, chosen, io);
  add_serve(app, serve, chosen, io);
  add_cache_commands(app, cache, chosen, io);
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::ParseError& e) {
    return app.exit(e, io.out, io.err) == 0 ? kExitOk : kExitUsage;
  }
  if (version) return version_command(io);
  if (chosen) return chosen();
  io.err << app.help();
  return kExitUsage;
}

}  // namespace hubvfs::daemon
