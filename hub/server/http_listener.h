// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "hub/server/http_message.h"

namespace hubvfs::hub::server {

// An HTTP/1.1 server on one port (libmicrohttpd: epoll, a few threads, keep-alive, sendfile).
//
// What it bounds before the handler sees anything: request line and headers together (128 KiB), a
// body (8 MiB, else 413), idle time (60 s), connections (a quarter of the descriptors allowed).
// The path reaches the handler as sent, nothing decoded. Thread-safe.
class HttpListener {
 public:
  // Runs on the listener's threads, several at once. Exceptions become a 500.
  using Handler = std::function<HttpAnswer(const HttpRequest&)>;

  // Binds and serves. `address` is numeric, IPv4 or IPv6. kInvalidArgument: it is not. kBusy: the
  // port is taken. kIo.
  static Result<std::unique_ptr<HttpListener>> start(const std::string& address, std::uint16_t port,
                                                     Handler handler, Logger& log);
  virtual ~HttpListener() = default;  // closes open connections and waits for running handlers

  virtual std::uint16_t port() const = 0;
};

// "127.0.0.1" or "[::1]", for URLs.
std::string url_host(const std::string& address);

}  // namespace hubvfs::hub::server
