// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"

namespace hubvfs::hub {

// The token of one client, and whether the Hub has refused it lately. Engine's thread only.
class TokenState {
 public:
  // `origin` tells people whose token it is: "HF_TOKEN", or a file's path.
  TokenState(std::function<std::string()> source, const std::string& origin, const Clock& clock);

  // Asks the source. "" where there is none, or it must not stand in a header.
  std::string ask();
  // Counts up each time the source gives another token than before.
  std::uint64_t changes() const { return changes_; }
  // "the token from HF_TOKEN" of the last ask(); "" when there was none.
  std::string name() const { return last_.empty() ? "" : name_; }
  const std::string& origin() const { return origin_; }

  // The Hub refused `token` by a 401, and gave the same thing without it. True: news.
  bool note_useless(const std::string& token);
  // That was less than a minute ago: sending it again would only double every request.
  bool is_useless(const std::string& token) const;

 private:
  std::function<std::string()> source_;
  const std::string origin_;
  const std::string name_;
  const Clock& clock_;
  std::string last_;
  std::uint64_t changes_ = 0;
  std::string useless_;
  TimePoint useless_until_;
};

}  // namespace hubvfs::hub
