// SPDX-License-Identifier: Apache-2.0
#include <ostream>

#include "base/text.h"
#include "daemon/commands/ask_worker.h"

namespace hubvfs::daemon {
namespace {

void print_stats(const std::vector<JsonValues>&, const JsonValues& v, std::ostream& out) {
  const std::uint64_t hits = v.number("cache.hits");
  const std::uint64_t asked = hits + v.number("cache.misses");
  out << "cache  " << human_bytes(v.number("cache.bytes_used")) << " of "
      << human_bytes(v.number("cache.size_limit")) << ", " << v.number("cache.blobs") << " files, "
      << v.number("cache.blocks") << " blocks of up to "
      << human_bytes(v.number("cache.block_size")) << ", "
      << human_bytes(v.number("cache.pinned_bytes"))
      << " pinned; eviction: " << v.text("cache.policy") << "\n";
  if (!v.text("cache.degraded").empty()) {
    out << "       storing nothing: " << v.text("cache.degraded") << "\n";
  }
  out << "reads  " << hits << " of " << asked << " blocks were here; "
      << v.number("cache.evicted_blocks") << " evicted, " << v.number("cache.corrupt_blocks")
      << " damaged, " << v.number("cache.unstored_blocks") << " not kept\n";
  out << "hub    " << v.number("hub.requests") << " requests, "
      << human_bytes(v.number("hub.bytes_received")) << " received, " << v.number("hub.retries")
      << " retries, " << v.number("hub.failures") << " failures\n";
  if (!v.text("hub.last_failure").empty()) {
    out << "       last failure: " << v.text("hub.last_failure") << "\n";
  }
}

}  // namespace

int cache_stats_command(const CacheOptions& options, const Io& io) {
  WorkerCommand command;
  command.options = options;
  command.request.kind = CommandRequest::Kind::kStats;
  command.print = print_stats;
  return ask_worker(command, io);
}

}  // namespace hubvfs::daemon
