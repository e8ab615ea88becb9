// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {

// "NAMESPACE/2 HEX/ID": how the cache names data files, and nothing else beneath its folder.
bool is_blob_name(std::string_view name);

// The folder of the cache's data files as the keeper opens them for its worker, by name: with the
// worker's rights, whatever the name says (threats-and-faults, 7.10). A descriptor of the worker's
// own might be of a file that it may not read, or of a file system that never answers. One thread.
class BlobFolder {
 public:
  explicit BlobFolder(std::string cache_path) : path_(std::move(cache_path) + "/blobs") {}

  // To be read. Only regular files beneath the folder, on its own file system, by no symlink.
  // kInvalidArgument: no blob's name; kPermissionDenied, kNotFound and others as they say.
  Result<UniqueFd> open(const std::string& name);
  // A new file without a name, for trying what the file system can. That is a local one, or the
  // worker would not have opened the cache.
  Result<UniqueFd> open_unnamed();
  // The cache's folder may be another by now.
  void forget() { folder_.reset(); }

 private:
  Result<int> folder();

  const std::string path_;
  UniqueFd folder_;
};

}  // namespace hubvfs::daemon
