// SPDX-License-Identifier: Apache-2.0
#include "daemon/mountinfo.h"

#include <fcntl.h>

#include <cerrno>
#include <optional>

#include "base/text.h"
#include "base/unique_fd.h"

namespace hubvfs::daemon {
namespace {

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// The kernel writes space, tab, newline, backslash and '#' as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      const int value = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');
      out.push_back(static_cast<char>(value));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

void read_super_options(std::string_view options, MountEntry& entry) {
  constexpr std::string_view kUser = "user_id=";
  for (const std::string_view option : split(options, ',')) {
    if (option == "allow_other") entry.allow_other = true;
    if (option.substr(0, kUser.size()) != kUser) continue;
    entry.user_id = static_cast<uid_t>(parse_decimal(option.substr(kUser.size())).value_or(0));
  }
}

// "ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE SUPER_OPTIONS"
std::optional<MountEntry> parse_line(std::string_view line) {
  const auto words = split(line, ' ');
  if (words.size() < 10) return std::nullopt;
  std::size_t dash = 6;
  while (dash < words.size() && words[dash] != "-") ++dash;
  if (dash + 3 >= words.size()) return std::nullopt;
  const auto id = parse_decimal(words[0]);
  if (!id) return std::nullopt;
  MountEntry entry;
  entry.id = *id;
  entry.device = words[2];
  entry.mount_point = unescape(words[4]);
  entry.fs_type = unescape(words[dash + 1]);
  entry.source = unescape(words[dash + 2]);
  read_super_options(words[dash + 3], entry);
  return entry;
}

}  // namespace

std::vector<MountEntry> parse_mountinfo(std::string_view text) {
  std::vector<MountEntry> mounts;
  for (const std::string_view line : split(text, '\n')) {
    if (auto entry = parse_line(line)) mounts.push_back(std::move(*entry));
  }
  return mounts;
}

Result<std::vector<MountEntry>> read_mountinfo() {
  const UniqueFd fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!fd) return system_error(errno, "cannot read /proc/self/mountinfo (is /proc mounted?)");
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno, "reading /proc/self/mountinfo");
    if (n == 0) break;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return parse_mountinfo(text);
}

const MountEntry* mounted_at(const std::vector<MountEntry>& mounts, std::string_view path) {
  const MountEntry* found = nullptr;
  for (const MountEntry& entry : mounts) {
    if (entry.mount_point == path) found = &entry;
  }
  return found;
}

const MountEntry* hubvfs_around(const std::vector<MountEntry>& mounts, std::string_view path) {
  for (const MountEntry& entry : mounts) {
    if (entry.is_hubvfs() && entry.mount_point != path && is_within(path, entry.mount_point)) {
      return &entry;
    }
  }
  return nullptr;
}

bool is_within(std::string_view path, std::string_view dir) {
  if (dir == "/") return true;
  if (path.substr(0, dir.size()) != dir) return false;
  return path.size() == dir.size() || path[dir.size()] == '/';
}

}  // namespace hubvfs::daemon
