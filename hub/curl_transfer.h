// SPDX-License-Identifier: Apache-2.0
// What the engine keeps of a transfer; of hub/curl_engine.cc and hub/curl_transfer.cc only.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <vector>

#include "hub/curl_easy.h"
#include "hub/curl_engine.h"

namespace hubvfs::hub {

struct CurlEngine::Multi {
  explicit Multi(int max_transfers);
  ~Multi() { curl_multi_cleanup(handle); }
  CURLM* handle = curl_multi_init();
};

struct CurlEngine::Easy {
  ~Easy() { curl_easy_cleanup(handle); }
  CURL* handle = curl_easy_init();
};

// One request of a transfer, on its way. A hedged transfer has two, until one is answered.
struct CurlEngine::Leg final : public TransferObserver {
  Leg(CurlEngine& of_engine, Transfer& of_transfer, TimePoint now);
  void on_transfer_started() override {}
  void on_hedged() override {}
  bool may_send_to(std::string_view address) override;
  bool on_head(const HttpHead& head) override;
  bool on_body(ByteView bytes) override;
  void on_transfer_end(const TransferEnd&) override {}

  CurlEngine& engine;
  Transfer& transfer;
  std::unique_ptr<Easy> easy;
  TransferSink sink;
  TimePoint asked;      // begun, or sent once it is
  TimePoint last_byte;  // or the head
  TimePoint first_byte;
  std::uint64_t received = 0;
  TimePoint paced;             // its pace was looked at then,
  std::uint64_t paced_at = 0;  // when it had received so much
};

struct CurlEngine::Transfer {
  TransferId id = 0;
  TransferSpec spec;
  bool raised = false;  // it began as something less urgent
  TransferObserver* observer = nullptr;
  std::vector<std::unique_ptr<Leg>> legs;  // none while it waits
  Leg* answered = nullptr;                 // the one that counts
};

}  // namespace hubvfs::hub
