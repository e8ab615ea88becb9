// SPDX-License-Identifier: Apache-2.0
#include "hub/token_state.h"

#include "base/text.h"
#include "hub/token.h"

namespace hubvfs::hub {

TokenState::TokenState(std::function<std::string()> source, const std::string& origin,
                       const Clock& clock)
    : source_(std::move(source)),
      origin_(origin.empty() ? "its source" : escape_for_log(origin, 200)),
      name_("the token from " + origin_),
      clock_(clock) {}

std::string TokenState::ask() {
  std::string token = source_ ? source_() : std::string();
  if (!is_token(token)) token.clear();
  if (token != last_) {
    ++changes_;
    last_ = token;
  }
  return token;
}

bool TokenState::note_useless(const std::string& token) {
  const bool is_news = token != useless_;
  useless_ = token;
  useless_until_ = clock_.now() + std::chrono::minutes(1);
  return is_news;
}

bool TokenState::is_useless(const std::string& token) const {
  return token == useless_ && clock_.now() < useless_until_;
}

}  // namespace hubvfs::hub
