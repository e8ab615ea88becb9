// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/digest.h"
#include "base/text.h"
#include "cache/cache_folder.h"
#include "daemon/messages.h"
#include "daemon/options.h"
#include "daemon/paths.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::milliseconds;

constexpr const char* kName = "control.sock";
constexpr int kBacklog = 16;

// Through a descriptor of the folder: the path of a socket ends at 108 bytes.
sockaddr_un address_in(int folder) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(folder) + "/" + kName;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// Tells two tokens apart and gives neither away.
std::string fingerprint(const std::string& token) {
  return token.empty() ? "" : sha256_hex(as_bytes("hubvfs " + token)).substr(0, 16);
}

bool same_token(const WorkerSettings& one, const WorkerSettings& other) {
  return one.hf_token == other.hf_token &&
         one.hugging_face_hub_token == other.hugging_face_hub_token;
}

bool has_token(const WorkerSettings& settings) {
  return !settings.hf_token.empty() || !settings.hugging_face_hub_token.empty();
}

Error differs(const Introduction& running, const std::string& how) {
  return {ErrorCode::kBusy,
          "process " + std::to_string(running.pid) + " serves mounts of the cache " +
              escape_for_log(running.settings.cache_path, 1024) + " " + how +
              "; unmount those first, or use another cache with -o cache.path=DIR"};
}

Error other_endpoint(const Introduction& running, const std::string& wanted) {
  return differs(running, "from " + escape_for_log(running.settings.endpoint) + ", not from " +
                              escape_for_log(wanted));
}

Error other_token(const Introduction& running) {
  return differs(running, "with another HF_TOKEN than this command's");
}

Result<Message> answer_of(int connection, Duration timeout) {
  if (!wait_readable(connection, timeout)) {
    return {ErrorCode::kTimedOut, "the daemon does not answer; see its log"};
  }
  auto message = receive_message(connection);
  if (message && message->kind == MessageKind::kRefused) {
    return {ErrorCode::kUnavailable, std::string(as_text(message->body))};
  }
  if (message && message->kind != MessageKind::kDone) {
    return {ErrorCode::kBadAnswer,
            "the daemon is of another version of hubvfs: unmount what it "
            "has mounted, and mount again"};
  }
  return message;
}

}  // namespace

bool wait_readable(int fd, Duration timeout) {
  const auto ms = std::chrono::ceil<milliseconds>(timeout).count();
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, static_cast<int>(ms)) == 1;
}

std::optional<pid_t> peer_of(int connection, uid_t owner) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return std::nullopt;
  if (peer.uid != owner && peer.uid != 0) return std::nullopt;
  return peer.pid;
}

Introduction Introduction::of(const WorkerSettings& settings) {
  Introduction self;
  self.pid = ::getpid();
  struct stat info {};
  if (::stat("/proc/self/ns/mnt", &info) == 0) self.mount_namespace = info.st_ino;
  self.settings = settings;
  self.settings.hf_token = fingerprint(settings.hf_token);
  self.settings.hugging_face_hub_token = fingerprint(settings.hugging_face_hub_token);
  return self;
}

Bytes Introduction::encode() const {
  ByteWriter out;
  out.integer(static_cast<std::uint32_t>(pid));
  out.integer(mount_namespace);
  out.string(as_text(settings.encode()));
  return out.take();
}

Result<Introduction> Introduction::decode(ByteView bytes) {
  ByteReader in(bytes);
  Introduction who;
  who.pid = static_cast<pid_t>(in.integer<std::uint32_t>());
  who.mount_namespace = in.integer<std::uint64_t>();
  auto settings = WorkerSettings::decode(as_bytes(in.string()));
  if (!settings) return settings.error();
  who.settings = std::move(*settings);
  return who;
}

Bytes MountOrder::encode() const {
  ByteWriter out;
  out.string(dir);
  out.integer(static_cast<std::uint8_t>(allow_other ? 1 : 0));
  out.string(as_text(settings));
  out.integer(static_cast<std::uint8_t>(passthrough ? 1 : 0));
  return out.take();
}

Result<MountOrder> MountOrder::decode(ByteView bytes) {
  ByteReader in(bytes);
  MountOrder order;
  order.dir = in.string();
  order.allow_other = in.integer<std::uint8_t>() != 0;
  const ByteView settings = as_bytes(in.string());
  order.passthrough = in.integer<std::uint8_t>() != 0;
  order.settings.assign(settings.begin(), settings.end());
  if (!in.ok() || !in.at_end() || order.dir.empty() || order.dir.front() != '/') {
    return {ErrorCode::kBadAnswer, "no mount order of this version of hubvfs"};
  }
  return order;
}

