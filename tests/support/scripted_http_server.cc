// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scripted_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/text.h"

namespace hubvfs {
namespace {

using Then = ScriptedAnswer::Then;

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

ScriptedRequest parse_request(std::string_view head) {
  ScriptedRequest request;
  bool first = true;
  for (std::string_view line : split(head, '\n')) {
    line = trim(line);
    if (first) {
      const auto words = split(line, ' ');
      if (words.size() >= 2) {
        request.method = words[0];
        request.target = words[1];
      }
      first = false;
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
      request.headers[to_lower(line.substr(0, colon))] = trim(line.substr(colon + 1));
    }
  }
  return request;
}

std::string head_of(const ScriptedAnswer& answer) {
  std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " Scripted\r\n";
  bool has_length = answer.chunked || !answer.with_length;
  for (const auto& [name, value] : answer.headers) {
    head += name + ": " + value + "\r\n";
    if (to_lower(name) == "content-length") has_length = true;
  }
  if (answer.chunked) head += "Transfer-Encoding: chunked\r\n";
  if (!has_length) head += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
  return head + "\r\n";
}

bool send_body(int fd, const ScriptedAnswer& answer) {
  const std::string_view body =
      std::string_view(answer.body).substr(0, std::min(answer.body.size(), answer.body_limit));
  if (!answer.chunked) return send_all(fd, body);
  constexpr std::size_t kChunk = 4096;
  for (std::size_t at = 0; at < body.size(); at += kChunk) {
    const std::string_view part = body.substr(at, kChunk);
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", part.size());
    if (!send_all(fd, std::string(size) + std::string(part) + "\r\n")) return false;
  }
  return body.size() < answer.body.size() || send_all(fd, "0\r\n\r\n");
}

void reset(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace

std::string ScriptedRequest::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

ScriptedHttpServer::ScriptedHttpServer(Handler handler, const std::string& address)
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC)),
      handler_(std::move(handler)) {
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  ::inet_pton(AF_INET, address.c_str(), &bound.sin_addr);
  socklen_t size = sizeof bound;
  auto* plain = reinterpret_cast<sockaddr*>(&bound);
  if (::bind(listener_.get(), plain, size) != 0 || ::listen(listener_.get(), 128) != 0 ||
      ::getsockname(listener_.get(), plain, &size) != 0) {
    std::abort();
  }
  origin_ = "http://" + address + ":" + std::to_string(ntohs(bound.sin_port));
  accepter_ = std::thread([this] { accept_all(); });
}

ScriptedHttpServer::~ScriptedHttpServer() {
  const std::uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof one) != sizeof one) std::abort();
  accepter_.join();
  for (std::thread& thread : threads_) thread.join();
}

void ScriptedHttpServer::set_handler(Handler handler) {
  MutexLock lock(mutex_);
  handler_ = std::move(handler);
}

std::vector<ScriptedRequest> ScriptedHttpServer::requests() {
  MutexLock lock(mutex_);
  return log_;
}

std::size_t ScriptedHttpServer::count(const std::string& part_of_target) {
  MutexLock lock(mutex_);
  std::size_t found = 0;
  for (const ScriptedRequest& request : log_) {
    if (request.target.find(part_of_target) != std::string::npos) ++found;
  }
  return found;
}

std::size_t ScriptedHttpServer::connections() {
  MutexLock lock(mutex_);
  return connections_;
}

bool ScriptedHttpServer::await_requests(std::size_t count) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  MutexLock lock(mutex_);
  while (log_.size() < count) {
    if (std::chrono::steady_clock::now() > end) return false;
    arrived_.wait_for(mutex_, std::chrono::milliseconds(100));
  }
  return true;
}

void ScriptedHttpServer::accept_all() {
  for (;;) {
    pollfd fds[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    {
      MutexLock lock(mutex_);
      ++connections_;
    }
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void ScriptedHttpServer::serve(int raw_fd) {
  const UniqueFd fd(raw_fd);
  std::string input;
  for (;;) {
    const std::size_t end = input.find("\r\n\r\n");
    if (end == std::string::npos) {
      pollfd fds[2] = {{fd.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (::poll(fds, 2, -1) < 0) continue;
      if (fds[1].revents != 0) return;
      char buffer[16 << 10];
      const ssize_t got = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (got <= 0) return;
      input.append(buffer, static_cast<std::size_t>(got));
      continue;
    }
    const ScriptedRequest request = parse_request(std::string_view(input).substr(0, end));
    input.erase(0, end + 4);
    Handler handler;
    {
      MutexLock lock(mutex_);
      log_.push_back(request);
      handler = handler_;
      arrived_.notify_all();
    }
    if (!answer(fd.get(), handler(request))) return;
  }
}

// True: the connection goes on.
bool ScriptedHttpServer::answer(int fd, const ScriptedAnswer& answer) {
  if (answer.stall_first) {
    hold_open(fd, false);
    return false;
  }
  if (!answer.raw.empty()) {
    send_all(fd, answer.raw);
    ::shutdown(fd, SHUT_WR);
    hold_open(fd, false);
    return false;
  }
  if (!send_all(fd, head_of(answer)) || !send_body(fd, answer)) return false;
  if (answer.then == Then::kReset) {
    // What was sent must arrive before the RST, which discards what the peer has not read.
    int unsent = 1;
    for (int i = 0; i < 200 && unsent > 0; ++i) {
      tcp_info info{};
      socklen_t size = sizeof info;
      ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
      unsent = static_cast<int>(info.tcpi_unacked);
      ::poll(nullptr, 0, 5);
    }
    reset(fd);
  }
  if (answer.then == Then::kStall || answer.then == Then::kDrip) {
    hold_open(fd, answer.then == Then::kDrip);
  }
  return answer.then == Then::kKeepAlive;
}

void ScriptedHttpServer::hold_open(int fd, bool drip) {
  for (;;) {
    pollfd fds[2] = {{fd, POLLIN | POLLRDHUP, 0}, {stop_.get(), POLLIN, 0}};
    const int ready = ::poll(fds, 2, drip ? 10 : -1);
    if (ready == 0 && !send_all(fd, "x")) return;
    if (ready > 0 && (fds[0].revents != 0 || fds[1].revents != 0)) return;
  }
}

}  // namespace hubvfs
