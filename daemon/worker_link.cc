// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_link.h"

namespace hubvfs::daemon {
namespace {

Error unreadable(const std::string& what) {
  return {ErrorCode::kBadAnswer,
          what + " cannot be read; both processes have to be of one version of hubvfs"};
}

std::uint8_t flag(bool on) { return on ? 1 : 0; }

void write_eviction(ByteWriter& out, const cache::EvictionSettings& eviction) {
  out.integer(static_cast<std::uint8_t>(eviction.policy));
  out.integer(static_cast<std::uint64_t>(eviction.ttl.count()));
  out.integer(eviction.min_free.percent);
  out.integer(flag(eviction.min_free.bytes.has_value()));
  out.integer(eviction.min_free.bytes.value_or(0));
  out.integer(eviction.high_watermark);
  out.integer(eviction.low_watermark);
}

cache::EvictionSettings read_eviction(ByteReader& in) {
  cache::EvictionSettings eviction;
  eviction.policy = static_cast<cache::EvictionPolicy>(in.integer<std::uint8_t>());
  eviction.ttl = Duration(static_cast<Duration::rep>(in.integer<std::uint64_t>()));
  eviction.min_free.percent = in.integer<std::uint32_t>();
  const bool has_bytes = in.integer<std::uint8_t>() != 0;
  const auto bytes = in.integer<std::uint64_t>();
  if (has_bytes) eviction.min_free.bytes = bytes;
  eviction.high_watermark = in.integer<std::uint32_t>();
  eviction.low_watermark = in.integer<std::uint32_t>();
  return eviction;
}

Bytes copy(ByteView bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

Bytes WorkerSettings::encode() const {
  ByteWriter out;
  out.string(HUBVFS_VERSION);
  out.string(endpoint);
  out.integer(static_cast<std::uint32_t>(mirrors.size()));
  for (const std::string& mirror : mirrors) out.string(mirror);
  out.integer(flag(offline));
  out.string(offline_because);
  out.string(cache_path);
  out.integer(cache_size);
  out.integer(block_size);
  out.integer(cache_mode);
  write_eviction(out, eviction);
  out.integer(memory);
  out.integer(metadata_ttl_seconds);
  out.integer(metadata_settle_seconds);
  out.integer(metadata_deadline_seconds);
  out.integer(read_deadline_seconds);
  out.integer(static_cast<std::uint8_t>(log_level));
  out.string(log_file);
  out.string(hf_token);
  out.string(hugging_face_hub_token);
  return out.take();
}

Result<WorkerSettings> WorkerSettings::decode(ByteView bytes) {
  ByteReader in(bytes);
  if (in.string() != HUBVFS_VERSION) return unreadable("the settings of another version");
  WorkerSettings s;
  s.endpoint = in.string();
  for (auto left = in.integer<std::uint32_t>(); left > 0 && in.ok(); --left) {
    s.mirrors.emplace_back(in.string());
  }
  s.offline = in.integer<std::uint8_t>() != 0;
  s.offline_because = in.string();
  s.cache_path = in.string();
  s.cache_size = in.integer<std::uint64_t>();
  s.block_size = in.integer<std::uint64_t>();
  s.cache_mode = in.integer<std::uint32_t>();
  s.eviction = read_eviction(in);
  s.memory = in.integer<std::uint64_t>();
  s.metadata_ttl_seconds = in.integer<std::uint64_t>();
  s.metadata_settle_seconds = in.integer<std::uint64_t>();
  s.metadata_deadline_seconds = in.integer<std::uint64_t>();
  s.read_deadline_seconds = in.integer<std::uint64_t>();
  s.log_level = static_cast<LogLevel>(in.integer<std::uint8_t>());
  s.log_file = in.string();
  s.hf_token = in.string();
  s.hugging_face_hub_token = in.string();
  if (!in.ok() || !in.at_end() || s.eviction.policy > cache::EvictionPolicy::kTtl) {
    return unreadable("the daemon's settings");
  }
  return s;
}

Bytes MountSettings::encode() const {
  ByteWriter out;
  out.integer(static_cast<std::uint8_t>(type));
  out.integer(flag(allow_other));
  out.string(repo);
  return out.take();
}

Result<MountSettings> MountSettings::decode(ByteView bytes) {
  ByteReader in(bytes);
  MountSettings s;
  const auto type = in.integer<std::uint8_t>();
  s.allow_other = in.integer<std::uint8_t>() != 0;
  s.repo = in.string();
  if (!in.ok() || !in.at_end() || type > static_cast<std::uint8_t>(hub::RepoType::kSpace)) {
    return unreadable("a mount's settings");
  }
  s.type = static_cast<hub::RepoType>(type);
  return s;
}

Bytes ServeOrder::encode() const {
  ByteWriter out;
  out.integer(number);
  out.integer(flag(again));
  out.integer(flag(passthrough));
  out.string(no_passthrough_because);
  out.string(as_text(settings));
  out.string(as_text(init_request));
  return out.take();
}

Result<ServeOrder> ServeOrder::decode(ByteView bytes) {
  ByteReader in(bytes);
  ServeOrder order;
  order.number = in.integer<std::uint32_t>();
  order.again = in.integer<std::uint8_t>() != 0;
  order.passthrough = in.integer<std::uint8_t>() != 0;
  order.no_passthrough_because = in.string();
  order.settings = copy(as_bytes(in.string()));
  order.init_request = copy(as_bytes(in.string()));
  if (!in.ok() || !in.at_end()) return unreadable("the keeper's order");
  return order;
}

}  // namespace hubvfs::daemon
