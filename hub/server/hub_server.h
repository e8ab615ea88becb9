// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"

namespace hubvfs::hub::server {

struct HubServerOptions {
  std::string root;  // folder: ORG/NAME/..., datasets/ORG/NAME/..., spaces/ORG/NAME/...
  std::string listen = "127.0.0.1";  // IPv4 or IPv6 address
  std::uint16_t port = 0;            // 0: any free one
  std::uint16_t content_port = 0;    // of the second origin that signed URLs point at; 0: any
  // As clients see the server, for Link headers and redirects: "" means http://LISTEN:PORT, or,
  // when it listens on all addresses, the host that the client used.
  std::string public_url;
  std::string public_content_url;  // of the second origin; "": public_url's host, content_port
  std::string token_file;          // "" for none; lines "TOKEN USER"; read again when it changes
  std::string state_dir;           // keeps hashes by (device, inode, size, mtime, ctime); "": none
  std::string access_log;          // a file: one JSON line a request; "" for none
  std::uint64_t page_size = 1000;  // entries of a tree page, at most
  std::uint64_t url_lifetime_seconds = 3600;  // of a signed URL
  std::uint64_t settle_seconds = 2;  // a file changed more recently than this is not yet served
};

// Requests answered since the start, by kind (tests compare them; `serve` prints them at its end).
struct HubServerCounts {
  std::uint64_t requests = 0;
  std::uint64_t info = 0;
  std::uint64_t tree = 0;
  std::uint64_t lists = 0;
  std::uint64_t resolve = 0;     // /resolve/ and /api/resolve-cache/
  std::uint64_t content = 0;     // on the second origin
  std::uint64_t body_bytes = 0;  // file content sent, both origins
};

// The Hub's read API over a folder (`hubvfs serve`). Thread-safe; serves from its own threads.
class HubServer {
 public:
  // Binds both ports and answers at once; repos appear as they are hashed. kInvalidArgument: a bad
  // option or folder. kBusy or kIo: a port that cannot be bound.
  static Result<std::unique_ptr<HubServer>> start(const HubServerOptions& options, Logger& log,
                                                  const Clock& clock);
  virtual ~HubServer() = default;  // stops: open connections are closed

  virtual std::string url() const = 0;          // "http://127.0.0.1:PORT"
  virtual std::string content_url() const = 0;  // of the second origin
  virtual HubServerCounts counts() const = 0;
  // Repos found, and of these fully hashed.
  struct Progress {
    std::uint64_t repos_found = 0;
    std::uint64_t repos_ready = 0;
    std::uint64_t bytes_to_hash = 0;
    std::uint64_t bytes_hashed = 0;
  };
  virtual Progress progress() const = 0;
};

}  // namespace hubvfs::hub::server
