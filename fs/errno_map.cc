// SPDX-License-Identifier: Apache-2.0
#include "fs/errno_map.h"

#include <cerrno>

namespace hubvfs::fs {

int to_errno(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound:
      return ENOENT;
    case ErrorCode::kGated:
    case ErrorCode::kPermissionDenied:
      return EACCES;
    case ErrorCode::kRateLimited:
    case ErrorCode::kUnavailable:
    case ErrorCode::kOffline:
    case ErrorCode::kTimedOut:
    case ErrorCode::kCancelled:
    case ErrorCode::kBadAnswer:
    case ErrorCode::kCorrupt:
    case ErrorCode::kIo:
    case ErrorCode::kNoSpace:  // of the cache disk: not what a reader may run out of
    case ErrorCode::kBusy:
    case ErrorCode::kExists:
    case ErrorCode::kInternal:
      return EIO;
    case ErrorCode::kInvalidArgument:
      return EINVAL;
    case ErrorCode::kNameTooLong:
      return ENAMETOOLONG;
    case ErrorCode::kNotDirectory:
      return ENOTDIR;
    case ErrorCode::kIsDirectory:
      return EISDIR;
    case ErrorCode::kReadOnly:
      return EROFS;
    case ErrorCode::kNoAttribute:
      return ENODATA;
    case ErrorCode::kBufferTooSmall:
      return ERANGE;
    case ErrorCode::kStale:
      return ESTALE;
    case ErrorCode::kUnsupported:
      return EOPNOTSUPP;
    case ErrorCode::kOutOfMemory:
      return ENOMEM;
  }
  return EIO;
}

}  // namespace hubvfs::fs
