// SPDX-License-Identifier: Apache-2.0
#include "base/memory_limit.h"

#include <algorithm>
#include <charconv>
#include <fstream>

namespace hubvfs {
namespace {

// Version 1 says "no limit" by a number of about 2^63.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

struct Hierarchy {
  std::string mounted;  // where its groups are
  std::string file;     // what has the limit of one
  std::string group;    // ours, "/a/b"
};

std::optional<std::uint64_t> limit_in(const std::string& path) {
  std::ifstream in(path);
  std::string text;
  if (!(in >> text)) return {};
  std::uint64_t limit = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (read.ec != std::errc() || limit >= kNoLimit) return {};  // "max"
  return limit;
}

// Ours and all above; a group that is not there has none.
std::optional<std::uint64_t> least_limit(const Hierarchy& in) {
  std::optional<std::uint64_t> least;
  std::string group = in.group == "/" ? "" : in.group;
  for (;;) {
    const auto limit = limit_in(in.mounted + group + "/" + in.file);
    if (limit) least = std::min(*limit, least.value_or(*limit));
    if (group.empty()) return least;
    group.resize(std::min(group.rfind('/'), group.size()));
  }
}

// A line of /proc/self/cgroup: "ID:CONTROLLERS:GROUP", version 2 being "0::GROUP".
std::optional<std::uint64_t> limit_of_line(const std::string& line, const std::string& root) {
  const std::size_t first = line.find(':');
  const std::size_t second = line.find(':', first + 1);
  if (first == std::string::npos || second == std::string::npos) return {};
  const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
  const std::string group = line.substr(second + 1);
  if (!group.starts_with('/')) return {};
  const std::string top = root + "/sys/fs/cgroup";
  if (controllers.find(",memory,") != std::string::npos) {
    return least_limit({top + "/memory", "memory.limit_in_bytes", group});
  }
  if (controllers != ",,") return {};
  return least_limit({top, "memory.max", group});
}

}  // namespace

std::optional<std::uint64_t> cgroup_memory_limit(const std::string& root) {
  std::ifstream in(root + "/proc/self/cgroup");
  std::optional<std::uint64_t> least;
  for (std::string line; std::getline(in, line);) {
    const auto limit = limit_of_line(line, root);
    if (limit) least = std::min(*limit, least.value_or(*limit));
  }
  return least;
}

std::uint64_t memory_share(std::uint64_t wanted, std::uint64_t least,
                           std::optional<std::uint64_t> limit) {
  return limit ? std::max(least, std::min(wanted, *limit / 4)) : wanted;
}

}  // namespace hubvfs
