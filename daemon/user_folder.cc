// SPDX-License-Identifier: Apache-2.0
#include "daemon/user_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>

#include "base/blocking.h"
#include "base/text.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kDeepest = 128;

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

std::string shown(const std::string& path) {
  return path.empty() || path == "." ? "the folder" : escape_for_log(path, 1024);
}

UserFolder::Kind kind_of(int folder, const dirent& entry) {
  struct stat info {};
  if (::fstatat(folder, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return UserFolder::Kind::kOther;
  }
  if (S_ISREG(info.st_mode)) return UserFolder::Kind::kFile;
  if (S_ISDIR(info.st_mode)) return UserFolder::Kind::kFolder;
  return S_ISLNK(info.st_mode) ? UserFolder::Kind::kLink : UserFolder::Kind::kOther;
}

}  // namespace

Result<UserFolder> UserFolder::of(int fd) {
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0 || !S_ISDIR(info.st_mode)) {
    return {ErrorCode::kInvalidArgument, "the command names no folder"};
  }
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return system_error(errno, "the command's folder");
  return UserFolder(std::move(copy));
}

Result<UniqueFd> UserFolder::open_beneath(const std::string& path, int flags, Links links,
                                          mode_t mode) const {
  open_how how{};
  how.flags = static_cast<decltype(how.flags)>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  if (links == Links::kRefused) how.resolve |= RESOLVE_NO_SYMLINKS;
  constexpr int kMostTries = 100;  // EAGAIN: a rename on the way
  long fd = -1;
  for (int i = 0; i < kMostTries && fd < 0; ++i) {
    fd = ::syscall(SYS_openat2, fd_.get(), path.c_str(), &how, sizeof how);
    if (fd < 0 && errno != EAGAIN && errno != EINTR) break;
  }
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  if (errno == EXDEV) {
    return {ErrorCode::kPermissionDenied,
            shown(path) + ": it leads out of the folder, or is a link by an absolute path"};
  }
  if (errno == ELOOP) {
    return {ErrorCode::kPermissionDenied, shown(path) + ": a link where none is followed"};
  }
  return system_error(errno, shown(path));
}

Result<UniqueFd> UserFolder::open_file(const std::string& path, Links links) const {
  auto fd = open_beneath(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, links);
  if (!fd) return fd;
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return system_error(errno, shown(path));
  if (!S_ISREG(info.st_mode)) {
    return {ErrorCode::kPermissionDenied, shown(path) + ": not a regular file"};
  }
  return fd;
}

Result<std::string> UserFolder::read_text(const std::string& path, std::size_t most,
                                          Links links) const {
  auto fd = open_file(path, links);
  if (!fd) return fd.error();
  constexpr std::size_t kPiece = 64u << 10;
  std::string text;
  auto read = read_all(fd->get(), kPiece, [&](ByteView bytes) -> Result<void> {
    text += as_text(bytes);
    if (text.size() <= most) return {};
    return {ErrorCode::kNoSpace, "larger than " + human_bytes(most)};
  });
  if (!read) return read.error().within(shown(path));
  return text;
}

Result<std::string> UserFolder::link_target(const std::string& path) const {
  auto fd = open_beneath(path, O_PATH | O_NOFOLLOW, Links::kInside);
  if (!fd) return fd.error();
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(fd->get(), "", target.data(), target.size());
  if (size < 0) return {ErrorCode::kInvalidArgument, shown(path) + ": no link"};
  return std::string(target.data(), static_cast<std::size_t>(size));
}

Result<std::vector<UserFolder::Entry>> UserFolder::list(const std::string& path) const {
  auto fd = open_beneath(path.empty() ? "." : path, O_RDONLY | O_DIRECTORY, Links::kRefused);
  if (!fd) return fd.error();
  const int number = fd->get();
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(number));
  if (dir == nullptr) return system_error(errno, shown(path));
  fd->release();
  std::vector<Entry> entries;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    entries.push_back({std::string(name), kind_of(number, *entry)});
    if (entries.size() > kMostFiles) {
      return {ErrorCode::kNoSpace, shown(path) + ": more than a million entries"};
    }
    errno = 0;
  }
  if (errno != 0) return system_error(errno, shown(path));
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  return entries;
}

