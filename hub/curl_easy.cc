// SPDX-License-Identifier: Apache-2.0
#include "hub/curl_easy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/text.h"

namespace hubvfs::hub {
namespace {

constexpr long kBufferSize = 512L << 10;  // the most libcurl 7.88 takes

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& sink = *static_cast<TransferSink*>(user);
  const std::string_view line(data, size * count);
  if (sink.head_done) return line.size();  // trailers
  try {
    if (!sink.head.add_line(line)) {
      sink.bad_head = true;
      return 0;
    }
    if (!trim(line).empty() || sink.head.status < 200) return line.size();
    sink.head_done = true;
    if (sink.observer->on_head(sink.head)) return line.size();
  } catch (...) {  // ours do not throw; memory may run out
  }
  sink.refused = true;
  return 0;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& sink = *static_cast<TransferSink*>(user);
  const std::size_t bytes = size * count;
  try {
    if (sink.observer->on_body({reinterpret_cast<const std::byte*>(data), bytes})) return bytes;
  } catch (...) {
  }
  sink.refused = true;
  return 0;
}

// Once a peer was refused, no other address of the same name is tried.
bool may_send_to(TransferSink& sink, const char* peer) {
  try {
    if (!sink.refused && sink.observer->may_send_to(peer)) return true;
  } catch (...) {
  }
  sink.refused = true;
  return false;
}

// Before the first byte of a connection, so that not even a port inside can be knocked on.
curl_socket_t on_open_socket(void* user, curlsocktype, curl_sockaddr* peer) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (peer->family == AF_INET) bytes = &reinterpret_cast<sockaddr_in&>(peer->addr).sin_addr;
  if (peer->family == AF_INET6) bytes = &reinterpret_cast<sockaddr_in6&>(peer->addr).sin6_addr;
  if (bytes == nullptr || ::inet_ntop(peer->family, bytes, text.data(), text.size()) == nullptr ||
      !may_send_to(*static_cast<TransferSink*>(user), text.data())) {
    return CURL_SOCKET_BAD;
  }
  return ::socket(peer->family, peer->socktype | SOCK_CLOEXEC, peer->protocol);
}

// Before a request goes out on a connection, which may be an old one.
int on_prereq(void* user, char* peer, char*, int, int) {
  auto& sink = *static_cast<TransferSink*>(user);
  sink.sent = true;
  return may_send_to(sink, peer) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

// Collects whether every option was taken.
class Options {
 public:
  explicit Options(CURL* handle) : handle_(handle) {}
  template <typename Value>
  void set(CURLoption option, Value value) {
    ok_ = curl_easy_setopt(handle_, option, value) == CURLE_OK && ok_;
  }
  bool ok() const { return ok_; }

 private:
  CURL* handle_;
  bool ok_ = true;
};

void set_protocol(Options& options, const TransferSpec& spec) {
  options.set(CURLOPT_PROTOCOLS_STR, spec.secure ? "https" : "http");
  options.set(CURLOPT_REDIR_PROTOCOLS_STR, "https");
  options.set(CURLOPT_FOLLOWLOCATION, 0L);
  options.set(CURLOPT_HTTP_VERSION, spec.secure ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
  options.set(CURLOPT_HTTP09_ALLOWED, 0L);
  options.set(CURLOPT_HTTPGET, 1L);
  options.set(CURLOPT_PATH_AS_IS, 1L);
  options.set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  options.set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  // Always set: libcurl would read the environment otherwise, http_proxy included.
  options.set(CURLOPT_PROXY, spec.proxy.c_str());
  options.set(CURLOPT_NOPROXY, "");
  options.set(CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));
  options.set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

void set_tls(Options& options, const std::string& ca_file, const std::string& ca_path) {
  options.set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  options.set(CURLOPT_SSL_VERIFYPEER, 1L);
  options.set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!ca_file.empty()) options.set(CURLOPT_CAINFO, ca_file.c_str());
  if (!ca_path.empty()) options.set(CURLOPT_CAPATH, ca_path.c_str());
}

// Whether a new connection of this transfer came past `mark`.
bool is_past(CURL* handle, CURLINFO mark) {
  curl_off_t microseconds = 0;
  return curl_easy_getinfo(handle, mark, &microseconds) == CURLE_OK && microseconds > 0;
}

Hop hop_of(CURL* handle, const TransferSpec& spec, CURLcode code) {
  const bool proxied = !spec.proxy.empty();
  const Hop first = proxied ? Hop::kProxy : Hop::kConnect;
  long tunnel = 0;  // status of the proxy's answer to CONNECT
  curl_easy_getinfo(handle, CURLINFO_HTTP_CONNECTCODE, &tunnel);
  if (proxied && tunnel != 0 && tunnel / 100 != 2) return Hop::kProxy;
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return Hop::kName;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
      return Hop::kProxy;
    case CURLE_COULDNT_CONNECT:
      return first;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return Hop::kTls;
    case CURLE_OPERATION_TIMEDOUT:  // ours end at most the making of a connection
      if (!is_past(handle, CURLINFO_NAMELOOKUP_TIME_T)) return proxied ? Hop::kProxy : Hop::kName;
      return is_past(handle, CURLINFO_CONNECT_TIME_T) ? Hop::kTls : first;
    default:
      break;
  }
  long made = 0;  // connections: none where an old one served
  curl_easy_getinfo(handle, CURLINFO_NUM_CONNECTS, &made);
  return proxied && tunnel == 0 && made > 0 ? Hop::kProxy : Hop::kAnswer;
}

}  // namespace

