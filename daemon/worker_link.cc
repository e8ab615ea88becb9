// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_link.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kLargest = 128u << 10;

}  // namespace

Bytes WorkerSettings::encode() const {
  ByteWriter out;
  out.string(HUBVFS_VERSION);
  out.string(mount_point);
  out.integer(static_cast<std::uint8_t>(type));
  out.string(endpoint);
  out.integer(static_cast<std::uint8_t>(allow_other));
  out.integer(static_cast<std::uint8_t>(offline));
  out.string(offline_because);
  out.string(cache_path);
  out.integer(cache_size);
  out.integer(block_size);
  out.integer(memory);
  out.integer(metadata_ttl_seconds);
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
  if (in.string() != HUBVFS_VERSION) {
    return {ErrorCode::kBadAnswer, "the keeper is another version of hubvfs; mount again"};
  }
  WorkerSettings s;
  s.mount_point = in.string();
  s.type = static_cast<hub::RepoType>(in.integer<std::uint8_t>());
  s.endpoint = in.string();
  s.allow_other = in.integer<std::uint8_t>() != 0;
  s.offline = in.integer<std::uint8_t>() != 0;
  s.offline_because = in.string();
  s.cache_path = in.string();
  s.cache_size = in.integer<std::uint64_t>();
  s.block_size = in.integer<std::uint64_t>();
  s.memory = in.integer<std::uint64_t>();
  s.metadata_ttl_seconds = in.integer<std::uint64_t>();
  s.metadata_deadline_seconds = in.integer<std::uint64_t>();
  s.read_deadline_seconds = in.integer<std::uint64_t>();
  s.log_level = static_cast<LogLevel>(in.integer<std::uint8_t>());
  s.log_file = in.string();
  s.hf_token = in.string();
  s.hugging_face_hub_token = in.string();
  if (!in.ok() || !in.at_end()) {
    return {ErrorCode::kBadAnswer, "the keeper's settings cannot be read"};
  }
  return s;
}

Result<void> send_message(int sock, MessageKind kind, ByteView body) {
  std::uint8_t first = static_cast<std::uint8_t>(kind);
  iovec parts[2] = {{&first, 1}, {const_cast<std::byte*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = body.empty() ? 1 : 2;
  ssize_t n = 0;
  do {
    n = ::sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return system_error(errno, "writing between keeper and worker");
  return {};
}

Result<Message> receive_message(int sock) {
  Bytes buffer(kLargest);
  ssize_t n = 0;
  do {
    n = ::recv(sock, buffer.data(), buffer.size(), MSG_TRUNC);
  } while (n < 0 && errno == EINTR);
  if (n == 0 || (n < 0 && errno == ECONNRESET)) {
    return {ErrorCode::kNotFound, "the other process is gone"};
  }
  if (n < 0) return system_error(errno, "reading between keeper and worker");
  const auto size = static_cast<std::size_t>(n);
  const auto kind = std::to_integer<std::uint8_t>(buffer[0]);
  if (size > buffer.size() || kind < static_cast<std::uint8_t>(MessageKind::kSettings) ||
      kind > static_cast<std::uint8_t>(MessageKind::kFailed)) {
    return {ErrorCode::kBadAnswer, "an unknown message between keeper and worker"};
  }
  Message message;
  message.kind = static_cast<MessageKind>(kind);
  message.body.assign(buffer.begin() + 1, buffer.begin() + static_cast<std::ptrdiff_t>(size));
  return message;
}

}  // namespace hubvfs::daemon
