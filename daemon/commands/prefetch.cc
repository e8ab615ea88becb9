// SPDX-License-Identifier: Apache-2.0
#include <ostream>

#include "base/text.h"
#include "daemon/commands/ask_worker.h"
#include "fs/repo_scope.h"

namespace hubvfs::daemon {
namespace {

constexpr std::uint32_t kMostJobs = 64;

void print_prefetched(const std::vector<JsonValues>&, const JsonValues& v, std::ostream& out) {
  out << v.text("repo") << " at " << v.text("commit") << ": " << v.number("files") << " files, "
      << human_bytes(v.number("bytes")) << " in the cache, "
      << human_bytes(v.number("bytes_fetched")) << " fetched just now from " << v.text("endpoint")
      << "\n";
}

}  // namespace

Result<void> read_repo(const std::string& text, CommandRequest& request) {
  auto scope = fs::RepoScope::parse(text.starts_with("hf://") ? text : "hf://" + text);
  if (!scope) return scope.error();
  if (!scope->sub.empty()) {
    return {ErrorCode::kInvalidArgument,
            escape_for_log(text) +
                ": names a folder of a repo; name the repo, and its files with "
                "--include where a command takes that"};
  }
  request.repo = {scope->type, scope->repo};
  request.revision = scope->revision;
  return {};
}

int prefetch_command(const PrefetchCommand& command, const Io& io) {
  WorkerCommand asked;
  asked.options = command.options;
  asked.asks_hub = true;
  asked.makes_cache = true;
  asked.request.kind = CommandRequest::Kind::kPrefetch;
  if (auto read = read_repo(command.repo, asked.request); !read) return fail(io, read.error());
  if (command.jobs < 1 || command.jobs > kMostJobs) {
    return fail(io, {ErrorCode::kInvalidArgument,
                     "--jobs: from 1 to " + std::to_string(kMostJobs) + " files at a time"});
  }
  asked.request.include = command.include;
  asked.request.exclude = command.exclude;
  asked.request.jobs = command.jobs;
  asked.print = print_prefetched;
  return ask_worker(asked, io);
}

}  // namespace hubvfs::daemon
