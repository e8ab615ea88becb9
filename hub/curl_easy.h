// SPDX-License-Identifier: Apache-2.0
// How one easy handle is set up and what its callbacks do; of hub/curl_engine.cc only.
#pragma once

#include <curl/curl.h>

#include <array>
#include <memory>
#include <string>

#include "hub/curl_engine.h"

namespace hubvfs::hub {

// The request headers of one transfer.
class RequestHeaders {
 public:
  bool build(const TransferSpec& spec);  // false: out of memory
  curl_slist* list() const { return list_.get(); }

 private:
  struct Free {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  std::unique_ptr<curl_slist, Free> list_;
};

// What the callbacks of one transfer share.
struct TransferSink {
  TransferObserver* observer = nullptr;
  RequestHeaders headers;
  HttpHead head;
  bool sent = false;  // the request, or about to be
  bool head_done = false;
  bool refused = false;   // by the observer
  bool bad_head = false;  // HttpHead::add_line said no
  std::array<char, CURL_ERROR_SIZE> error{};
};

// Sets every option; false when libcurl refuses one (nothing is left to its defaults by chance).
bool prepare_easy(CURL* handle, const TransferSpec& spec, const std::string& user_agent,
                  const std::string& ca_file, const std::string& ca_path, TransferSink& sink);

TransferEnd end_of(const TransferSink& sink, const TransferSpec& spec, CURL* handle, CURLcode code);

}  // namespace hubvfs::hub
