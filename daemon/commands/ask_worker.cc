// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/ask_worker.h"

#include <ostream>

#include "base/clock.h"
#include "daemon/command_session.h"
#include "daemon/options.h"
#include "daemon/progress_bar.h"

namespace hubvfs::daemon {
namespace {

// The summary's object with the items as its first member.
std::string joined(const std::string& name, const std::vector<std::string>& items,
                   std::string summary, const std::string& more) {
  if (!more.empty()) summary.insert(summary.size() - 1, (summary == "{}" ? "" : ",") + more);
  if (name.empty()) return summary;
  std::string text = "{\"" + name + "\":[";
  for (std::size_t i = 0; i < items.size(); ++i) text += (i == 0 ? "" : ",") + items[i];
  return text + (summary == "{}" ? "]}" : "]," + summary.substr(1));
}

// Prints it, and gives the exit status.
Result<int> print(const WorkerCommand& command, const std::vector<std::string>& items,
                  const std::string& summary, std::ostream& out) {
  auto of_summary = JsonValues::parse(summary);
  if (!of_summary) return of_summary.error().within("the worker's answer");
  std::vector<JsonValues> of_items;
  for (const std::string& item : items) {
    auto values = JsonValues::parse(item);
    if (!values) return values.error().within("the worker's answer");
    of_items.push_back(std::move(*values));
  }
  if (command.then) {
    if (auto done = command.then(*of_summary); !done) return done.error();
  }
  if (command.options.json) {
    out << joined(command.items, items, summary, command.more_json) << "\n";
  } else {
    command.print(of_items, *of_summary, out);
  }
  out.flush();
  return command.status ? command.status(*of_summary) : int{kExitOk};
}

}  // namespace

int ask_worker(const WorkerCommand& command, const Io& io) {
  MountRequest settings;
  settings.o = command.options.o;
  settings.config = command.options.config;
  settings.offline = command.options.offline;
  auto resolved = resolve_options(settings, "", io.getenv);
  if (!resolved) return fail(io, resolved.error());
  for (const std::string& note : resolved->notes) io.err << "hubvfs: " << note << "\n";
  CommandCall call{resolved->worker, command.request, command.fd, command.asks_hub,
                   command.makes_cache};
  const SystemClock clock;
  ProgressBar bar(io, clock);
  std::vector<std::string> items;
  CommandEvents events;
  if (!command.options.json) {
    events.on_progress = [&bar](const CommandProgress& progress) { bar.show(progress); };
  }
  events.on_item = [&items](const std::string& json) { items.push_back(json); };
  events.on_note = [&io](const std::string& note) { io.err << "hubvfs: " << note << "\n"; };
  auto summary = call_worker(std::move(call), events, io.getenv);
  bar.end();
  if (!summary) return fail(io, summary.error());
  auto status = print(command, items, *summary, io.out);
  if (!status) return fail(io, status.error());
  return *status;
}

}  // namespace hubvfs::daemon
