// SPDX-License-Identifier: Apache-2.0
#include "hub/server/repo_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::size_t kMaxFiles = 1'000'000;
constexpr std::size_t kMaxDepth = 128;
constexpr std::size_t kMaxSettings = 1u << 20;
constexpr std::size_t kMaxMountTable = 16u << 20;
constexpr char kOidAttribute[] = "user.hubvfs.oid";
constexpr std::uint64_t kStay = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, DirCloser>;

Dir open_dir(UniqueFd fd) {
  Dir dir(::fdopendir(fd.get()));
  if (dir) fd.release();
  return dir;
}

}  // namespace

std::string folder_of_revision(const std::string& repo_folder, const std::string& name) {
  return name.empty() ? repo_folder : repo_folder + "/" + kRevisionsFolder + "/" + name;
}

FileIdentity identity_of(const struct stat& status) {
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
          nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

Result<std::string> read_small(int fd, std::size_t limit) {
  std::string text;
  char buffer[1 << 14];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "read");
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > limit) return {ErrorCode::kInvalidArgument, "file too large"};
  }
}

Result<ContentId> parse_content_attribute(std::string_view text, std::uint64_t size) {
  if (text.starts_with("sha256:")) {
    return ContentId::create(ContentId::Algorithm::kSha256, text.substr(7), size);
  }
  if (text.starts_with("git-sha1:")) {
    return ContentId::create(ContentId::Algorithm::kGitSha1, text.substr(9), size);
  }
  return {ErrorCode::kInvalidArgument, "not a content id"};
}

Result<ServedRoot> ServedRoot::open(const std::string& path) {
  ServedRoot root;
  root.root_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.root_) {
    if (errno == ENOTDIR) return {ErrorCode::kNotDirectory, escape_for_log(path)};
    return system_error(errno, "folder " + escape_for_log(path));
  }
  if (auto self = root.open_beneath(".", O_PATH | O_DIRECTORY, kStay); !self) {
    return {ErrorCode::kUnsupported, "openat2: " + self.error().context};
  }
  return root;
}

Result<UniqueFd> ServedRoot::open_beneath(const std::string& path, std::uint64_t flags,
                                          std::uint64_t resolve) const {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve;
  long fd = -1;
  for (int attempt = 0; attempt < 100 && fd < 0; ++attempt) {
    fd = ::syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof how);
    if (fd < 0 && errno != EINTR && errno != EAGAIN) break;  // EAGAIN: a rename raced with it
  }
  if (fd < 0) return system_error(errno, escape_for_log(path));
  return UniqueFd(static_cast<int>(fd));
}

bool ServedRoot::is_directory(const std::string& folder) const {
  return open_beneath(folder, O_PATH | O_DIRECTORY, kStay | RESOLVE_NO_SYMLINKS).has_value();
}

