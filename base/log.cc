// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fcntl.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/text.h"
#include "base/unique_fd.h"

namespace hubvfs {
namespace {

constexpr std::size_t kFileLimit = 10u << 20;
constexpr std::size_t kLineLimit = 4096;

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

class SpdlogLogger final : public Logger {
 public:
  SpdlogLogger(const spdlog::sink_ptr& sink, LogLevel least) : logger_("hubvfs", sink) {
    logger_.set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
    logger_.set_level(to_spdlog(least));
    logger_.flush_on(spdlog::level::info);
    logger_.set_error_handler([](const std::string&) {});  // a full log disk is nobody's error
  }
  void write(LogLevel level, std::string_view line) override {
    const std::string safe = escape_for_log(line, kLineLimit);
    logger_.log(to_spdlog(level), spdlog::string_view_t(safe.data(), safe.size()));
  }

 private:
  spdlog::logger logger_;
};

}  // namespace

std::unique_ptr<Logger> make_stderr_logger(LogLevel least) {
  return std::make_unique<SpdlogLogger>(std::make_shared<spdlog::sinks::stderr_sink_mt>(), least);
}

Result<std::unique_ptr<Logger>> make_file_logger(const std::string& path, LogLevel least) {
  // Made here first, so that it is never readable by others, not even for a moment.
  const UniqueFd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                             S_IRUSR | S_IWUSR));
  if (!made) return system_error(errno, "log file " + escape_for_log(path));
  try {
    auto sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, kFileLimit, 1);
    return std::unique_ptr<Logger>(std::make_unique<SpdlogLogger>(sink, least));
  } catch (const std::exception& e) {
    return {ErrorCode::kIo, "log file " + escape_for_log(path) + ": " + e.what()};
  }
}

}  // namespace hubvfs
