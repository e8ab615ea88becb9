// SPDX-License-Identifier: Apache-2.0
#include "hub/server/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/digest.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "hub/server/repo_walk.h"

namespace hubvfs::hub::server {
namespace {

constexpr std::size_t kMaxTokenFile = 16u << 20;
constexpr Duration kLookInterval = std::chrono::milliseconds(500);
// A file's times are coarse: one that was written to this recently may change and look the same.
constexpr UnixSeconds kRecentSeconds = 2;

}  // namespace

Result<TokenUsers> TokenUsers::parse(std::string_view text) {
  TokenUsers tokens;
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    line = trim(line);
    if (line.empty() || line[0] == '#') continue;
    const std::size_t blank = line.find_first_of(" \t");
    const std::string_view token = line.substr(0, blank);
    const std::string_view user = blank == std::string_view::npos ? "" : trim(line.substr(blank));
    const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
    if (user.empty() || token.size() < 8 || token.size() > 512 || user.size() > 96 ||
        !std::all_of(token.begin(), token.end(), printable) ||
        !std::all_of(user.begin(), user.end(), printable)) {
      return {ErrorCode::kInvalidArgument, "line " + std::to_string(number) +
                                               " is not \"TOKEN USER\" (a token has 8 to 512 "
                                               "printable characters, a user name no blanks)"};
    }
    if (!tokens.users_.emplace(sha256_hex(as_bytes(token)), user).second) {
      return {ErrorCode::kInvalidArgument,
              "line " + std::to_string(number) + " repeats the token of an earlier line"};
    }
  }
  return tokens;
}

std::string TokenUsers::user_of(std::string_view token) const {
  const auto found = users_.find(sha256_hex(as_bytes(token)));
  return found == users_.end() ? "" : found->second;
}

Result<std::unique_ptr<TokenFile>> TokenFile::open(const std::string& path, Logger& log,
                                                   const Clock& clock) {
  std::unique_ptr<TokenFile> file(new TokenFile(path, log, clock));
  auto version = file->read();
  if (!version) return {ErrorCode::kInvalidArgument, version.error().context};
  const MutexLock lock(file->mutex_);
  file->version_ = std::move(*version);
  return file;
}

Result<TokenFile::Version> TokenFile::read() const {
  if (path_.empty()) return Version{{}, std::make_shared<const TokenUsers>()};
  const std::string what = "token file " + escape_for_log(path_);
  const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return system_error(errno, what);
  const auto text = read_small(fd.get(), kMaxTokenFile);
  if (!text) return text.error().within(what);
  auto users = TokenUsers::parse(*text);
  if (!users) return users.error().within(what);
  Version version{{}, std::make_shared<const TokenUsers>(std::move(*users))};
  const UnixSeconds age = clock_.unix_now() - status.st_ctim.tv_sec;
  if (age > kRecentSeconds || age < -kRecentSeconds) version.identity = identity_of(status);
  return version;
}

bool TokenFile::has_changed() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) return true;
  if (!S_ISREG(status.st_mode)) return false;  // a pipe has told all it will
  const MutexLock lock(mutex_);
  return version_.identity != identity_of(status);
}

void TokenFile::look() {
  if (!has_changed()) return;
  auto version = read();
  std::string taken;
  std::string refused;
  {
    const MutexLock lock(mutex_);
    if (version) {
      if (!complaint_.empty() || *version->users != *version_.users) {
        taken = "the token file was read again, tokens: " + std::to_string(version->users->size());
      }
      complaint_.clear();
      version_ = std::move(*version);
    } else if (complaint_ != version.error().context) {
      complaint_ = version.error().context;
      refused = complaint_ + "; the tokens read before go on to count";
    }
  }
  if (!taken.empty()) log_.info("serve: " + taken);
  if (!refused.empty()) log_.error("serve: " + refused);
}

std::string TokenFile::user_of(std::string_view token) {
  if (path_.empty()) return "";
  bool look_now = false;
  {
    const MutexLock lock(mutex_);
    look_now = clock_.now() >= look_after_;
    if (look_now) look_after_ = clock_.now() + kLookInterval;
  }
  if (look_now) look();
  std::shared_ptr<const TokenUsers> users;
  {
    const MutexLock lock(mutex_);
    users = version_.users;
  }
  return users->user_of(token);
}

}  // namespace hubvfs::hub::server
