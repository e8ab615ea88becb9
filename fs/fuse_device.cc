// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_device.h"

#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace hubvfs::fs {
namespace {

// Newer than Debian 12's linux/fuse.h.
constexpr std::int32_t kNotifyResend = 7;
constexpr std::uint32_t kHasResend2 = 1u << 7;    // bit 39 of the INIT flags
constexpr std::uint32_t kPassthrough2 = 1u << 5;  // bit 37
struct BackingMap {
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};
constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, std::uint32_t);

constexpr std::size_t kLargestRequest = 64u << 10;

template <typename T>
T copy_out(ByteView bytes, std::size_t offset) {
  T value{};
  if (offset < bytes.size()) {
    const std::size_t have = std::min(sizeof value, bytes.size() - offset);
    std::memcpy(&value, bytes.data() + offset, have);
  }
  return value;
}

fuse_init_in init_of(ByteView request) {
  if (!is_init_request(request)) return {};
  return copy_out<fuse_init_in>(request, sizeof(fuse_in_header));
}

// The flags of an INIT from bit 32 on.
std::uint32_t flags2_of(ByteView init_request) {
  const fuse_init_in init = init_of(init_request);
  return (init.flags & FUSE_INIT_EXT) != 0 ? init.flags2 : 0;
}

}  // namespace

Result<Bytes> read_init_request(int dev_fd, Duration timeout) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  pollfd wait{dev_fd, POLLIN, 0};
  const int ready = ::poll(&wait, 1, static_cast<int>(ms));
  if (ready < 0) return system_error(errno, "waiting for the kernel's first FUSE request");
  if (ready == 0) return {ErrorCode::kTimedOut, "the kernel sent no FUSE request after mounting"};
  Bytes request(kLargestRequest);
  const ssize_t n = ::read(dev_fd, request.data(), request.size());
  if (n < 0) return system_error(errno, "reading the kernel's first FUSE request");
  request.resize(static_cast<std::size_t>(n));
  if (!is_init_request(request)) {
    return {ErrorCode::kBadAnswer, "the kernel's first FUSE request is not INIT"};
  }
  return request;
}

bool is_init_request(ByteView request) {
  // Older kernels send the shorter form, up to `flags`.
  constexpr std::size_t kLeast = sizeof(fuse_in_header) + 4 * sizeof(std::uint32_t);
  if (request.size() < kLeast) return false;
  const auto header = copy_out<fuse_in_header>(request, 0);
  return header.opcode == FUSE_INIT && header.len == request.size();
}

bool offers_parallel_lookups(ByteView init_request) {
  return (init_of(init_request).flags & FUSE_PARALLEL_DIROPS) != 0;
}

bool offers_resend(ByteView init_request) { return (flags2_of(init_request) & kHasResend2) != 0; }

bool offers_passthrough(ByteView init_request) {
  return (flags2_of(init_request) & kPassthrough2) != 0;
}

Result<std::int32_t> register_backing(int dev_fd, int fd) {
  const BackingMap map{fd, 0, 0};
  const int id = ::ioctl(dev_fd, kBackingOpen, &map);
  if (id > 0) return id;
  Error failed = system_error(errno, "the kernel does not pass this file through");
  if (errno == ELOOP) failed.code = ErrorCode::kUnsupported;
  return failed;
}

void unregister_backing(int dev_fd, std::int32_t id) {
  const auto number = static_cast<std::uint32_t>(id);
  ::ioctl(dev_fd, kBackingClose, &number);
}

Result<void> write_resend(int dev_fd) {
  const fuse_out_header header{sizeof header, kNotifyResend, 0};
  if (::write(dev_fd, &header, sizeof header) < 0) {
    return system_error(errno, "asking the kernel for its unanswered requests");
  }
  return {};
}

void refuse_requests(int dev_fd, Duration patience) {
  static_cast<void>(write_resend(dev_fd).has_value());
  Bytes request(kLargestRequest);
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd wait{dev_fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) != 1) return;
    const ssize_t n = ::read(dev_fd, request.data(), request.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
    if (n < static_cast<ssize_t>(sizeof(fuse_in_header))) return;
    const auto header = copy_out<fuse_in_header>(request, 0);
    if (!wants_answer(header.opcode)) continue;
    const fuse_out_header answer{sizeof answer, -EIO, header.unique};
    [[maybe_unused]] const ssize_t written = ::write(dev_fd, &answer, sizeof answer);
  }
}

bool wants_answer(std::uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

std::string libfuse_version() { return fuse_pkgversion(); }

}  // namespace hubvfs::fs
