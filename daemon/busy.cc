// SPDX-License-Identifier: Apache-2.0
#include "daemon/busy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/text.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kMostText = 4u << 20;

std::string read_proc(const std::string& path) {
  std::string text;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 8192> buffer{};
  while (fd && text.size() < kMostText) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return text;
}

std::vector<std::string> names_in(const std::string& path) {
  struct Closer {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Closer> dir(::opendir(path.c_str()));
  std::vector<std::string> names;
  while (dir) {
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    names.emplace_back(entry->d_name);
  }
  return names;
}

std::string link_text(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  return n > 0 ? std::string(target.data(), static_cast<std::size_t>(n)) : std::string();
}

// "mnt_id:\t123" of an open file: tells its mount without a look at the file.
bool file_is_on(const std::string& fdinfo, const MountEntry& mount) {
  const std::string text = read_proc(fdinfo);
  for (const std::string_view line : split(text, '\n')) {
    constexpr std::string_view kName = "mnt_id:";
    if (line.substr(0, kName.size()) == kName) {
      return parse_decimal(trim(line.substr(kName.size()))) == mount.id;
    }
  }
  return false;
}

// maps: "START-END PERMS OFFSET DEV INODE PATH", DEV in hex.
bool maps_from(const std::string& proc, const std::string& device_in_maps) {
  const std::string text = read_proc(proc + "/maps");
  for (const std::string_view line : split(text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() > 3 && words[3] == device_in_maps) return true;
  }
  return false;
}

std::string device_as_in_maps(const std::string& device) {
  const std::size_t colon = device.find(':');
  const auto major = parse_decimal(std::string_view(device).substr(0, colon)).value_or(0);
  const auto minor = parse_decimal(std::string_view(device).substr(colon + 1)).value_or(0);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%02x:%02x", static_cast<unsigned>(major),
                static_cast<unsigned>(minor));
  return text.data();
}

std::optional<std::string> use_of(const std::string& proc, const MountEntry& mount,
                                  const std::string& device_in_maps) {
  for (const auto& [link, use] : {std::pair("/cwd", "current folder"), std::pair("/root", "root"),
                                  std::pair("/exe", "running program")}) {
    if (is_within(link_text(proc + link), mount.mount_point)) return use;
  }
  const std::string fdinfo = proc + "/fdinfo/";
  for (const std::string& fd : names_in(fdinfo)) {
    if (file_is_on(fdinfo + fd, mount)) return "open file";
  }
  if (maps_from(proc, device_in_maps)) return "mapped file";
  return std::nullopt;
}

}  // namespace

std::vector<BusyProcess> processes_using(const MountEntry& mount) {
  std::vector<BusyProcess> found;
  const std::string device = device_as_in_maps(mount.device);
  for (const std::string& name : names_in("/proc")) {
    const auto pid = parse_decimal(name);
    if (!pid) continue;
    const std::string proc = "/proc/" + name;
    const auto use = use_of(proc, mount, device);
    if (!use) continue;
    const std::string comm = read_proc(proc + "/comm");
    found.push_back({static_cast<pid_t>(*pid), escape_for_log(trim(comm)), *use});
  }
  return found;
}

}  // namespace hubvfs::daemon
