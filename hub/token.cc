// SPDX-License-Identifier: Apache-2.0
#include "hub/token.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/unique_fd.h"

namespace hubvfs::hub {
namespace {

constexpr std::size_t kMaxToken = 512;
constexpr std::size_t kMaxFile = 4096;

// 1, ON, YES, TRUE in any case, as huggingface_hub reads a switch.
bool is_on(const std::string& value) {
  const std::string lower = to_lower(value);
  return lower == "1" || lower == "on" || lower == "yes" || lower == "true";
}

// "$NAME" and "${NAME}"; what is not set stays as it is.
std::string expand_variables(const std::string& path, const TokenSource::GetEnv& getenv) {
  const auto in_name = [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  };
  std::string expanded;
  for (std::size_t at = 0; at < path.size();) {
    const bool braced = path.compare(at, 2, "${") == 0;
    const std::size_t start = at + (braced ? 2 : 1);
    std::size_t end = start;
    while (end < path.size() && in_name(path[end])) ++end;
    const bool closed = !braced || (end < path.size() && path[end] == '}');
    const std::string value = path[at] == '$' && end > start && closed
                                  ? getenv(path.substr(start, end - start).c_str())
                                  : std::string();
    if (value.empty()) {
      expanded += path[at++];
      continue;
    }
    expanded += value;
    at = end + (braced ? 1 : 0);
  }
  return expanded;
}

// "~" and "~/x" as the shell reads them, then the variables.
std::string expand(const std::string& path, const TokenSource::GetEnv& getenv) {
  const std::string home = getenv("HOME");
  const bool in_home = !home.empty() && (path == "~" || path.starts_with("~/"));
  return expand_variables(in_home ? home + path.substr(1) : path, getenv);
}

std::string default_file(const TokenSource::GetEnv& getenv) {
  if (const std::string path = getenv("HF_TOKEN_PATH"); !path.empty()) return expand(path, getenv);
  if (const std::string hf_home = getenv("HF_HOME"); !hf_home.empty()) {
    return expand(hf_home, getenv) + "/token";
  }
  if (const std::string cache = getenv("XDG_CACHE_HOME"); !cache.empty()) {
    return expand(cache, getenv) + "/huggingface/token";
  }
  const std::string home = getenv("HOME");
  return home.empty() ? "" : home + "/.cache/huggingface/token";
}

std::string read_start(int fd) {
  std::string text(kMaxFile, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(fd, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

}  // namespace

bool is_token(std::string_view text) {
  if (text.size() < 8 || text.size() > kMaxToken) return false;
  for (char c : text) {
    if (c < 0x21 || c > 0x7e) return false;
  }
  return true;
}

TokenSource::TokenSource(const GetEnv& getenv) {
  if (is_on(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) return;
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    fixed_ = trim(getenv(name));
    if (fixed_.empty()) continue;
    origin_ = name;
    return;
  }
  file_ = default_file(getenv);
  origin_ = file_;
}

std::string TokenSource::token() const {
  std::string token = text();
  return is_token(token) ? token : std::string();
}

Result<void> TokenSource::check() const {
  const std::string found = text();
  if (found.empty() || is_token(found)) return {};
  return {
      ErrorCode::kInvalidArgument,
      escape_for_log(origin_, 200) +
          " holds no token (8 to 512 printable characters without blanks), so none is sent: set it "
          "to one (hf auth login)"};
}

std::string TokenSource::text() const {
  if (!fixed_.empty() || file_.empty()) return fixed_;
  // O_NONBLOCK: a fifo in its place must not hold us up.
  const UniqueFd fd(::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  return std::string(trim(read_start(fd.get())));
}

}  // namespace hubvfs::hub
