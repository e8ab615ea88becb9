// SPDX-License-Identifier: Apache-2.0
#include "daemon/blob_folder.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "daemon/privileges.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kLongestName = 200;

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

Result<UniqueFd> open_beneath(int folder, const std::string& name, std::uint64_t flags,
                              std::uint64_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;
  const WorkersRights rights;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how)));
  if (!fd) return system_error(errno, "opening " + name);
  return fd;
}

}  // namespace

bool is_blob_name(std::string_view name) {
  const std::size_t first = name.find('/');
  if (first == std::string_view::npos || name.size() > kLongestName) return false;
  const std::size_t second = name.find('/', first + 1);
  return second == first + 3 && is_word(name.substr(0, first)) &&
         is_word(name.substr(first + 1, 2)) && is_word(name.substr(second + 1));
}

Result<int> BlobFolder::folder() {
  if (folder_) return folder_.get();
  const WorkersRights rights;
  folder_.reset(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder_) return system_error(errno, "opening the cache's folder of blobs");
  return folder_.get();
}

Result<UniqueFd> BlobFolder::open(const std::string& name) {
  if (!is_blob_name(name)) {
    return {ErrorCode::kInvalidArgument, "no name of a blob: " + escape_for_log(name, 200)};
  }
  const auto beneath = folder();
  if (!beneath) return beneath.error();
  // Nothing that is opened here may make us wait: a pipe, or who has a lease of the file.
  auto fd = open_beneath(*beneath, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  if (!fd) return fd.error();
  struct stat st {};
  if (::fstat(fd->get(), &st) != 0) return system_error(errno, name);
  if (!S_ISREG(st.st_mode)) return {ErrorCode::kPermissionDenied, name + " is no regular file"};
  return fd;
}

Result<UniqueFd> BlobFolder::open_unnamed() {
  const auto beneath = folder();
  if (!beneath) return beneath.error();
  return open_beneath(*beneath, ".", O_TMPFILE | O_RDWR, 0600);
}

}  // namespace hubvfs::daemon
