// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace hubvfs {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound: return "NotFound";
    case ErrorCode::kGated: return "Gated";
    case ErrorCode::kPermissionDenied: return "PermissionDenied";
    case ErrorCode::kRateLimited: return "RateLimited";
    case ErrorCode::kUnavailable: return "Unavailable";
    case ErrorCode::kOffline: return "Offline";
    case ErrorCode::kTimedOut: return "TimedOut";
    case ErrorCode::kCancelled: return "Cancelled";
    case ErrorCode::kBadAnswer: return "BadAnswer";
    case ErrorCode::kCorrupt: return "Corrupt";
    case ErrorCode::kInvalidArgument: return "InvalidArgument";
    case ErrorCode::kNameTooLong: return "NameTooLong";
    case ErrorCode::kNotDirectory: return "NotDirectory";
    case ErrorCode::kIsDirectory: return "IsDirectory";
    case ErrorCode::kReadOnly: return "ReadOnly";
    case ErrorCode::kNoAttribute: return "NoAttribute";
    case ErrorCode::kBufferTooSmall: return "BufferTooSmall";
    case ErrorCode::kStale: return "Stale";
    case ErrorCode::kExists: return "Exists";
    case ErrorCode::kBusy: return "Busy";
    case ErrorCode::kNoSpace: return "NoSpace";
    case ErrorCode::kIo: return "Io";
    case ErrorCode::kUnsupported: return "Unsupported";
    case ErrorCode::kOutOfMemory: return "OutOfMemory";
    case ErrorCode::kInternal: return "Internal";
  }
  return "Unknown";
}

namespace {
ErrorCode code_of_errno(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kNoSpace;
    case ENOENT:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
      return ErrorCode::kPermissionDenied;
    case EROFS:
      return ErrorCode::kReadOnly;
    case EEXIST:
      return ErrorCode::kExists;
    case EBUSY:
      return ErrorCode::kBusy;
    case ENOMEM:
      return ErrorCode::kOutOfMemory;
    default:
      return ErrorCode::kIo;
  }
}
}  // namespace

Error system_error(int errno_value, const std::string& context) {
  const char* text = ::strerrordesc_np(errno_value);
  return {code_of_errno(errno_value),
          context + ": " + (text != nullptr ? text : std::to_string(errno_value))};
}

void bug(const std::string& what) {
  std::fprintf(stderr, "hubvfs: bug: %s\n", what.c_str());
#ifndef NDEBUG
  std::abort();
#endif
}

}  // namespace hubvfs
