// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hubvfs::hub {

// Where this user's token comes from (hub-protocol F): HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, else
// the file HF_TOKEN_PATH, else $HF_HOME/token (HF_HOME: ${XDG_CACHE_HOME:-~/.cache}/huggingface).
// None at all where HF_HUB_DISABLE_IMPLICIT_TOKEN is set. "~", "$NAME" and "${NAME}" in paths mean
// what they mean to huggingface_hub. Blanks, CR and LF are stripped; a value that is not 8 to 512
// printable ASCII bytes counts as none.
//
// Thread-safe: it holds nothing but names. The file is read each time, as huggingface_hub does, so
// that a login or logout counts from the next request on. That is a small local read: never on a
// thread that answers the kernel.
class TokenSource {
 public:
  using GetEnv = std::function<std::string(const char*)>;  // "" for unset
  explicit TokenSource(const GetEnv& getenv);
  std::string token() const;
  // kInvalidArgument: what is there cannot be a token. It says so, and what to do.
  Result<void> check() const;
  // "HF_TOKEN", or the path of the file: for messages. "" when there is no source at all.
  const std::string& origin() const { return origin_; }

 private:
  std::string text() const;

  std::string fixed_;
  std::string file_;
  std::string origin_;
};

// 8 to 512 printable ASCII bytes without blanks: what may stand in a header.
bool is_token(std::string_view text);

}  // namespace hubvfs::hub
