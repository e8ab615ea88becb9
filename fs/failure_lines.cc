// SPDX-License-Identifier: Apache-2.0
#include "fs/failure_lines.h"

#include <cstring>

#include "base/text.h"
#include "fs/errno_map.h"

namespace hubvfs::fs {
namespace {

// Whose failure it is. The Hub's: another name, or another file, would fail alike.
enum class Scope { kNobodys, kSubjects, kHubs };

Scope scope_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound:
    case ErrorCode::kGated:
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kBadAnswer:
    case ErrorCode::kCorrupt:
      return Scope::kSubjects;
    case ErrorCode::kRateLimited:
    case ErrorCode::kUnavailable:
    case ErrorCode::kOffline:
    case ErrorCode::kTimedOut:
    case ErrorCode::kBusy:
    case ErrorCode::kExists:
    case ErrorCode::kNoSpace:
    case ErrorCode::kIo:
    case ErrorCode::kUnsupported:
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kInternal:
      return Scope::kHubs;
    case ErrorCode::kCancelled:
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNameTooLong:
    case ErrorCode::kNotDirectory:
    case ErrorCode::kIsDirectory:
    case ErrorCode::kReadOnly:
    case ErrorCode::kNoAttribute:
    case ErrorCode::kBufferTooSmall:
    case ErrorCode::kStale:
      return Scope::kNobodys;
  }
  return Scope::kHubs;
}

}  // namespace

void note_failure(FailureLog& log, const char* operation, const std::string& subject,
                  const Error& error) {
  const Scope scope = scope_of(error.code);
  if (scope == Scope::kNobodys) return;
  const std::string kind = std::string(to_string(error.code)) + " " +
                           (scope == Scope::kSubjects ? subject : operation) + " " + error.cause;
  const LogLevel level = error.code == ErrorCode::kNotFound ? LogLevel::kInfo : LogLevel::kWarning;
  log.note(
      level, kind,
      std::string(operation) + ": " + std::strerror(to_errno(error.code)) + ": " + error.context);
}

void note_stale(FailureLog& log, const std::string& subject, const Error& error) {
  log.note(LogLevel::kWarning, std::string("stale ") + to_string(error.code) + " " + error.cause,
           "what is known of " + escape_for_log(subject, 300) + " is shown: " + error.context);
}

}  // namespace hubvfs::fs