Result<std::vector<std::string>> ServedRoot::directories(const std::string& folder) const {
  auto fd = open_beneath(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY,
                         kStay | RESOLVE_NO_SYMLINKS);
  if (!fd) return fd.error();
  const Dir dir = open_dir(std::move(*fd));
  if (!dir) return system_error(errno, escape_for_log(folder));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    struct stat status {};
    if (name == "." || name == "..") continue;
    if (entry->d_type == DT_DIR ||
        (entry->d_type == DT_UNKNOWN &&
         ::fstatat(::dirfd(dir.get()), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(status.st_mode))) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<RepoSettings> ServedRoot::read_settings(const std::string& folder) const {
  const auto wrong = [](const std::string& why) {
    return Error{ErrorCode::kInvalidArgument, std::string(kRepoSettingsFile) + ": " + why};
  };
  const std::string path = folder + "/" + kRepoSettingsFile;
  const auto found = open_beneath(path, O_PATH | O_NOFOLLOW, kStay | RESOLVE_NO_SYMLINKS);
  if (!found && found.error().code == ErrorCode::kNotFound) return RepoSettings();
  if (!found) return wrong(found.error().context);
  struct stat status {};
  if (::fstat(found->get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return wrong("not a regular file");
  }
  const auto fd = open_beneath(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                               kStay | RESOLVE_NO_SYMLINKS);
  if (!fd) return wrong(fd.error().context);
  const auto text = read_small(fd->get(), kMaxSettings);
  if (!text) return wrong(text.error().context);
  return parse_repo_settings(*text);
}

// One walk under way.
struct ServedRoot::Walker {
  const ServedRoot& root;
  const std::string& folder;
  const std::size_t most_files;
  WalkedFolder& found;

  static bool is_content(const std::string& path, const std::string& name) {
    return name != ".git" && !path.starts_with(kReservedPrefix) && path != ".cache/huggingface";
  }

  Result<void> directory(UniqueFd fd, const std::string& prefix, std::size_t depth) {
    const Dir dir = open_dir(std::move(fd));
    if (!dir) return system_error(errno, escape_for_log(folder + "/" + prefix));
    errno = 0;
    while (const dirent* entry = ::readdir(dir.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (auto taken = one(::dirfd(dir.get()), prefix + name, name, depth); !taken) return taken;
      errno = 0;
    }
    if (errno != 0) return system_error(errno, escape_for_log(folder + "/" + prefix));
    return {};
  }

  Result<void> one(int dir, const std::string& path, const std::string& name, std::size_t depth) {
    if (!is_content(path, name)) return {};
    struct stat status {};
    if (::fstatat(dir, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return {};  // gone again
    const bool nameable = is_repo_path(path) && is_utf8(path);
    if (nameable && S_ISDIR(status.st_mode) && depth < kMaxDepth) {
      UniqueFd below(::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!below) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return {};  // gone again
        return system_error(errno, escape_for_log(folder + "/" + path));
      }
      return directory(std::move(below), path + "/", depth + 1);
    }
    if (nameable && S_ISLNK(status.st_mode) && follow(path, status)) return add(path, status);
    if (nameable && S_ISREG(status.st_mode)) return add(path, status);
    ++found.left_out;
    return {};
  }

  // Whether the symlink leads to a regular file beneath the root; `status` is then the file's.
  bool follow(const std::string& path, struct stat& status) const {
    const auto target = root.open_beneath(folder + "/" + path, O_PATH, kStay);
    return target && ::fstat(target->get(), &status) == 0 && S_ISREG(status.st_mode);
  }

  Result<void> add(const std::string& path, const struct stat& status) {
    if (found.files.size() >= most_files) {
      return {ErrorCode::kInvalidArgument,
              "more than " + std::to_string(kMaxFiles) + " files in all its revisions"};
    }
    found.files.push_back({path, identity_of(status)});
    return {};
  }
};

// None when there is no kRevisionsFolder.
Result<std::vector<std::string>> ServedRoot::revision_folders(const std::string& folder) const {
  auto names = directories(folder + "/" + kRevisionsFolder);
  if (!names && names.error().code == ErrorCode::kNotFound) return std::vector<std::string>();
  if (!names) return names.error();
  std::erase_if(*names, [](const std::string& name) { return name.front() == '.'; });
  return names;
}

Result<WalkedFolder> ServedRoot::walk_folder(const std::string& folder,
                                             std::size_t most_files) const {
  auto fd = open_beneath(folder, O_RDONLY | O_DIRECTORY, kStay | RESOLVE_NO_SYMLINKS);
  if (!fd) return fd.error();
  WalkedFolder found;
  Walker walker{*this, folder, most_files, found};
  if (auto walked = walker.directory(std::move(*fd), "", 1); !walked) return walked.error();
  std::sort(found.files.begin(), found.files.end());
  return found;
}

// The settings first: a folder is put there before the settings name it.
Result<RepoWalk> ServedRoot::walk(const std::string& folder) const {
  if (auto there = open_beneath(folder, O_PATH | O_DIRECTORY, kStay | RESOLVE_NO_SYMLINKS);
      !there) {
    return there.error();
  }
  RepoWalk found;
  auto settings = read_settings(folder);
  if (!settings) return settings.error();
  found.settings = std::move(*settings);
  auto names = revision_folders(folder);
  if (!names) return names.error();
  names->insert(names->begin(), "");
  std::size_t room = kMaxFiles;
  for (const std::string& name : *names) {
    auto walked = walk_folder(folder_of_revision(folder, name), room);
    if (!walked && !name.empty() && walked.error().code == ErrorCode::kNotFound) continue;
    if (!walked) return walked.error();
    walked->name = name;
    room -= walked->files.size();
    found.folders.push_back(std::move(*walked));
  }
  return found;
}

Result<UniqueFd> ServedRoot::open_file(const std::string& path,
                                       const FileIdentity& identity) const {
  auto fd = open_beneath(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, kStay);
  struct stat status {};
  if (!fd && fd.error().code != ErrorCode::kNotFound) return fd;
  if (!fd || ::fstat(fd->get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      identity_of(status) != identity) {
    return {ErrorCode::kStale, escape_for_log(path) + " has changed"};
  }
  return fd;
}

std::set<std::uint64_t> hubvfs_devices() {
  std::set<std::uint64_t> devices;
  const UniqueFd table(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!table) return devices;
  const auto text = read_small(table.get(), kMaxMountTable);
  if (!text) return devices;
  for (std::string_view line : split(*text, '\n')) {
    const auto fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 6 || dash == fields.end() || dash + 1 == fields.end()) continue;
    const auto number = split(fields[2], ':');
    if (*(dash + 1) != "fuse.hubvfs" || number.size() != 2) continue;
    const auto major_number = parse_decimal(number[0]);
    const auto minor_number = parse_decimal(number[1]);
    if (!major_number || !minor_number) continue;
    devices.insert(
        makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number)));
  }
  return devices;
}

Result<ContentId> mounted_content_id(int fd, std::uint64_t size) {
  char text[128];
  const ssize_t length = ::fgetxattr(fd, kOidAttribute, text, sizeof text);
  if (length <= 0) return {ErrorCode::kNoAttribute, kOidAttribute};
  return parse_content_attribute({text, static_cast<std::size_t>(length)}, size);
}

}  // namespace hubvfs::hub::server
