// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_commands.h"

#include "base/json.h"

namespace hubvfs::daemon {

Result<std::string> WorkerCommands::carry_out(const CommandRequest& request,
                                              CommandCaller& caller) {
  switch (request.kind) {
    case CommandRequest::Kind::kStats:
      return stats();
    case CommandRequest::Kind::kPrefetch:
      return prefetch(request, caller);
  }
  return {ErrorCode::kInternal, "a command that nobody carries out"};
}

std::string WorkerCommands::stats() const {
  const cache::StoreStats store = parts_.store.stats();
  const hub::HubStats hub = parts_.hub.stats();
  JsonWriter out;
  const auto number = [&out](std::string_view key, std::uint64_t value) {
    out.key(key).number(value);
  };
  out.begin_object();
  out.key("cache").begin_object();
  number("size_limit", store.size_limit);
  number("bytes_used", store.bytes_used);
  number("block_size", parts_.store.block_size());
  number("blobs", store.blobs);
  number("blocks", store.blocks);
  number("hits", store.hits);
  number("misses", store.misses);
  number("evicted_blocks", store.evicted_blocks);
  number("corrupt_blocks", store.corrupt_blocks);
  number("pending_bytes", store.pending_bytes);
  number("unstored_blocks", store.unstored_blocks);
  out.key("degraded").string(store.degraded);
  out.end_object();
  out.key("hub").begin_object();
  number("requests", hub.requests);
  number("metadata_requests", hub.metadata_requests);
  number("resolve_requests", hub.resolve_requests);
  number("retries", hub.retries);
  number("bytes_received", hub.bytes_received);
  number("failures", hub.failures);
  out.key("last_failure").string(hub.last_failure);
  out.end_object();
  out.end_object();
  return out.text();
}

}  // namespace hubvfs::daemon
