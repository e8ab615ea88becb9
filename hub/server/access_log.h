// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "hub/server/http_message.h"

namespace hubvfs::hub::server {

// One JSON line a request, written before the answer goes out, so that whoever has the answer finds
// the line:
//   {"at","method","path","query"?,"status","bytes","range"?,"origin":"hub"|"content"}
// `at`: microseconds since 1970; `path` as sent; `bytes` of body the answer announces, 0 to HEAD.
// `query` holds, on the hub origin, the parameters that say what was asked; signatures and tokens
// are never written.
// Thread-safe.
class AccessLog {
 public:
  AccessLog() = default;  // writes nothing
  static Result<AccessLog> open(const std::string& path);

  void write(const HttpRequest& request, const HttpAnswer& answer, const char* origin) const;

 private:
  UniqueFd file_;  // O_APPEND: one write a line
};

}  // namespace hubvfs::hub::server
