// SPDX-License-Identifier: Apache-2.0
#include "tests/hub_server/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/text.h"

namespace hubvfs {

std::string HttpReply::header(std::string_view name) const {
  std::string value;
  for (const auto& [key, text] : headers) {
    if (key == name) value += (value.empty() ? "" : ", ") + text;
  }
  return value;
}

bool HttpReply::has(std::string_view name) const {
  for (const auto& header : headers) {
    if (header.first == name) return true;
  }
  return false;
}

HttpConnection::HttpConnection(const std::string& url) {
  const std::size_t host = url.find("//") + 2;
  const std::size_t colon = url.find(':', url[host] == '[' ? url.find(']') : host);
  const auto port = static_cast<std::uint16_t>(std::atoi(url.c_str() + colon + 1));
  const bool v6 = url[host] == '[';
  fd_ = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{20, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_in v4_address{};
  v4_address.sin_family = AF_INET;
  v4_address.sin_port = htons(port);
  v4_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6_address{};
  v6_address.sin6_family = AF_INET6;
  v6_address.sin6_port = htons(port);
  v6_address.sin6_addr = in6addr_loopback;
  const auto* address = v6 ? reinterpret_cast<const sockaddr*>(&v6_address)
                           : reinterpret_cast<const sockaddr*>(&v4_address);
  const socklen_t size = v6 ? sizeof v6_address : sizeof v4_address;
  if (::connect(fd_, address, size) != 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

HttpConnection::~HttpConnection() {
  if (fd_ >= 0) ::close(fd_);
}

void HttpConnection::send(std::string_view bytes) {
  while (!bytes.empty() && fd_ >= 0) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool HttpConnection::fill() {
  char chunk[1 << 16];
  const ssize_t got = fd_ < 0 ? 0 : ::recv(fd_, chunk, sizeof chunk, 0);
  if (got <= 0) return false;
  buffer_.append(chunk, static_cast<std::size_t>(got));
  return true;
}

HttpReply HttpConnection::reply(bool head) {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return {};
  }
  HttpReply reply;
  const std::string text = buffer_.substr(0, end);
  buffer_.erase(0, end + 4);
  bool first = true;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (first) {
      reply.status =
          std::atoi(std::string(line.substr(std::min<std::size_t>(9, line.size()))).c_str());
      first = false;
      continue;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return {};
    reply.headers.emplace_back(to_lower(line.substr(0, colon)),
                               std::string(trim(line.substr(colon + 1))));
  }
  if (head || reply.status == 304) return reply;
  const auto length = parse_decimal(reply.header("content-length")).value_or(0);
  while (buffer_.size() < length) {
    if (!fill()) return {};
  }
  reply.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return reply;
}

bool HttpConnection::at_end() { return buffer_.empty() && !fill() && errno != EAGAIN; }

HttpReply ask(const std::string& url, const std::string& method, const std::string& target,
              const HttpHeaders& headers, const std::string& body) {
  HttpConnection connection(url);
  std::string request = method + " " + target +
                        " HTTP/1.1\r\nHost: " + url.substr(url.find("//") + 2) +
                        "\r\nConnection: close\r\n";
  for (const auto& [name, value] : headers) request += name + ": " + value + "\r\n";
  if (!body.empty()) request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  connection.send(request + "\r\n" + body);
  return connection.reply(method == "HEAD");
}

std::string target_of(const std::string& url) {
  const std::size_t slash = url.find('/', url.find("//") + 2);
  return slash == std::string::npos ? "/" : url.substr(slash);
}

}  // namespace hubvfs
