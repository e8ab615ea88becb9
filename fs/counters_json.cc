// SPDX-License-Identifier: Apache-2.0
#include "fs/counters_json.h"

#include <string_view>

namespace hubvfs::fs {

void write_counters(JsonWriter& out, const hub::HubStats& hub) {
  const auto number = [&out](std::string_view key, std::uint64_t value) {
    out.key(key).number(value);
  };
  out.begin_object();
  number("requests", hub.requests);
  number("metadata_requests", hub.metadata_requests);
  number("resolve_requests", hub.resolve_requests);
  number("retries", hub.retries);
  number("bytes_received", hub.bytes_received);
  number("failures", hub.failures);
  out.key("last_failure").string(hub.last_failure);
  number("last_failure_at", static_cast<std::uint64_t>(hub.last_failure_at));
  out.key("outage").string(hub.health.outage);
  number("outage_since", static_cast<std::uint64_t>(hub.health.outage_since));
  number("next_probe", static_cast<std::uint64_t>(hub.health.next_probe));
  number("limited_until", static_cast<std::uint64_t>(hub.health.limited_until));
  number("crawl_waiting", static_cast<std::uint64_t>(hub.health.crawl_waiting));
  number("crawl_until", static_cast<std::uint64_t>(hub.health.crawl_until));
  out.key("refused_token").string(hub.health.refused_token);
  out.key("mirror").string(hub.health.mirror);
  out.key("link").begin_object();
  number("connections", static_cast<std::uint64_t>(hub.link.connections));
  number("running", static_cast<std::uint64_t>(hub.link.running));
  number("part_bytes", hub.link.part_bytes);
  out.key("fast").boolean(hub.link.fast);
  number("round_trip_microseconds",
         static_cast<std::uint64_t>(
             std::chrono::duration_cast<std::chrono::microseconds>(hub.link.round_trip).count()));
  number("rate", hub.link.rate);
  number("hedged", hub.link.hedged);
  number("hedges_won", hub.link.hedges_won);
  number("stalled", hub.link.stalled);
  number("preempted", hub.link.preempted);
  out.end_object();
  out.end_object();
}

void write_counters(JsonWriter& out, const cache::StoreStats& store, std::uint64_t block_size) {
  const auto number = [&out](std::string_view key, std::uint64_t value) {
    out.key(key).number(value);
  };
  out.begin_object();
  number("size_limit", store.size_limit);
  number("bytes_used", store.bytes_used);
  number("block_size", block_size);
  number("blobs", store.blobs);
  number("blocks", store.blocks);
  number("hits", store.hits);
  number("misses", store.misses);
  number("evicted_blocks", store.evicted_blocks);
  number("expired_blocks", store.expired_blocks);
  number("corrupt_blocks", store.corrupt_blocks);
  number("pending_bytes", store.pending_bytes);
  number("unstored_blocks", store.unstored_blocks);
  number("pinned_bytes", store.pinned_bytes);
  number("min_free", store.min_free);
  number("disk_free", store.disk_free);
  number("index_writes", store.index_writes);
  out.key("policy").string(store.policy);
  number("ttl_seconds", store.ttl_seconds);
  out.key("whole_blobs").boolean(store.whole_blobs);
  out.key("degraded").string(store.degraded);
  out.end_object();
}

}  // namespace hubvfs::fs
