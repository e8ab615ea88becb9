// SPDX-License-Identifier: Apache-2.0
#include "tests/daemon/tiny_filesystem.h"

#include <fuse_lowlevel.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "fs/fuse_loop.h"
#include "fs/kernel_notifier.h"

namespace hubvfs::tiny {
namespace {

enum Node : fuse_ino_t {
  kRoot = 1,
  kNumbers = kFirstNode,
  kSlow,
  kParked,
  kPid,
  kCrash,
  kRequest,
  kCounter,
  kForgetAttributes,
  kForgetEntry
};
constexpr std::array<const char*, 9> kNames = {
    "numbers",           "slow",        "parked", "pid", "crash", "request", "counter",
    "forget-attributes", "forget-entry"};
constexpr double kLong = 3600;

std::string pid_text() { return std::to_string(::getpid()) + "\n"; }

struct stat attributes(fuse_ino_t ino) {
  struct stat s {};
  s.st_ino = ino;
  s.st_mode = ino == kRoot ? S_IFDIR | 0555 : S_IFREG | 0444;
  s.st_nlink = 1;
  s.st_uid = ::getuid();
  s.st_gid = ::getgid();
  static std::atomic<off_t> asked{0};
  s.st_size = static_cast<off_t>(kNumbersSize);
  if (ino == kRoot) s.st_size = 0;
  if (ino == kPid) s.st_size = 16;
  if (ino == kCounter) s.st_size = ++asked;
  return s;
}

fuse_entry_param entry(fuse_ino_t ino) {
  fuse_entry_param e{};
  e.ino = ino;
  e.attr = attributes(ino);
  e.attr_timeout = e.entry_timeout = kLong;
  return e;
}

void lookup(fuse_req_t request, fuse_ino_t, const char* name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (std::strcmp(name, kNames[i]) != 0) continue;
    const fuse_entry_param e = entry(kFirstNode + i);
    fuse_reply_entry(request, &e);
    return;
  }
  fuse_reply_err(request, ENOENT);
}

void forget(fuse_req_t request, fuse_ino_t, std::uint64_t) { fuse_reply_none(request); }

void getattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info*) {
  const struct stat s = attributes(ino);
  fuse_reply_attr(request, &s, kLong);
}

void open(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  auto& notifier = *static_cast<fs::KernelNotifier*>(fs::FuseLoop::userdata_of(request));
  if (ino == kCrash) std::abort();
  if (ino == kForgetAttributes) {
    notifier.invalidate_attributes(kCounter);
    notifier.invalidate_attributes(12345);  // what the kernel does not know is no error
  }
  if (ino == kForgetEntry) {
    notifier.invalidate_entry(kRoot, "no such name");
    notifier.invalidate_entry(12345, "counter");
    notifier.invalidate_entry(kRoot, "counter");
  }
  info->direct_io = ino == kPid || ino == kRequest;
  info->keep_cache = ino == kNumbers;
  fuse_reply_open(request, info);
}

void answer(fuse_req_t request, std::size_t size, off_t offset) {
  const auto begin = static_cast<std::uint64_t>(offset);
  const std::size_t left = begin < kNumbersSize ? kNumbersSize - begin : 0;
  const std::string bytes = numbers(begin, std::min(size, left));
  fuse_reply_buf(request, bytes.data(), bytes.size());
}

void read(fuse_req_t request, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
  if (ino == kParked) return;  // its request structure is never freed: this process is a test's
  if (ino == kSlow) {
    std::thread([=] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      answer(request, size, offset);
    }).detach();
    return;
  }
  if (ino != kPid && ino != kRequest) return answer(request, size, offset);
  const std::string text = ino == kPid ? pid_text() : std::to_string(size) + "\n";
  const auto from = std::min(static_cast<std::size_t>(offset), text.size());
  fuse_reply_buf(request, text.data() + from, std::min(size, text.size() - from));
}

void opendir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  fuse_reply_open(request, info);
}

void readdirplus(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info*) {
  std::vector<char> bytes(size);
  std::size_t used = 0;
  for (auto i = static_cast<std::size_t>(offset); i < kNames.size(); ++i) {
    const fuse_entry_param e = entry(kFirstNode + i);
    const std::size_t n = fuse_add_direntry_plus(request, bytes.data() + used, size - used,
                                                 kNames[i], &e, static_cast<off_t>(i + 1));
    if (n > size - used) break;
    used += n;
  }
  fuse_reply_buf(request, bytes.data(), used);
}

void released(fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, 0); }

}  // namespace

const fuse_lowlevel_ops& operations() {
  static const fuse_lowlevel_ops kOps = [] {
    fuse_lowlevel_ops ops{};
    ops.lookup = lookup;
    ops.forget = forget;
    ops.getattr = getattr;
    ops.open = open;
    ops.read = read;
    ops.release = released;
    ops.opendir = opendir;
    ops.readdirplus = readdirplus;
    ops.releasedir = released;
    return ops;
  }();
  return kOps;
}

char number_at(std::uint64_t offset) {
  return static_cast<char>((offset * 2654435761u) >> 13 & 0xFF);
}

std::string numbers(std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = number_at(offset + i);
  return bytes;
}

}  // namespace hubvfs::tiny
