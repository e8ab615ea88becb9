// SPDX-License-Identifier: Apache-2.0
#include <ostream>

#include "base/text.h"
#include "daemon/commands/ask_worker.h"

namespace hubvfs::daemon {
namespace {

void print_pinned(const std::vector<JsonValues>&, const JsonValues& v, std::ostream& out) {
  out << v.text("repo") << " at " << v.text("commit") << " is pinned: " << v.number("files")
      << " files, " << human_bytes(v.number("bytes")) << " in the cache, "
      << human_bytes(v.number("bytes_fetched")) << " fetched just now from " << v.text("endpoint")
      << "\n";
}

void print_unpinned(const std::vector<JsonValues>&, const JsonValues& v, std::ostream& out) {
  for (const std::string& pin : v.texts("unpinned[]")) out << pin << " is no longer pinned\n";
  out << "still pinned: " << human_bytes(v.number("bytes_pinned")) << "\n";
}

void print_evicted(const std::vector<JsonValues>&, const JsonValues& v, std::ostream& out) {
  out << "freed " << human_bytes(v.number("bytes_freed"));
  const auto kept = [&](const char* key, const char* why) {
    if (v.number(key) != 0) out << "; kept " << human_bytes(v.number(key)) << " " << why;
  };
  kept("bytes_kept_for_others", "that other known commits use");
  kept("bytes_kept_pinned", "that is pinned");
  kept("bytes_kept_in_use", "that is in use");
  out << "\n";
}

int on_repo(const RepoCommand& command, CommandRequest::Kind kind, WorkerCommand asked,
            const Io& io) {
  asked.options = command.options;
  asked.request.kind = kind;
  if (auto read = read_repo(command.repo, asked.request); !read) return fail(io, read.error());
  return ask_worker(asked, io);
}

}  // namespace

int pin_command(const RepoCommand& command, const Io& io) {
  WorkerCommand asked;
  asked.asks_hub = true;
  asked.makes_cache = true;
  asked.print = print_pinned;
  return on_repo(command, CommandRequest::Kind::kPin, std::move(asked), io);
}

int unpin_command(const RepoCommand& command, const Io& io) {
  WorkerCommand asked;
  asked.asks_hub = true;  // not that it asks, but repos are known by their endpoint
  asked.print = print_unpinned;
  return on_repo(command, CommandRequest::Kind::kUnpin, std::move(asked), io);
}

int evict_command(const RepoCommand& command, const Io& io) {
  WorkerCommand asked;
  asked.asks_hub = true;
  asked.print = print_evicted;
  return on_repo(command, CommandRequest::Kind::kEvict, std::move(asked), io);
}

}  // namespace hubvfs::daemon
