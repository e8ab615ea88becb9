// SPDX-License-Identifier: Apache-2.0
#include "daemon/presence.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

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
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const Address address = address_of(device);
  if (fd && ::bind(fd.get(), address.get(), address.size) == 0 && ::listen(fd.get(), 16) == 0) {
    listener_ = std::move(fd);
  }
}

void Presence::dismiss_visitor() const {
  const UniqueFd visitor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

std::optional<FoundKeeper> find_keeper(const std::string& device, uid_t owner) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const Address address = address_of(device);
  if (!fd || ::connect(fd.get(), address.get(), address.size) < 0) return std::nullopt;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return std::nullopt;
  if (peer.uid != owner && peer.uid != 0) return std::nullopt;
  FoundKeeper found;
  found.pid = peer.pid;
  found.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
  if (!found.pidfd) return std::nullopt;
  return found;
}

bool wait_for_end(const FoundKeeper& keeper, Duration timeout) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  pollfd wait{keeper.pidfd.get(), POLLIN, 0};
  return ::poll(&wait, 1, static_cast<int>(ms)) == 1;
}

}  // namespace hubvfs::daemon
