// SPDX-License-Identifier: Apache-2.0
#include "hub/server/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/json.h"
#include "base/text.h"

namespace hubvfs::hub::server {
namespace {

std::string harmless_query(const std::string& query) {
  constexpr std::array<std::string_view, 17> kHarmless = {
      "recursive",     "expand",      "expand[]", "limit",
      "cursor",        "author",      "search",   "sort",
      "direction",     "filter",      "full",     "blobs",
      "config",        "include_prs", "download", "noContentDisposition",
      "securityStatus"};
  std::string kept;
  for (const auto& [name, value] : parse_parameters(query)) {
    if (std::find(kHarmless.begin(), kHarmless.end(), name) == kHarmless.end()) continue;
    if (!kept.empty()) kept += '&';
    kept.append(name).append("=").append(value);
  }
  return kept;
}

}  // namespace

Result<AccessLog> AccessLog::open(const std::string& path) {
  AccessLog log;
  if (path.empty()) return log;
  log.file_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                         S_IRUSR | S_IWUSR));
  if (!log.file_) return system_error(errno, "access log " + escape_for_log(path));
  return log;
}

void AccessLog::write(const HttpRequest& request, const HttpAnswer& answer,
                      const char* origin) const {
  if (!file_) return;
  JsonWriter json;
  json.begin_object();
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  json.key("at").number(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count()));
  json.key("method").string(request.method).key("path").string(request.path);
  const bool hub = std::strcmp(origin, "hub") == 0;
  const std::string query = hub ? harmless_query(request.query) : "";
  if (!query.empty()) json.key("query").string(query);
  json.key("status").number(std::uint64_t{answer.status});
  json.key("bytes").number(request.method == "HEAD" ? 0 : answer.length());
  if (request.has_header("range")) json.key("range").string(request.header("range"));
  json.key("origin").string(origin).end_object();
  const std::string line = json.text() + "\n";
  // A full disk costs lines, never an answer.
  [[maybe_unused]] const ssize_t written = ::write(file_.get(), line.data(), line.size());
}

}  // namespace hubvfs::hub::server
