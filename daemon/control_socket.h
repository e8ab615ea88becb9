// SPDX-License-Identifier: Apache-2.0
// How commands find the daemon of a cache: control.sock in the cache folder, for its user alone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/worker_link.h"

namespace hubvfs::daemon {

// Who a daemon is, for the command that would join it.
struct Introduction {
  pid_t pid = 0;
  std::uint64_t mount_namespace = 0;  // it mounts in there
  WorkerSettings settings;            // each token replaced by a fingerprint

  // Of this process and these settings.
  static Introduction of(const WorkerSettings& settings);
  Bytes encode() const;
  static Result<Introduction> decode(ByteView bytes);
};

// One more mount, as a command asks for it.
struct MountOrder {
  std::string dir;  // canonical, checked (mount_point.h)
  bool allow_other = false;
  Bytes settings;           // MountSettings::encode
  bool passthrough = true;  // where it can be

  Bytes encode() const;
  static Result<MountOrder> decode(ByteView bytes);
};

// Whether a mount that asks for `wanted` may join a daemon that runs with `running`: what it will
// have to do without, for the user. An error where it would not show what was asked for: another
// endpoint, token or offline mode.
Result<std::vector<std::string>> compare_settings(const Introduction& running,
                                                  const Introduction& wanted);

// Whether a command that asks the Hub, and was told `wanted`, may have it asked by that daemon. An
// error where that would ask another endpoint than it was told, by another token or although the
// command is to be offline.
Result<void> compare_hub(const Introduction& running, const Introduction& wanted);

// A daemon's listening socket. Destroying it takes the name away.
class ControlSocket {
 public:
  ControlSocket() = default;  // none
  ControlSocket(UniqueFd folder, UniqueFd listener)
      : folder_(std::move(folder)), listener_(std::move(listener)) {}
  ControlSocket(ControlSocket&&) = default;
  ControlSocket& operator=(ControlSocket&& other) noexcept {
    std::swap(folder_, other.folder_);
    std::swap(listener_, other.listener_);
    return *this;
  }
  ~ControlSocket();
  int fd() const { return listener_.get(); }
  // The name stays: a child has the socket now.
  void disown() { folder_.reset(); }

 private:
  UniqueFd folder_;
  UniqueFd listener_;
};

// The cache folder as commands use it: made where it is missing, refused where a cache may not be.
class ControlFolder {
 public:
  // `mode`: as cache::open_cache_folder. Errors as DiskCache::open, but for kBusy.
  static Result<ControlFolder> open(const std::string& cache_path, mode_t mode = 0);

  // From now until unlock() or the end of this, no other command looks for a daemon here or starts
  // one. kTimedOut: somebody else takes too long.
  Result<void> lock(Duration timeout);
  void unlock();
  // kNotFound: no daemon runs.
  Result<UniqueFd> connect() const;
  // In the place of a dead daemon's socket, if there is one. Only under lock(), and after connect()
  // found nobody.
  Result<ControlSocket> listen() const;
  // For a child that becomes the daemon: it must not keep the parent's lock.
  void abandon_lock() { folder_.reset(); }

 private:
  ControlFolder(UniqueFd folder, std::string shown)
      : folder_(std::move(folder)), shown_(std::move(shown)) {}
  UniqueFd folder_;
  std::string shown_;
};

// Asks a daemon who it is. kNotFound: it ended before it answered.
Result<Introduction> ask_introduction(int connection, Duration timeout);
// Asks for one more mount, and returns when that can be used. The daemon's own words where it
// cannot; kNotFound: it ended.
Result<void> ask_for_mount(int connection, const MountOrder& order, Duration timeout);

// Whether the process at the other end is of `owner` or root; its pid then.
std::optional<pid_t> peer_of(int connection, uid_t owner);
// False: nothing to be read from it within `timeout`.
bool wait_readable(int fd, Duration timeout);

}  // namespace hubvfs::daemon