Result<std::vector<std::string>> UserFolder::files_below(const std::string& path) const {
  const std::string prefix = path.empty() ? "" : path + "/";
  std::vector<std::string> files;
  std::vector<std::string> folders = {""};  // to be looked at, from `path`: "" or "a/b/"
  while (!folders.empty()) {
    const std::string at = std::move(folders.back());
    folders.pop_back();
    if (std::count(at.begin(), at.end(), '/') > static_cast<std::ptrdiff_t>(kDeepest)) {
      return {ErrorCode::kNoSpace, shown(prefix + at) + ": folders too deep"};
    }
    const std::string whole = prefix + at;
    auto entries = list(whole.empty() ? "" : whole.substr(0, whole.size() - 1));
    if (!entries) return entries.error();
    for (const Entry& entry : *entries) {
      if (entry.kind == Kind::kFolder) folders.push_back(at + entry.name + "/");
      if (entry.kind == Kind::kFile || entry.kind == Kind::kLink) files.push_back(at + entry.name);
    }
    if (files.size() > kMostFiles) {
      return {ErrorCode::kNoSpace, shown(path) + ": more than a million files"};
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

Result<void> UserFolder::make_parents(const std::string& path, mode_t mode) const {
  for (std::size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (open_beneath(folder, O_PATH | O_DIRECTORY, Links::kRefused)) continue;
    const std::size_t last = folder.rfind('/');
    const std::string above = last == std::string::npos ? "." : folder.substr(0, last);
    auto parent = open_beneath(above, O_RDONLY | O_DIRECTORY, Links::kRefused);
    if (!parent) return parent.error();
    const std::string name = folder.substr(last == std::string::npos ? 0 : last + 1);
    // The worker's umask is its own: the mode that the user wants is set afterwards.
    if (::mkdirat(parent->get(), name.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
      return system_error(errno, shown(folder));
    }
    auto made = open_beneath(folder, O_RDONLY | O_DIRECTORY, Links::kRefused);
    if (!made) return made.error();
    if (::fchmod(made->get(), mode) != 0) return system_error(errno, shown(folder));
  }
  return {};
}

Result<UniqueFd> UserFolder::create_file(const std::string& path, mode_t mode) const {
  if (auto removed = remove_file(path); !removed) return removed.error();
  auto fd = open_beneath(path, O_WRONLY | O_CREAT | O_EXCL, Links::kRefused, S_IRUSR | S_IWUSR);
  if (!fd) return fd;
  if (::fchmod(fd->get(), mode) != 0) return system_error(errno, shown(path));
  return fd;
}

// Renames and removals go by descriptors of the folders, so that none of these is a link either.
Result<void> UserFolder::rename(const std::string& from, const std::string& to) const {
  const auto parent_of = [this](const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return open_beneath(slash == std::string::npos ? "." : path.substr(0, slash),
                        O_RDONLY | O_DIRECTORY, Links::kRefused);
  };
  auto source = parent_of(from);
  if (!source) return source.error();
  auto target = parent_of(to);
  if (!target) return target.error();
  const std::string from_name = from.substr(from.rfind('/') + 1);
  const std::string to_name = to.substr(to.rfind('/') + 1);
  if (::renameat(source->get(), from_name.c_str(), target->get(), to_name.c_str()) == 0) return {};
  return system_error(errno, shown(to));
}

Result<void> UserFolder::remove_file(const std::string& path) const {
  const std::size_t slash = path.rfind('/');
  auto parent = open_beneath(slash == std::string::npos ? "." : path.substr(0, slash),
                             O_RDONLY | O_DIRECTORY, Links::kRefused);
  if (!parent) return parent.error();
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  if (::unlinkat(parent->get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return system_error(errno, shown(path));
}

Result<void> UserFolder::replace_file(const std::string& path, const std::string& partial,
                                      std::string_view text, mode_t mode) const {
  {
    auto fd = create_file(partial, mode);
    if (!fd) return fd.error();
    while (!text.empty()) {
      const ssize_t put = ::write(fd->get(), text.data(), text.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return system_error(errno, shown(path));
      text.remove_prefix(static_cast<std::size_t>(put));
    }
  }
  return rename(partial, path);
}

Result<void> UserFolder::sync() const {
  assert_may_block("the sync of an export");
  UniqueFd fd(::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && ::syncfs(fd.get()) == 0) return {};
  return system_error(errno, "syncing the folder");
}

Result<void> read_all(int fd, std::size_t piece,
                      const std::function<Result<void>(ByteView)>& take) {
  struct stat info {};
  std::size_t first = piece;  // of a small file no more than it needs, and a byte to see its end
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
    first = static_cast<std::size_t>(
        std::min<std::uint64_t>(piece, static_cast<std::uint64_t>(info.st_size) + 1));
  }
  Bytes buffer(first);
  std::size_t filled = 0;
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data() + filled, buffer.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "reading");
    filled += static_cast<std::size_t>(got);
    if (got != 0 && filled == buffer.size()) buffer.resize(piece);  // more than was said
    // Whole pieces, but for the last: a short read is no end.
    if (got != 0 && filled < buffer.size()) continue;
    if (filled != 0) {
      if (auto taken = take(ByteView(buffer).first(filled)); !taken) return taken;
    }
    if (got == 0) return {};
    filled = 0;
  }
}

Result<std::uint64_t> size_of(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error(errno, "the size of a file");
  return static_cast<std::uint64_t>(info.st_size);
}

}  // namespace hubvfs::daemon