bool RequestHeaders::build(const TransferSpec& spec) {
  list_.reset();
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(list_.get(), line.c_str());
    if (longer == nullptr) return false;
    (void)list_.release();
    list_.reset(longer);
    return true;
  };
  // Asked for outright: a gzip answer makes some content hosts ignore Range (hub-protocol D.3).
  if (!add("Accept-Encoding: identity")) return false;
  return spec.bearer.empty() || add("Authorization: Bearer " + spec.bearer);
}

bool prepare_easy(CURL* handle, const TransferSpec& spec, const std::string& user_agent,
                  const std::string& ca_file, const std::string& ca_path, TransferSink& sink) {
  Options options(handle);
  set_protocol(options, spec);
  set_tls(options, ca_file, ca_path);
  options.set(CURLOPT_URL, spec.url.c_str());
  options.set(CURLOPT_USERAGENT, user_agent.c_str());
  options.set(CURLOPT_HTTPHEADER, sink.headers.list());
  if (!spec.range.empty()) options.set(CURLOPT_RANGE, spec.range.c_str());
  options.set(CURLOPT_NOSIGNAL, 1L);
  options.set(CURLOPT_TCP_NODELAY, 1L);
  options.set(CURLOPT_TCP_KEEPALIVE, 1L);
  options.set(CURLOPT_BUFFERSIZE, kBufferSize);
  const auto connect = std::chrono::ceil<std::chrono::milliseconds>(spec.connect_timeout).count();
  options.set(CURLOPT_CONNECTTIMEOUT_MS,
              static_cast<long>(std::max<decltype(connect)>(connect, 1)));
  options.set(CURLOPT_ERRORBUFFER, sink.error.data());
  options.set(CURLOPT_HEADERFUNCTION, &on_header);
  options.set(CURLOPT_HEADERDATA, &sink);
  options.set(CURLOPT_WRITEFUNCTION, &on_body);
  options.set(CURLOPT_WRITEDATA, &sink);
  options.set(CURLOPT_OPENSOCKETFUNCTION, &on_open_socket);
  options.set(CURLOPT_OPENSOCKETDATA, &sink);
  options.set(CURLOPT_PREREQFUNCTION, &on_prereq);
  options.set(CURLOPT_PREREQDATA, &sink);
  return options.ok();
}

TransferEnd end_of(const TransferSink& sink, const TransferSpec& spec, CURL* handle,
                   CURLcode code) {
  TransferEnd end;
  end.refused = sink.refused;
  end.complete = code == CURLE_OK && sink.head_done;
  if (end.complete || end.refused) return end;
  end.bad_answer = sink.bad_head || code == CURLE_OK || code == CURLE_UNSUPPORTED_PROTOCOL ||
                   code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_OUT_OF_MEMORY ||
                   code == CURLE_URL_MALFORMAT;
  end.untrusted = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
  end.hop = hop_of(handle, spec, code);
  // libcurl's own words may quote a header of the server's.
  end.failure = sink.bad_head           ? "too many or contradicting headers"
                : sink.error[0] != '\0' ? escape_for_log(sink.error.data(), 200)
                                        : std::string(curl_easy_strerror(code));
  return end;
}

}  // namespace hubvfs::hub
