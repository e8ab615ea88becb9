// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace hubvfs::hub {

// Where this user's token comes from (hub-protocol F): HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, else the file HF_TOKEN_PATH, else
// $HF_HOME/token (HF_HOME: ${XDG_CACHE_HOME:-~/.cache}/huggingface). Blanks, CR and LF are
// stripped; a value that is not 8 to 512 printable ASCII bytes counts as none.
//
// Thread-safe; the file is read again when its mtime or size changes.
class TokenSource {
 public:
  using GetEnv = std::function<std::string(const char*)>;  // "" for unset
  explicit TokenSource(const GetEnv& getenv);
  std::string token();
  // "HF_TOKEN", or the path of the file: for messages. "" when there is no source at all.
  const std::string& origin() const;

 private:
  std::string fixed_;
  std::string file_;
  std::string origin_;
  struct Cached;
};

}  // namespace hubvfs::hub
