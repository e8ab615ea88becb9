// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hubvfs {

struct HttpReply {
  int status = 0;                                            // 0: no answer, or not HTTP
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  // "" when absent; several of one name are joined with ", ".
  std::string header(std::string_view name) const;
  bool has(std::string_view name) const;
};

// One connection to a server on this machine: bytes out, bytes in, nothing added or followed. An
// answer that does not come within 20 s ends as status 0.
class HttpConnection {
 public:
  // "http://127.0.0.1:PORT" or "http://[::1]:PORT", a path behind it is ignored.
  explicit HttpConnection(const std::string& url);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void send(std::string_view bytes);
  // Reads one answer; the body is what Content-Length says, none for a HEAD.
  HttpReply reply(bool head = false);
  // Whether the other side has closed.
  bool at_end();

 private:
  bool fill();
  int fd_ = -1;
  std::string buffer_;
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// One request on a connection of its own. `target` goes out as it is.
HttpReply ask(const std::string& url, const std::string& method, const std::string& target,
              const HttpHeaders& headers = {}, const std::string& body = "");

// "http://host:port/path?query" to "/path?query".
std::string target_of(const std::string& url);

}  // namespace hubvfs
