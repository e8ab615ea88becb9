// SPDX-License-Identifier: Apache-2.0
#include "cache/cache_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/text.h"
#include "cache/disk_cache.h"

namespace hubvfs::cache {
namespace {

constexpr int kFormat = 1;
constexpr int kAttempts = 500;
constexpr useconds_t kPauseUs = 10'000;
constexpr const char* kTagName = "CACHEDIR.TAG";
constexpr const char* kCacheDirTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is a cache of hubvfs: backups may leave it out.\n"
    "# See https://bford.info/cachedir/\n";

Result<void> check_folder(int fd, const std::string& path, mode_t mode) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error(errno, "cache folder " + path);
  if (info.st_uid != ::geteuid()) {
    return {ErrorCode::kPermissionDenied, "cache folder " + path + " belongs to uid " +
                                              std::to_string(info.st_uid) +
                                              "; name another with -o cache.path=DIR"};
  }
  const bool group_may = (mode & S_IWGRP) != 0;
  if ((info.st_mode & S_IWOTH) != 0 || ((info.st_mode & S_IWGRP) != 0 && !group_may)) {
    return {ErrorCode::kPermissionDenied,
            "cache folder " + path + " can be written by others; chmod 0700 it"};
  }
  struct statfs filesystem {};
  if (::fstatfs(fd, &filesystem) != 0) return system_error(errno, "cache folder " + path);
  const char* remote =
      remote_filesystem(static_cast<unsigned long>(filesystem.f_type) & 0xffffffff);
  if (remote != nullptr) {
    return {ErrorCode::kUnsupported, "cache folder " + path + " lies on " + remote +
                                         ", which is not a local filesystem; name another with "
                                         "-o cache.path=DIR"};
  }
  return {};
}

// A folder with other things in it is somebody's data, named by mistake.
Result<void> check_is_ours_or_empty(const Directory& root, const std::string& path) {
  static constexpr std::array<std::string_view, 12> kOurs = {
      "VERSION",    "VERSION.new", "CACHEDIR.TAG", "CACHEDIR.TAG.new",
      "owner.lock", "index",       "index.bad",    "index.opening",
      "blobs",      "meta",        "control.sock", "lost+found"};
  std::string foreign;
  bool has_version = false;
  auto listed = root.for_each([&](const std::string& name) {
    if (name == "VERSION") has_version = true;
    if (std::find(kOurs.begin(), kOurs.end(), name) == kOurs.end()) foreign = name;
  });
  if (!listed) return listed.error();
  if (has_version || foreign.empty()) return {};
  return {ErrorCode::kUnsupported, "cache folder " + path + " holds other files (" +
                                       escape_for_log(foreign) + "); name an empty one"};
}

bool is_dead(const std::string& pid) {
  const auto number = parse_decimal(pid);
  if (!number || *number == 0 || *number > INT32_MAX) return false;
  return ::kill(static_cast<pid_t>(*number), 0) != 0 && errno == ESRCH;
}

Result<UniqueFd> take_lock(const Directory& root, const std::string& path) {
  auto lock = root.open_file("owner.lock", O_RDWR | O_CREAT);
  if (!lock && lock.error().code == ErrorCode::kReadOnly) {
    lock = root.open_file("owner.lock", O_RDONLY);  // what is cached can be served all the same
  }
  if (!lock) return lock.error().within("cache folder " + path);
  for (int attempt = 0; ::flock(lock->get(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
    if (errno != EWOULDBLOCK) return system_error(errno, "locking the cache folder " + path);
    std::string pid(trim(root.read_small_file("owner.lock").value_or("")));
    // The child that probes the index shares the lock, and outlives a killed parent for a moment.
    if (is_dead(pid) && attempt < kAttempts) {
      ::usleep(kPauseUs);
      continue;
    }
    if (pid.empty()) pid = "unknown";  // a full disk had no room for it
    return {ErrorCode::kBusy, "cache folder " + path + " is in use by pid " + escape_for_log(pid) +
                                  ": wait until that ends, or name another with -o cache.path=DIR"};
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  // A full disk must not keep a cache from opening: the pid only helps the reader of a message.
  if (::ftruncate(lock->get(), 0) == 0)
    (void)write_fully(lock->get(), as_bytes(pid), 0).has_value();
  return lock;
}

std::string version_text(std::uint64_t block_size) {
  return "hubvfs-cache " + std::to_string(kFormat) + "\nblock_size " + std::to_string(block_size) +
         "\n";
}

bool is_block_size(std::uint64_t size) {
  return size >= (256u << 10) && size <= (16u << 20) && std::has_single_bit(size);
}

// The block size written in VERSION.
Result<std::uint64_t> read_version(const Directory& root, const std::string& path) {
  auto text = root.read_small_file("VERSION");
  if (!text) return text.error();
  const auto lines = split(*text, '\n');
  if (lines.size() >= 2 && lines[0] == "hubvfs-cache " + std::to_string(kFormat) &&
      lines[1].starts_with("block_size ")) {
    const auto size = parse_decimal(lines[1].substr(std::string_view("block_size ").size()));
    if (size && is_block_size(*size)) return *size;
  }
  return {ErrorCode::kUnsupported,
          "cache folder " + path + " has a format that this version cannot read (" +
              escape_for_log(lines[0], 64) + "); remove it or name another with -o cache.path=DIR"};
}

Result<std::uint64_t> read_or_make_version(const Directory& root, const std::string& path,
                                           std::uint64_t block_size) {
  auto known = read_version(root, path);
  if (known && !root.open_file(kTagName, O_RDONLY)) {
    (void)root.replace_file(kTagName, kCacheDirTag).has_value();  // only for backups' sake
  }
  if (known || known.error().code != ErrorCode::kNotFound) return known;
  if (!is_block_size(block_size)) {
    return {
        ErrorCode::kInvalidArgument,
        "a block size is a power of two from 256 KiB to 16 MiB, not " + std::to_string(block_size)};
  }
  if (auto made = root.replace_file(kTagName, kCacheDirTag); !made) return made.error();
  if (auto made = root.replace_file("VERSION", version_text(block_size)); !made) {
    return made.error();
  }
  return block_size;
}

}  // namespace

const char* remote_filesystem(unsigned long magic) {
  struct Remote {
    unsigned long magic;
    const char* name;
  };
  static constexpr std::array<Remote, 18> kRemote = {{
      {0x6969, "NFS"},
      {0xff534d42, "CIFS"},
      {0xfe534d42, "CIFS"},
      {0x517b, "CIFS"},
      {0x01021997, "9p"},
      {0x00c36400, "ceph"},
      {0x0bd00bd0, "lustre"},
      {0x65735546, "FUSE"},
      {0x5346414f, "AFS"},
      {0x73757245, "Coda"},
      {0x47504653, "GPFS"},
      {0x19830326, "BeeGFS"},
      {0x7461636f, "OCFS2"},
      {0x01161970, "GFS2"},
      {0xaad7aaea, "PanFS"},
      {0x20030528, "OrangeFS"},
      {0x786f4256, "a VirtualBox share"},
      {0xbacbacbc, "a VMware share"},
  }};
  const auto found = std::find_if(kRemote.begin(), kRemote.end(),
                                  [&](const Remote& each) { return each.magic == magic; });
  return found == kRemote.end() ? nullptr : found->name;
}

Result<void> set_mode(const Directory& folder, mode_t mode) {
  struct stat info {};
  if (mode == 0) return {};
  if (::fstat(folder.fd(), &info) == 0 && (info.st_mode & 07777) == mode) return {};
  if (::fchmod(folder.fd(), mode) == 0 || errno == EROFS) return {};
  return system_error(errno, "setting the mode of a folder of the cache");
}

Result<Directory> open_cache_folder(const std::string& asked_path, mode_t mode) {
  std::string given_path = asked_path;  // "link/" would be followed where "link" is refused
  while (given_path.size() > 1 && given_path.back() == '/') given_path.pop_back();
  const std::string path = escape_for_log(given_path);
  if (::mkdir(given_path.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return system_error(errno, "making the cache folder " + path);
  }
  UniqueFd fd(::open(given_path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    if (errno == ELOOP || errno == ENOTDIR) {
      return {ErrorCode::kPermissionDenied,
              "cache folder " + path + " is a symbolic link or a file; name the folder itself"};
    }
    return system_error(errno, "opening the cache folder " + path);
  }
  if (auto checked = check_folder(fd.get(), path, mode); !checked) return checked.error();
  Directory root(std::move(fd));
  if (auto ours = check_is_ours_or_empty(root, path); !ours) return ours.error();
  if (auto set = set_mode(root, mode); !set) return set.error().within("cache folder " + path);
  return root;
}

Result<std::unique_ptr<CacheFolder>> CacheFolder::open(const std::string& given_path,
                                                       std::uint64_t block_size, mode_t mode) {
  auto folder = open_cache_folder(given_path, mode);
  if (!folder) return folder.error();
  const std::string path = escape_for_log(given_path);
  auto lock = take_lock(*folder, path);
  if (!lock) return lock.error();
  auto size = read_or_make_version(*folder, path, block_size);
  if (!size) return size.error();
  return std::unique_ptr<CacheFolder>(new CacheFolder(std::move(*folder), std::move(*lock), *size));
}

unsigned cache_format() { return static_cast<unsigned>(kFormat); }

}  // namespace hubvfs::cache