Result<std::vector<std::string>> compare_settings(const Introduction& running,
                                                  const Introduction& wanted) {
  const WorkerSettings& has = running.settings;
  const WorkerSettings& asks = wanted.settings;
  if (has.endpoint != asks.endpoint) return other_endpoint(running, asks.endpoint);
  if (has.offline != asks.offline) {
    return differs(running, has.offline ? "offline" : "online, and this mount is to be offline");
  }
  if (!same_token(has, asks) && has_token(asks)) return other_token(running);
  if (running.mount_namespace != wanted.mount_namespace) {
    return differs(running,
                   "in another mount namespace, where this command would not see its mount");
  }
  std::vector<std::string> notes;
  const auto note = [&](bool same, const char* what) {
    if (same) return;
    notes.emplace_back(std::string(what) + " stays as the daemon (process " +
                       std::to_string(running.pid) + ") was started with");
  };
  note(same_token(has, asks), "the token");
  note(has.mirrors == asks.mirrors, "the list of mirrors");
  note(has.cache_size == asks.cache_size, "cache.size");
  note(asks.block_size == 0 || has.block_size == asks.block_size, "cache.block_size");
  note(has.eviction == asks.eviction, "what the cache evicts and when");
  note(has.memory == asks.memory, "memory");
  note(has.metadata_ttl_seconds == asks.metadata_ttl_seconds, "metadata.ttl");
  note(has.metadata_settle_seconds == asks.metadata_settle_seconds, "metadata.settle");
  note(has.metadata_deadline_seconds == asks.metadata_deadline_seconds, "metadata.deadline");
  note(has.read_deadline_seconds == asks.read_deadline_seconds, "read.deadline");
  note(has.log_level == asks.log_level, "log.level");
  return notes;
}

Result<void> compare_hub(const Introduction& running, const Introduction& wanted) {
  const WorkerSettings& has = running.settings;
  const WorkerSettings& asks = wanted.settings;
  // Who names no endpoint means the one that is mounted.
  if (asks.endpoint != has.endpoint && asks.endpoint != kDefaultEndpoint) {
    return other_endpoint(running, asks.endpoint);
  }
  if (asks.offline && !has.offline) {
    return differs(running, "online, and this command is to be offline");
  }
  if (!same_token(has, asks) && has_token(asks)) return other_token(running);
  return {};
}

ControlSocket::~ControlSocket() {
  if (listener_ && folder_) ::unlinkat(folder_.get(), kName, 0);
}

Result<ControlFolder> ControlFolder::open(const std::string& cache_path, mode_t mode) {
  const std::size_t slash = cache_path.rfind('/');
  if (slash != std::string::npos && slash != 0) {
    if (auto made = make_directories(cache_path.substr(0, slash)); !made) {
      return made.error().within("cannot make the cache folder (another one: -o cache.path=DIR)");
    }
  }
  auto folder = cache::open_cache_folder(cache_path, mode);
  if (!folder) return folder.error();
  UniqueFd fd(::fcntl(folder->fd(), F_DUPFD_CLOEXEC, 0));
  if (!fd) return system_error(errno, "opening the cache folder");
  return ControlFolder(std::move(fd), escape_for_log(cache_path, 1024));
}

Result<void> ControlFolder::lock(Duration timeout) {
  constexpr milliseconds kStep(20);
  for (Duration waited{};; waited += kStep) {
    if (::flock(folder_.get(), LOCK_EX | LOCK_NB) == 0) return {};
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return system_error(errno, "locking the cache folder " + shown_);
    }
    if (waited >= timeout) {
      return {ErrorCode::kTimedOut, "another command of hubvfs is busy with the cache folder " +
                                        shown_ + " and does not end; see `hubvfs status`"};
    }
    ::poll(nullptr, 0, static_cast<int>(kStep.count()));
  }
}

void ControlFolder::unlock() {
  // By hand: a child that was forked meanwhile may have the same open folder.
  if (folder_) ::flock(folder_.get(), LOCK_UN);
}

Result<UniqueFd> ControlFolder::connect() const {
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return system_error(errno, "making a socket");
  const sockaddr_un address = address_in(folder_.get());
  if (::connect(fd.get(), generic(address), sizeof address) < 0) {
    const int error = errno;
    if (error == ENOENT || error == ECONNREFUSED) return {ErrorCode::kNotFound, "no daemon runs"};
    return system_error(error, "calling the daemon of the cache " + shown_);
  }
  if (!peer_of(fd.get(), ::geteuid())) {
    return {ErrorCode::kPermissionDenied,
            "the socket in the cache folder " + shown_ + " is answered by another user's process"};
  }
  return fd;
}

Result<ControlSocket> ControlFolder::listen() const {
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  UniqueFd folder(::open(("/proc/self/fd/" + std::to_string(folder_.get())).c_str(),
                         O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd || !folder) return system_error(errno, "making the daemon's socket");
  ::unlinkat(folder.get(), kName, 0);
  const sockaddr_un address = address_in(folder_.get());
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd.get(), generic(address), sizeof address);
  const int error = errno;
  ::umask(before);
  if (bound < 0)
    return system_error(error, "making the daemon's socket in the cache folder " + shown_);
  ControlSocket socket(std::move(folder), std::move(fd));
  if (::listen(socket.fd(), kBacklog) < 0) return system_error(errno, "listening for commands");
  return socket;
}

Result<Introduction> ask_introduction(int connection, Duration timeout) {
  if (auto sent = send_message(connection, MessageKind::kHello, {}); !sent) return sent.error();
  auto answer = answer_of(connection, timeout);
  if (!answer) return answer.error();
  return Introduction::decode(answer->body);
}

Result<void> ask_for_mount(int connection, const MountOrder& order, Duration timeout) {
  auto sent = send_message(connection, MessageKind::kMount, order.encode());
  if (!sent) return sent.error();
  auto answer = answer_of(connection, timeout);
  if (!answer) return answer.error();
  return {};
}

}  // namespace hubvfs::daemon
