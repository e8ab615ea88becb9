// SPDX-License-Identifier: Apache-2.0
#include "daemon/mount_passthrough.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "fs/fuse_device.h"
#include "fs/open_table.h"

namespace hubvfs::daemon {
namespace {

// Each is an open file of the kernel's, which counts against no limit of this process.
constexpr std::size_t kMostFiles = 8192;

std::string explain(const Error& error) {
  switch (error.code) {
    case ErrorCode::kPermissionDenied:
      return "it takes root (CAP_SYS_ADMIN)";
    case ErrorCode::kUnsupported:
      return "the cache lies on a file system that is stacked on another, such as overlayfs: "
             "choose another place for it (-o cache.path=...)";
    default:
      return error.context;
  }
}

}  // namespace

MountPassthrough::MountPassthrough(bool wanted, ByteView init_request) {
  if (!wanted) {
    why_not_ = "turned off (passthrough=off)";
  } else if (!fs::offers_passthrough(init_request)) {
    why_not_ = "this kernel does not offer it (Linux 6.9 does)";
  }
  if (!why_not_.empty()) state_ = State::kOff;
}

void MountPassthrough::try_it(int dev_fd, BlobFolder& blobs) {
  if (state_ != State::kUntried) return;
  state_ = State::kOff;
  const auto file = blobs.open_unnamed();
  if (!file) {
    why_not_ = file.error().context;
    return;
  }
  // By leases the cache finds out which files are mapped (cache/file_stamp.h).
  if (::fcntl(file->get(), F_SETLEASE, F_WRLCK) != 0) {
    why_not_ = system_error(errno, "the file system of the cache has no leases").context;
    return;
  }
  ::fcntl(file->get(), F_SETLEASE, F_UNLCK);
  const auto id = fs::register_backing(dev_fd, file->get());
  if (!id) {
    why_not_ = explain(id.error());
    return;
  }
  fs::unregister_backing(dev_fd, *id);
  state_ = State::kOn;
}

Result<std::int32_t> MountPassthrough::open(int dev_fd, BlobFolder& blobs, std::uint64_t node,
                                            const std::string& name) {
  if (state_ != State::kOn) return {ErrorCode::kUnsupported, "passthrough is not in force"};
  const auto fd = blobs.open(name);
  if (!fd) return fd.error();
  struct stat st {};
  if (::fstat(fd->get(), &st) != 0) return system_error(errno, name);
  const FileId file{st.st_dev, st.st_ino};
  const auto of_node = file_of_.find(node);
  if (of_node != file_of_.end() && of_node->second != file) {
    return {ErrorCode::kBusy, name + ": its node is still open as another file"};
  }
  // A worker that was taken over may name nodes that are in no table.
  if (file_of_.size() >= fs::OpenTable::kCapacity && of_node == file_of_.end()) {
    return {ErrorCode::kBusy, "too many nodes are open"};
  }
  auto known = files_.find(file);
  if (known == files_.end()) {
    if (files_.size() >= kMostFiles) return {ErrorCode::kBusy, "too many files are passed through"};
    const auto id = fs::register_backing(dev_fd, fd->get());
    if (!id) return id.error();
    known = files_.emplace(file, File{*id, {}}).first;
  }
  known->second.nodes.insert(node);
  file_of_[node] = file;
  return known->second.id;
}

void MountPassthrough::let_go(int dev_fd, const std::unordered_set<std::uint64_t>& open) {
  std::erase_if(file_of_, [&](const auto& item) {
    if (open.contains(item.first)) return false;
    files_[item.second].nodes.erase(item.first);
    return true;
  });
  std::erase_if(files_, [&](const auto& item) {
    if (!item.second.nodes.empty()) return false;
    fs::unregister_backing(dev_fd, item.second.id);
    return true;
  });
}

}  // namespace hubvfs::daemon
