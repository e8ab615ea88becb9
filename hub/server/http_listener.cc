// SPDX-License-Identifier: Apache-2.0
#include "hub/server/http_listener.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>

#include "base/text.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::size_t kMaxBody = 8u << 20;
constexpr std::size_t kMaxHead = 128u << 10;
constexpr unsigned kThreads = 8;
constexpr unsigned kIdleSeconds = 60;

// What is kept of one request while it arrives.
struct Arriving {
  HttpRequest request;
  bool begun = false;
  bool too_large = false;
};

// Signals are the daemon's business: threads started meanwhile never get one.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

unsigned connection_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 256;
  return static_cast<unsigned>(std::clamp<rlim_t>(files.rlim_cur / 4, 64, 8192));
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> parse_address(const std::string& text, std::uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  } else {
    return {ErrorCode::kInvalidArgument,
            "listen address " + escape_for_log(text) + ": not an IPv4 or IPv6 address"};
  }
  return address;
}

Result<UniqueFd> bind_socket(const std::string& text, std::uint16_t port) {
  const auto address = parse_address(text, port);
  if (!address) return address.error();
  UniqueFd fd(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return system_error(errno, "socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const std::string what = url_host(text) + ":" + std::to_string(port);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->size) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0) {
    const int error = errno;
    if (error == EADDRINUSE) return {ErrorCode::kBusy, what + ": the port is in use"};
    return system_error(error, what);
  }
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  return ntohs(storage.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

struct ResponseDeleter {
  void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};
using Response = std::unique_ptr<MHD_Response, ResponseDeleter>;

Response make_response(HttpAnswer& answer) {
  Response response;
  if (answer.file && !answer.range.empty()) {
    response.reset(MHD_create_response_from_fd_at_offset64(answer.range.size(), answer.file.get(),
                                                           answer.range.begin));
    if (response) answer.file.release();  // closed with the response
  } else {
    response.reset(MHD_create_response_from_buffer(answer.text.size(), answer.text.data(),
                                                   MHD_RESPMEM_MUST_COPY));
  }
  if (!response) return response;
  for (const auto& [name, value] : answer.headers) {
    // Fails for CR, LF or an empty value only: such a header is better left out.
    MHD_add_response_header(response.get(), name.c_str(), value.c_str());
  }
  return response;
}

MHD_Result add_header(void* cls, MHD_ValueKind, const char* name, const char* value) noexcept {
  try {
    static_cast<HttpRequest*>(cls)->headers.emplace_back(to_lower(name == nullptr ? "" : name),
                                                         value == nullptr ? "" : value);
    return MHD_YES;
  } catch (...) {
    return MHD_NO;
  }
}

class MicrohttpdListener final : public HttpListener {
 public:
  MicrohttpdListener(Handler handler, Logger& log) : handler_(std::move(handler)), log_(log) {}
  ~MicrohttpdListener() override {
    if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
  }
  std::uint16_t port() const override { return port_; }

  Result<void> serve(UniqueFd socket) {
    port_ = port_of(socket.get());
    const SignalsBlocked blocked;
    // libmicrohttpd owns the socket from here on, even when it fails.
    daemon_ = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG | MHD_USE_ITC, 0, nullptr, nullptr,
        &on_request, this, MHD_OPTION_EXTERNAL_LOGGER, &on_log, this, MHD_OPTION_LISTEN_SOCKET,
        socket.release(), MHD_OPTION_URI_LOG_CALLBACK, &on_uri, this, MHD_OPTION_UNESCAPE_CALLBACK,
        &leave_escaped, nullptr, MHD_OPTION_NOTIFY_COMPLETED, &on_completed, nullptr,
        MHD_OPTION_THREAD_POOL_SIZE, kThreads, MHD_OPTION_CONNECTION_MEMORY_LIMIT, kMaxHead,
        MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_CONNECTION_LIMIT,
        connection_limit(), MHD_OPTION_END);
    if (daemon_ == nullptr) return {ErrorCode::kIo, "libmicrohttpd did not start"};
    return {};
  }

 private:
  // The target as sent; made before anything is parsed, freed by on_completed.
  static void* on_uri(void*, const char* uri, MHD_Connection*) noexcept {
    try {
      auto arriving = std::make_unique<Arriving>();
      const std::string_view target(uri);
      const std::size_t mark = target.find('?');
      arriving->request.path = target.substr(0, mark);
      if (mark != std::string_view::npos) arriving->request.query = target.substr(mark + 1);
      return arriving.release();
    } catch (...) {
      return nullptr;
    }
  }

  static std::size_t leave_escaped(void*, MHD_Connection*, char* text) noexcept {
    return std::string_view(text).size();
  }

  static void on_completed(void*, MHD_Connection*, void** request,
                           MHD_RequestTerminationCode) noexcept {
    delete static_cast<Arriving*>(*request);
    *request = nullptr;
  }

  static void on_log(void* cls, const char* format, va_list arguments) noexcept {
    char line[512];
    std::vsnprintf(line, sizeof line, format, arguments);
    try {
      static_cast<MicrohttpdListener*>(cls)->log_.debug("http: " + escape_for_log(trim(line)));
    } catch (...) {
    }
  }

  // Called once when the headers are in, once for each piece of a body, once at the end.
  static MHD_Result on_request(void* cls, MHD_Connection* connection, const char*,
                               const char* method, const char*, const char* data,
                               std::size_t* data_size, void** state) noexcept {
    auto* arriving = static_cast<Arriving*>(*state);
    if (arriving == nullptr) return MHD_NO;
    try {
      auto* self = static_cast<MicrohttpdListener*>(cls);
      if (!arriving->begun) return self->begin(connection, method, *arriving);
      if (*data_size > 0) return self->take_body(data, data_size, *arriving);
      return self->reply(connection, *arriving);
    } catch (...) {
      return MHD_NO;  // no memory: the connection is closed
    }
  }

  MHD_Result begin(MHD_Connection* connection, const char* method, Arriving& arriving) {
    arriving.begun = true;
    arriving.request.method = method;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, &add_header, &arriving.request);
    const auto length = parse_decimal(arriving.request.header("content-length"));
    if (!length || *length <= kMaxBody) return MHD_YES;
    HttpAnswer answer;
    answer.status = 413;
    answer.text = "Request body too large";
    answer.add("Connection", "close");
    return queue(connection, answer);
  }

  MHD_Result take_body(const char* data, std::size_t* size, Arriving& arriving) {
    if (arriving.request.body.size() + *size > kMaxBody)
      return MHD_NO;  // chunked, without a length
    arriving.request.body.append(data, *size);
    *size = 0;
    return MHD_YES;
  }

  MHD_Result reply(MHD_Connection* connection, Arriving& arriving) {
    HttpAnswer answer;
    try {
      answer = handler_(arriving.request);
    } catch (const std::exception& e) {
      log_.error("http: " + escape_for_log(arriving.request.path) + ": " + e.what());
      answer = HttpAnswer();
      answer.status = 500;
      answer.text = "Internal server error";
    }
    return queue(connection, answer);
  }

  static MHD_Result queue(MHD_Connection* connection, HttpAnswer& answer) {
    const Response response = make_response(answer);
    if (!response) return MHD_NO;
    return MHD_queue_response(connection, answer.status, response.get());
  }

  const Handler handler_;
  Logger& log_;
  MHD_Daemon* daemon_ = nullptr;
  std::uint16_t port_ = 0;
};

}  // namespace

Result<std::unique_ptr<HttpListener>> HttpListener::start(const std::string& address,
                                                          std::uint16_t port, Handler handler,
                                                          Logger& log) {
  auto socket = bind_socket(address, port);
  if (!socket) return socket.error();
  auto listener = std::make_unique<MicrohttpdListener>(std::move(handler), log);
  if (auto served = listener->serve(std::move(*socket)); !served) return served.error();
  return std::unique_ptr<HttpListener>(std::move(listener));
}

std::string url_host(const std::string& address) {
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

}  // namespace hubvfs::hub::server
