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

// "~" and "~/x" as the shell reads them; nothing else of it.
std::string expand_home(const std::string& path, const std::string& home) {
  if (home.empty() || (path != "~" && !path.starts_with("~/"))) return path;
  return home + path.substr(1);
}

std::string default_file(const TokenSource::GetEnv& getenv) {
  const std::string home = getenv("HOME");
  if (const std::string path = getenv("HF_TOKEN_PATH"); !path.empty()) {
    return expand_home(path, home);
  }
  if (const std::string hf_home = getenv("HF_HOME"); !hf_home.empty()) {
    return expand_home(hf_home, home) + "/token";
  }
  if (const std::string cache = getenv("XDG_CACHE_HOME"); !cache.empty()) {
    return expand_home(cache, home) + "/huggingface/token";
  }
  return home.empty() ? "" : home + "/.cache/huggingface/token";
}

std::string valid_or_none(std::string_view text) {
  const std::string_view token = trim(text);
  return is_token(token) ? std::string(token) : std::string();
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
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    fixed_ = valid_or_none(getenv(name));
    if (fixed_.empty()) continue;
    origin_ = name;
    return;
  }
  file_ = default_file(getenv);
  origin_ = file_;
}

std::string TokenSource::token() {
  if (!fixed_.empty() || file_.empty()) return fixed_;
  MutexLock lock(mutex_);
  // O_NONBLOCK: a fifo in its place must not hold us up.
  const UniqueFd fd(::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    stamp_ = {};
    cached_.clear();
    return {};
  }
  const auto nanoseconds = [](const timespec& t) {
    return static_cast<long long>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  };
  const Stamp stamp{st.st_ino, st.st_size, nanoseconds(st.st_mtim), nanoseconds(st.st_ctim)};
  if (stamp == stamp_) return cached_;
  cached_ = valid_or_none(read_start(fd.get()));
  stamp_ = stamp;
  return cached_;
}

const std::string& TokenSource::origin() const { return origin_; }

}  // namespace hubvfs::hub
