// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hubvfs {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Where log lines go. Thread-safe, and never fails its caller: a full log disk loses lines.
//
// Callers put untrusted text through escape_for_log(); a control byte that slipped through is
// escaped here. Tokens and query strings of signed URLs are never logged.
class Logger {
 public:
  virtual ~Logger() = default;
  virtual void write(LogLevel level, std::string_view line) = 0;

  void debug(std::string_view line) { write(LogLevel::kDebug, line); }
  void info(std::string_view line) { write(LogLevel::kInfo, line); }
  void warning(std::string_view line) { write(LogLevel::kWarning, line); }
  void error(std::string_view line) { write(LogLevel::kError, line); }
};

class NullLogger final : public Logger {
 public:
  void write(LogLevel, std::string_view) override {}
};

// Lines to standard error, from `least` up: "2026-11-24T10:00:00.123Z warning LINE".
std::unique_ptr<Logger> make_stderr_logger(LogLevel least);
// Lines to PATH (0600), which is moved to PATH.1 at 10 MiB. Fails where it cannot be opened.
Result<std::unique_ptr<Logger>> make_file_logger(const std::string& path, LogLevel least);

}  // namespace hubvfs
