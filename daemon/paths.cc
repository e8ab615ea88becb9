// SPDX-License-Identifier: Apache-2.0
#include "daemon/paths.h"

#include <pwd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <vector>

#include "base/text.h"
#include "cache/cache_folder.h"
#include "daemon/child.h"
#include "daemon/mountinfo.h"

namespace hubvfs::daemon {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);
constexpr int kMostLinks = 16;

Result<std::string> home(const GetEnv& getenv) {
  std::string from_env = getenv("HOME");
  if (!from_env.empty() && from_env.front() == '/') return from_env;
  const passwd* user = ::getpwuid(::getuid());
  if (user != nullptr && user->pw_dir != nullptr && user->pw_dir[0] == '/') {
    return std::string(user->pw_dir);
  }
  return {ErrorCode::kNotFound, "this user has no home folder: set HOME"};
}

Result<std::string> xdg(const GetEnv& getenv, const char* name, const char* below_home) {
  std::string from_env = getenv(name);
  if (!from_env.empty() && from_env.front() == '/') return from_env;
  auto at = home(getenv);
  if (!at) return at.error();
  return *at + below_home;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Only the last component is left as it is.
Result<std::string> with_real_parent(const std::string& path) {
  auto absolute = absolute_path(path);
  if (!absolute || *absolute == "/") return absolute;
  const std::string parent = parent_of(*absolute);
  auto answer = ask_child(
      [&parent]() -> std::string {
        char* real = ::realpath(parent.c_str(), nullptr);
        return real == nullptr ? "!" + std::to_string(errno) : std::string(real);
      },
      kPatience);
  if (!answer) return answer.error().within(escape_for_log(parent));
  if (answer->empty() || answer->front() == '!') {
    const std::string_view number = std::string_view(*answer).substr(answer->empty() ? 0 : 1);
    return system_error(static_cast<int>(parse_decimal(number).value_or(EIO)),
                        escape_for_log(parent));
  }
  return (*answer == "/" ? "" : *answer) + absolute->substr(absolute->rfind('/'));
}

// "" when it is no symlink.
Result<std::string> link_target(const std::string& path) {
  return ask_child(
      [&path]() -> std::string {
        std::array<char, PATH_MAX> target{};
        const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
        return n > 0 ? std::string(target.data(), static_cast<std::size_t>(n)) : std::string();
      },
      kPatience);
}

}  // namespace

Result<std::string> cache_home(const GetEnv& getenv) {
  return xdg(getenv, "XDG_CACHE_HOME", "/.cache");
}

Result<std::string> state_home(const GetEnv& getenv) {
  return xdg(getenv, "XDG_STATE_HOME", "/.local/state");
}

Result<std::string> config_home(const GetEnv& getenv) {
  return xdg(getenv, "XDG_CONFIG_HOME", "/.config");
}

Result<std::string> make_log_file_path(const GetEnv& getenv) {
  auto state = state_home(getenv);
  if (!state) return state.error();
  const std::string folder = *state + "/hubvfs";
  if (auto made = make_directories(folder); !made) {
    return made.error().within("cannot make the folder of the log");
  }
  return folder + "/hubvfs.log";
}

Result<std::string> absolute_path(std::string_view path) {
  if (path.empty() || path.find('\0') != std::string_view::npos) {
    return {ErrorCode::kInvalidArgument, "an empty path"};
  }
  std::string whole(path);
  if (path.front() != '/') {
    std::array<char, PATH_MAX> cwd{};
    if (::getcwd(cwd.data(), cwd.size()) == nullptr) {
      return system_error(errno, "the current folder");
    }
    whole = std::string(cwd.data()) + "/" + whole;
  }
  std::vector<std::string_view> parts;
  for (const std::string_view part : split(whole, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string normal;
  for (const std::string_view part : parts) normal.append("/").append(part);
  return normal.empty() ? "/" : normal;
}

Result<std::string> canonical_path(std::string_view path) {
  std::string at(path);
  for (int link = 0; link < kMostLinks; ++link) {
    auto found = with_real_parent(at);
    if (!found) return found;
    auto mounts = read_mountinfo();
    if (!mounts) return mounts.error();
    if (mounted_at(*mounts, *found) != nullptr) return found;
    auto target = link_target(*found);
    if (!target) return target;
    if (target->empty()) return found;
    at = target->front() == '/' ? *target : parent_of(*found) + "/" + *target;
  }
  return {ErrorCode::kInvalidArgument, escape_for_log(path) + ": too many symlinks"};
}

Result<void> make_directories(const std::string& path) {
  for (std::size_t end = 1; end != std::string::npos;) {
    end = path.find('/', end);
    const std::string part = path.substr(0, end);
    if (end != std::string::npos) ++end;
    if (::mkdir(part.c_str(), S_IRWXU) == 0 || errno == EEXIST) continue;
    // A parent that may not be written to is no obstacle where it exists.
    const int error = errno;
    struct stat there {};
    if (::stat(part.c_str(), &there) == 0 && S_ISDIR(there.st_mode)) continue;
    return system_error(error, escape_for_log(part));
  }
  return {};
}

bool on_remote_filesystem(const std::string& path) {
  std::string at = path;
  struct statfs info {};
  while (::statfs(at.c_str(), &info) < 0) {
    if (errno != ENOENT || at == "/") return false;
    at = parent_of(at);
  }
  return cache::remote_filesystem(static_cast<unsigned long>(info.f_type) & 0xFFFFFFFFul) !=
         nullptr;
}

}  // namespace hubvfs::daemon
