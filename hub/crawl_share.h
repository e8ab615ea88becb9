// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "hub/http_head.h"

namespace hubvfs::hub {

// What crawls may use of the Hub's API quota (hub-protocol E.4): a quarter of the requests of each
// window, and none while no more than a quarter of them is left, so that readers find some whoever
// else uses the same token.
//
// Until the Hub has named its quota, that of callers without a token counts; a Hub that answers and
// names none has none to keep. Engine's thread only.
class CrawlShare {
 public:
  // With another token there is another quota. `changes`: TokenState::changes().
  void use_token(std::uint64_t changes);
  // The head of an answer to a request for metadata, a crawl's or not.
  void note_answer(const HttpHead& head, TimePoint now);

  // True: a request of a crawl may be sent now, and is counted. False: not before resumes().
  bool take(TimePoint now);
  TimePoint resumes() const { return window_end_; }  // the end of this window
  // One is sent all the same, and is counted.
  void charge(TimePoint now);

 private:
  static constexpr std::uint64_t kPart = 4;

  void begin_window_if_over(TimePoint now);

  std::uint64_t token_changes_ = 0;
  std::uint64_t requests_ = 500;  // of all, in a window
  Duration window_ = std::chrono::minutes(5);
  bool named_ = false;      // the two above are the Hub's
  bool unlimited_ = false;  // it answered, and named none
  TimePoint window_end_;
  std::uint64_t used_ = 0;             // of this window, by crawls
  std::optional<std::uint64_t> left_;  // of this window, as far as was told
};

}  // namespace hubvfs::hub
