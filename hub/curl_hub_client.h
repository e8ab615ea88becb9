// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "hub/hub_client.h"

namespace hubvfs::hub {

struct HubClientOptions {
  std::string endpoint = "https://huggingface.co";  // http only for a loopback or listed endpoint
  // Asked before each request that may carry it; "" for none. Called on the client's thread.
  std::function<std::string()> token;
  std::string token_origin;  // whose token it is, for messages: "HF_TOKEN", or a file's path
  std::vector<std::string>
      redirect_hosts;  // if not empty, the only foreign hosts a redirect may go to
  std::string user_agent = "hubvfs/" HUBVFS_VERSION;
  bool offline = false;         // every call ends with kOffline, nothing is sent
  std::string offline_because;  // what said so, for messages: "HF_HUB_OFFLINE"
  int max_connections = 64;     // transfers at a time at most, demand first
};

// HubClient on libcurl: one multi handle, one thread, redirects followed by us.
//
// Of the environment it takes HTTPS_PROXY, ALL_PROXY and NO_PROXY (either case; for https only:
// a proxy would read the token of a plain request), SSL_CERT_FILE and SSL_CERT_DIR. Debian's
// libcurl also obeys SSLKEYLOGFILE, which writes TLS secrets to a file: the daemon unsets it.
// kInvalidArgument: an endpoint that is no http or https URL, or a limit out of range.
Result<std::unique_ptr<HubClient>> make_curl_hub_client(const HubClientOptions& options,
                                                        Logger& log, const Clock& clock);

// "libcurl/7.88.1 OpenSSL/3.0.16 ...".
std::string libcurl_version();

}  // namespace hubvfs::hub
