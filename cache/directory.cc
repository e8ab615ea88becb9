// SPDX-License-Identifier: Apache-2.0
#include "cache/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <span>

#include "base/blocking.h"
#include "base/bytes.h"
#include "base/text.h"

namespace hubvfs::cache {
namespace {

constexpr mode_t kFileMode = S_IRUSR | S_IWUSR;
constexpr std::size_t kSmallFile = 4096;

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

// For kernels and sandboxes without openat2: each step opened by itself, none through a link.
UniqueFd open_step_by_step(int parent, const std::string& name, int flags) {
  UniqueFd held;
  int at = parent;
  std::size_t begin = 0;
  while (true) {
    const std::size_t slash = name.find('/', begin);
    const std::string step = name.substr(begin, slash - begin);
    if (step.empty() || step == "." || step == "..") {
      errno = EXDEV;
      return UniqueFd();
    }
    if (slash == std::string::npos) return UniqueFd(::openat(at, step.c_str(), flags, kFileMode));
    UniqueFd next(::openat(at, step.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return next;
    held = std::move(next);
    at = held.get();
    begin = slash + 1;
  }
}

// Where the filesystem can (chattr +A), no read of a file made in it from now on is looked at for
// its access time: that is a twentieth of a read of 4 KiB, and at times a write.
void keep_no_access_times(int directory) {
  std::array<int, 2> flags{};  // FS_IOC_GETFLAGS is named for a long; the kernel writes an int
  if (::ioctl(directory, FS_IOC_GETFLAGS, flags.data()) != 0) return;
  flags[0] |= FS_NOATIME_FL;
  (void)::ioctl(directory, FS_IOC_SETFLAGS, flags.data());
}

}  // namespace

Result<UniqueFd> Directory::open_beneath(const std::string& name, int flags) const {
  flags |= O_CLOEXEC | O_NOFOLLOW;
  open_how how{};
  how.flags = static_cast<decltype(how.flags)>(flags);
  if ((flags & O_CREAT) != 0) how.mode = kFileMode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, fd_.get(), name.c_str(), &how, sizeof how)));
  if (!fd && (errno == ENOSYS || errno == EPERM)) fd = open_step_by_step(fd_.get(), name, flags);
  if (fd) return fd;
  if (errno == ELOOP || errno == EXDEV || errno == ENOTDIR) {
    return {ErrorCode::kPermissionDenied, name + " in the cache folder is not what we put there"};
  }
  return system_error(errno, name + " in the cache folder");
}

Result<UniqueFd> Directory::open_file(const std::string& name, int flags) const {
  auto fd = open_beneath(name, flags | O_NONBLOCK);  // a FIFO in its place must not hold us
  if (!fd) return fd;
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return system_error(errno, name);
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1) {
    return {ErrorCode::kPermissionDenied,
            name + " in the cache folder is not a plain file of ours"};
  }
  return fd;
}

Result<Directory> Directory::open_directory(const std::string& name) const {
  auto fd = open_beneath(name, O_RDONLY | O_DIRECTORY);
  if (!fd) return fd.error();
  return Directory(std::move(*fd));
}

Result<Directory> Directory::make_directory(const std::string& name) const {
  auto found = open_directory(name);
  if (found || found.error().code != ErrorCode::kNotFound) return found;
  if (::mkdirat(fd_.get(), name.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return system_error(errno, "making " + name + " in the cache folder");
  }
  found = open_directory(name);
  if (found) keep_no_access_times(found->fd());
  return found;
}

Result<void> Directory::rename(const std::string& from, const std::string& to) const {
  if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) == 0) return {};
  return system_error(errno, "renaming " + from + " to " + to);
}

Result<void> Directory::remove_file(const std::string& name) const {
  if (::unlinkat(fd_.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return system_error(errno, "removing " + name);
}

Result<void> Directory::remove_directory(const std::string& name) const {
  auto inner = open_directory(name);
  if (!inner) {
    if (inner.error().code == ErrorCode::kNotFound) return {};
    return inner.error();
  }
  Result<void> removed;
  auto listed = inner->for_each([&](const std::string& file) {
    if (auto one = inner->remove_file(file); !one) removed = one;
  });
  if (!listed) return listed;
  if (!removed) return removed;
  if (::unlinkat(fd_.get(), name.c_str(), AT_REMOVEDIR) == 0) return {};
  return system_error(errno, "removing " + name);
}

Result<void> Directory::for_each(const std::function<void(const std::string& name)>& visit) const {
  UniqueFd fd(::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return system_error(errno, "listing the cache folder");
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(fd.get()));
  if (dir == nullptr) return system_error(errno, "listing the cache folder");
  fd.release();
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") visit(name);
  }
  if (errno != 0) return system_error(errno, "listing the cache folder");
  return {};
}

Result<void> Directory::sync() const {
  assert_may_block("fsync");
  if (::fsync(fd_.get()) == 0) return {};
  return system_error(errno, "fsync of a cache directory");
}

Result<void> Directory::replace_file(const std::string& name, std::string_view text) const {
  const std::string temporary = name + ".new";
  auto fd = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (!fd) return fd.error();
  if (auto written = write_fully(fd->get(), as_bytes(text), 0); !written) return written;
  assert_may_block("fsync");
  if (::fsync(fd->get()) != 0) return system_error(errno, "fsync of " + name);
  if (auto renamed = rename(temporary, name); !renamed) return renamed;
  return sync();
}

Result<std::string> Directory::read_small_file(const std::string& name) const {
  auto fd = open_file(name, O_RDONLY);
  if (!fd) return fd.error();
  std::string text(kSmallFile, '\0');
  const ssize_t got = ::pread(fd->get(), text.data(), text.size(), 0);
  if (got < 0) return system_error(errno, name);
  text.resize(static_cast<std::size_t>(got));
  return text;
}

Result<DiskSpace> Directory::space() const {
  struct statvfs info {};
  if (::fstatvfs(fd_.get(), &info) != 0) return system_error(errno, "space of the cache disk");
  return DiskSpace{info.f_blocks * info.f_frsize, info.f_bavail * info.f_frsize};
}

bool Directory::removed() const {
  struct stat info {};
  return ::fstat(fd_.get(), &info) == 0 && info.st_nlink == 0;
}

Result<void> read_fully(int fd, std::span<std::byte> out, std::uint64_t offset) {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "reading a cache file");
    if (got == 0) return {ErrorCode::kCorrupt, "a cache file ends early"};
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

Result<void> write_fully(int fd, std::span<const std::byte> bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return system_error(errno, "writing a cache file");
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

}  // namespace hubvfs::cache
