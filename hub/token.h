// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace hubvfs::hub {

// Where this user's token comes from (hub-protocol F): HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, else the file HF_TOKEN_PATH, else
// $HF_HOME/token (HF_HOME: ${XDG_CACHE_HOME:-~/.cache}/huggingface). Blanks, CR and LF are
// stripped; a value that is not 8 to 512 printable ASCII bytes counts as none.
//
// Thread-safe; the file is read again when its inode, mtime, ctime or size changes. Reading it
// is a small local read: never on a thread that answers the kernel. Lock rank: leaf.
class TokenSource {
 public:
  using GetEnv = std::function<std::string(const char*)>;  // "" for unset
  explicit TokenSource(const GetEnv& getenv);
  std::string token() EXCLUDES(mutex_);
  // "HF_TOKEN", or the path of the file: for messages. "" when there is no source at all.
  const std::string& origin() const;

 private:
  // What tells one state of the file from another; all zero: there is none.
  struct Stamp {
    unsigned long long inode = 0;
    long long size = 0;
    long long mtime = 0;  // nanoseconds
    long long ctime = 0;
    bool operator==(const Stamp&) const = default;
  };

  std::string fixed_;
  std::string file_;
  std::string origin_;
  Mutex mutex_;
  Stamp stamp_ GUARDED_BY(mutex_);
  std::string cached_ GUARDED_BY(mutex_);
};

// 8 to 512 printable ASCII bytes without blanks: what may stand in a header.
bool is_token(std::string_view text);

}  // namespace hubvfs::hub
