// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"

namespace hubvfs {

struct ScriptedRequest {
  std::string method;
  std::string target;  // raw: path and query as sent
  std::map<std::string, std::string> headers;  // names in lower case
  std::string path() const { return target.substr(0, target.find('?')); }
  std::string header(const std::string& name) const;  // "" when absent
};

// What to send, well-formed or not.
struct ScriptedAnswer {
  enum class Then {
    kKeepAlive,
    kClose,  // an orderly end of the connection
    kReset,  // RST
    kStall,  // nothing more, until the client or the server ends
    kDrip,   // a byte each 10 ms, until the client or the server ends
  };
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool with_length = true;  // Content-Length of the whole `body`, unless in `headers`
  bool chunked = false;
  std::size_t body_limit = SIZE_MAX;  // bytes of `body` sent before `then`
  Then then = Then::kKeepAlive;
  bool stall_first = false;  // not even a status line
  std::string raw;           // if not empty, sent as it is instead of all that, then closed

  ScriptedAnswer& header(const std::string& name, const std::string& value) {
    headers.emplace_back(name, value);
    return *this;
  }
};

// An HTTP/1.1 server on 127.0.0.1 that does what a test tells it to, also what no server should.
// One thread for each connection; the handler may be called by several at a time.
class ScriptedHttpServer {
 public:
  using Handler = std::function<ScriptedAnswer(const ScriptedRequest&)>;
  // `address`: another loopback address, to be another host.
  explicit ScriptedHttpServer(Handler handler, const std::string& address = "127.0.0.1");
  ~ScriptedHttpServer();  // ends every connection

  const std::string& origin() const { return origin_; }  // "http://127.0.0.1:PORT"
  void set_handler(Handler handler) EXCLUDES(mutex_);
  std::vector<ScriptedRequest> requests() EXCLUDES(mutex_);  // in order of arrival
  std::size_t count(const std::string& part_of_target) EXCLUDES(mutex_);
  std::size_t connections() EXCLUDES(mutex_);  // accepted so far
  // Waits until at least `count` requests have come (10 s at most: then false).
  bool await_requests(std::size_t count) EXCLUDES(mutex_);

 private:
  void accept_all();
  void serve(int fd);
  bool answer(int fd, const ScriptedAnswer& answer);
  void hold_open(int fd, bool drip);

  std::string origin_;
  UniqueFd listener_;
  UniqueFd stop_;  // an eventfd, readable when the server ends

  Mutex mutex_;  // lock rank: leaf
  CondVar arrived_;
  Handler handler_ GUARDED_BY(mutex_);
  std::vector<ScriptedRequest> log_ GUARDED_BY(mutex_);
  std::size_t connections_ GUARDED_BY(mutex_) = 0;
  std::thread accepter_;
  std::list<std::thread> threads_;  // of the accepting thread; read after it has ended
};

}  // namespace hubvfs
