// SPDX-License-Identifier: Apache-2.0
#include "daemon/messages.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kLargest = 192u << 10;
constexpr std::size_t kControlSize = CMSG_SPACE(kMostDescriptors * sizeof(int));

bool is_known(std::uint8_t kind) {
  switch (static_cast<MessageKind>(kind)) {
    case MessageKind::kSettings:
    case MessageKind::kServe:
    case MessageKind::kStopMount:
    case MessageKind::kStop:
    case MessageKind::kReport:
    case MessageKind::kBacking:
    case MessageKind::kPassthrough:
    case MessageKind::kOpenBacking:
    case MessageKind::kClosedBacking:
    case MessageKind::kReady:
    case MessageKind::kFailed:
    case MessageKind::kHello:
    case MessageKind::kMount:
    case MessageKind::kStatus:
    case MessageKind::kCommand:
    case MessageKind::kDone:
    case MessageKind::kRefused:
    case MessageKind::kFacts:
    case MessageKind::kProgress:
    case MessageKind::kItem:
      return true;
  }
  return false;
}

std::vector<UniqueFd> take_descriptors(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

Result<void> send_message(int sock, MessageKind kind, ByteView body, const std::vector<int>& fds) {
  auto first = static_cast<std::uint8_t>(kind);
  iovec parts[2] = {{&first, 1}, {const_cast<std::byte*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = body.empty() ? 1 : 2;
  alignas(cmsghdr) char control[kControlSize] = {};
  if (fds.size() > kMostDescriptors)
    return {ErrorCode::kInternal, "a message of too many descriptors"};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t n = 0;
  do {
    n = ::sendmsg(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return {};
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) {
    return {ErrorCode::kNotFound, "the other process is gone"};
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    return {ErrorCode::kTimedOut, "the other process does not listen just now"};
  }
  return system_error(errno, "writing to another process of hubvfs");
}

Result<Message> receive_message(int sock) {
  Bytes buffer(kLargest);
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[kControlSize] = {};
  msghdr received{};
  received.msg_iov = &part;
  received.msg_iovlen = 1;
  received.msg_control = control;
  received.msg_controllen = sizeof control;
  ssize_t n = 0;
  bool reset = false;
  do {
    n = ::recvmsg(sock, &received, MSG_CMSG_CLOEXEC);
    // A process that died with something unread is told of first, and what it said last comes
    // after.
    if (n < 0 && errno == ECONNRESET && !std::exchange(reset, true)) errno = EINTR;
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    return {ErrorCode::kTimedOut, "the other process has said nothing yet"};
  }
  if (n == 0 || (n < 0 && errno == ECONNRESET)) {
    return {ErrorCode::kNotFound, "the other process is gone"};
  }
  if (n < 0) return system_error(errno, "reading from another process of hubvfs");
  Message message;
  message.fds = take_descriptors(received);
  const auto kind = std::to_integer<std::uint8_t>(buffer[0]);
  if ((received.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || !is_known(kind)) {
    return {ErrorCode::kBadAnswer, "an unknown message between processes of hubvfs"};
  }
  message.kind = static_cast<MessageKind>(kind);
  message.body.assign(buffer.begin() + 1, buffer.begin() + n);
  return message;
}

}  // namespace hubvfs::daemon
