// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {

// Below one folder, and of one commit.
inline constexpr std::size_t kMostFiles = 1'000'000;

// A folder of the user's that a command imports from or exports to, by the descriptor that the
// command opened. Paths are relative to it, "a/b", and nothing outside of it is ever reached:
// whatever links others put there meanwhile, openat2 refuses the way. What is mounted in it, by
// whoever may mount, is part of it. Thread-safe.
class UserFolder {
 public:
  explicit UserFolder(UniqueFd fd) : fd_(std::move(fd)) {}
  // A copy of the descriptor. kInvalidArgument: no folder.
  static Result<UserFolder> of(int fd);

  enum class Links {
    kRefused,
    kInside,  // followed, as long as they lead to something in the folder
  };
  enum class Kind { kFile, kFolder, kLink, kOther };
  struct Entry {
    std::string name;
    Kind kind = Kind::kOther;
  };

  // A regular file. kNotFound: it, or what a link leads to, is not there. kPermissionDenied: a link
  // that is refused, a way that leads out of the folder, no regular file, or closed to this user.
  Result<UniqueFd> open_file(const std::string& path, Links links = Links::kRefused) const;
  // All of one. kNoSpace: more than `most` bytes.
  Result<std::string> read_text(const std::string& path, std::size_t most,
                                Links links = Links::kRefused) const;
  // Where a link leads, as it is written. kInvalidArgument: it is none.
  Result<std::string> link_target(const std::string& path) const;
  // What is in a folder ("": this one), sorted. Links are not followed.
  Result<std::vector<Entry>> list(const std::string& path) const;
  // Every file and link below a folder, as paths from there, sorted. kNoSpace: more than a million,
  // or folders 128 deep.
  Result<std::vector<std::string>> files_below(const std::string& path) const;

  // A new file, write-only, in place of one of that name. Folders on the way are made.
  Result<UniqueFd> create_file(const std::string& path, mode_t mode) const;
  Result<void> make_parents(const std::string& path, mode_t mode) const;
  Result<void> rename(const std::string& from, const std::string& to) const;
  Result<void> remove_file(const std::string& path) const;  // absent is no error
  // A whole file so that it is there in full or not at all. `partial` is its name until then: one
  // that nothing else has.
  Result<void> replace_file(const std::string& path, const std::string& partial,
                            std::string_view text, mode_t mode) const;
  // All that was written is on the disk.
  Result<void> sync() const;

 private:
  Result<UniqueFd> open_beneath(const std::string& path, int flags, Links links,
                                mode_t mode = 0) const;

  UniqueFd fd_;
};

// Reads a file from its start to its end, `piece` bytes at a time. `take` may stop it with an
// error.
Result<void> read_all(int fd, std::size_t piece, const std::function<Result<void>(ByteView)>& take);
// Of a regular file.
Result<std::uint64_t> size_of(int fd);

}  // namespace hubvfs::daemon
