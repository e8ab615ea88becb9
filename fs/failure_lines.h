// SPDX-License-Identifier: Apache-2.0
// What the log says of requests that failed (design, section 9), and which of them are the same
// failure.
#pragma once

#include <string>

#include "base/failure_log.h"
#include "base/result.h"

namespace hubvfs::fs {

// A program was told that `operation` failed ("open"), on something of `subject`: a repo at a
// revision, or a name that may be one. Says what the program sees, why, and what to do next. Errors
// that tell of no trouble (a directory is no file, no such attribute) are no lines. What the Hub
// says does not exist is told at level info: programs probe for names.
void note_failure(FailureLog& log, const char* operation, const std::string& subject,
                  const Error& error);

// The Hub was asked about `subject` in vain, and what is known of it is shown instead.
void note_stale(FailureLog& log, const std::string& subject, const Error& error);

}  // namespace hubvfs::fs
