// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "hub/server/hash_cache.h"

namespace hubvfs::hub::server {

// The users that may call with a token: a file of lines "TOKEN USER"; blank lines and lines that
// start with '#' are skipped. Only hashes of the tokens are kept.
class TokenUsers {
 public:
  TokenUsers() = default;
  // kInvalidArgument names the line that is wrong, never what it holds.
  static Result<TokenUsers> parse(std::string_view text);
  // "" when nobody has this token.
  std::string user_of(std::string_view token) const;
  std::size_t size() const { return users_.size(); }
  bool operator==(const TokenUsers&) const = default;

 private:
  std::map<std::string, std::string, std::less<>> users_;  // by SHA-256 of the token
};

// The token file, read again when it changes: a token that is added or taken out counts within a
// second. A version that is wrong or gone changes nothing and is logged once. What is no regular
// file (a pipe) is read once. Thread-safe. Lock rank: a leaf; not held across disk.
class TokenFile {
 public:
  // `path` "" is a file without tokens. kInvalidArgument: it cannot be read, or a line is wrong.
  static Result<std::unique_ptr<TokenFile>> open(const std::string& path, Logger& log,
                                                 const Clock& clock);

  // "" when nobody has this token.
  std::string user_of(std::string_view token) EXCLUDES(mutex_);

 private:
  struct Version {
    std::optional<FileIdentity> identity;  // none: it may be written to unseen, so read it again
    std::shared_ptr<const TokenUsers> users;
  };

  TokenFile(std::string path, Logger& log, const Clock& clock)
      : path_(std::move(path)), log_(log), clock_(clock) {}
  // The file as it is now.
  Result<Version> read() const;
  bool has_changed() const EXCLUDES(mutex_);
  void look() EXCLUDES(mutex_);

  const std::string path_;
  Logger& log_;
  const Clock& clock_;

  mutable Mutex mutex_;
  Version version_ GUARDED_BY(mutex_);
  TimePoint look_after_ GUARDED_BY(mutex_);
  std::string complaint_ GUARDED_BY(mutex_);  // of the version that is there and not taken
};

}  // namespace hubvfs::hub::server
