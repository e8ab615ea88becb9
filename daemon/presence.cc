// SPDX-License-Identifier: Apache-2.0
#include "daemon/presence.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "daemon/control_socket.h"

namespace hubvfs::daemon {
namespace {

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

Address address_of(const std::string& device) {
  const std::string text = "hubvfs-keeper-" + device;
  Address address;
  address.name.sun_family = AF_UNIX;
  const std::size_t length = std::min(text.size(), sizeof address.name.sun_path - 1);
  std::memcpy(address.name.sun_path + 1, text.data(), length);  // the leading zero: abstract
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  return address;
}

}  // namespace

Presence::Presence(const std::string& device) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const Address address = address_of(device);
  if (fd && ::bind(fd.get(), address.get(), address.size) == 0 && ::listen(fd.get(), 16) == 0) {
    listener_ = std::move(fd);
  }
}

std::optional<FoundKeeper> find_keeper(const std::string& device, uid_t owner) {
  FoundKeeper found;
  found.connection.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const Address address = address_of(device);
  if (!found.connection ||
      ::connect(found.connection.get(), address.get(), address.size) < 0) {
    return std::nullopt;
  }
  const auto pid = peer_of(found.connection.get(), owner);
  if (!pid) return std::nullopt;
  found.pid = *pid;
  return found;
}

// Readable only by its end, as nothing was asked.
bool wait_for_end(const FoundKeeper& keeper, Duration timeout) {
  return wait_readable(keeper.connection.get(), timeout);
}

}  // namespace hubvfs::daemon
