// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <ostream>

#include "base/json.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/child.h"
#include "daemon/commands/commands.h"
#include "daemon/mountinfo.h"
#include "daemon/presence.h"

namespace hubvfs::daemon {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);

struct MountReport {
  MountEntry mount;
  std::optional<pid_t> keeper;
  std::string status;   // the mount's own JSON; "" when there is none
  std::string problem;  // why
};

// A '+' and the text, or a '-' and why not.
std::string read_status(const std::string& mount_point) {
  const std::string path = mount_point + "/.hubvfs/status.json";
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::string("-") + std::strerror(errno);
  std::string text = "+";
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::string("-") + std::strerror(errno);
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

bool is_json(const std::string& text) {
  struct Nothing final : JsonVisitor {
    bool scalar(const std::string&, JsonScalar&&) override { return true; }
  } nothing;
  return parse_json(text, nothing).has_value();
}

std::string explain(const std::string& error) {
  if (error == std::strerror(ENOTCONN)) {
    return "dead: its daemon is gone; `hubvfs umount` removes it, `hubvfs mount` replaces it";
  }
  if (error == std::strerror(EACCES)) return "belongs to another user, who alone may look inside";
  return "gives no status: " + error;
}

MountReport look_at(const MountEntry& mount) {
  MountReport report{mount, std::nullopt, "", ""};
  if (const auto keeper = find_keeper(mount.device, mount.user_id)) report.keeper = keeper->pid;
  auto answer = ask_child([&mount] { return read_status(mount.mount_point); }, kPatience);
  if (!answer) {
    report.problem = "does not answer";
  } else if (answer->empty() || answer->front() != '+') {
    report.problem = explain(answer->empty() ? "nothing read" : answer->substr(1));
  } else if (!is_json(answer->substr(1))) {
    report.problem = "gives a status that is no JSON";
  } else {
    report.status = trim(std::string_view(*answer).substr(1));
  }
  return report;
}

// The values of a mount's document, by path.
class Values final : public JsonVisitor {
 public:
  bool scalar(const std::string& path, JsonScalar&& value) override {
    values_[path] = std::move(value);
    return true;
  }
  std::uint64_t number(const std::string& path) const {
    const auto* number = find<std::uint64_t>(path);
    return number == nullptr ? 0 : *number;
  }
  std::string text(const std::string& path) const {
    const auto* text = find<std::string>(path);
    return text == nullptr ? "" : escape_for_log(*text, 2048);
  }
  bool flag(const std::string& path) const {
    const auto* flag = find<bool>(path);
    return flag != nullptr && *flag;
  }

 private:
  template <typename T>
  const T* find(const std::string& path) const {
    const auto it = values_.find(path);
    return it == values_.end() ? nullptr : std::get_if<T>(&it->second);
  }
  std::map<std::string, JsonScalar> values_;
};

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : std::to_string(part * 100 / whole) + "%";
}

void print_values(const Values& v, std::ostream& out) {
  out << "  hub    " << v.text("endpoint") << " (" << v.text("type") << ")"
      << (v.flag("offline") ? ", offline" : "") << "; " << v.number("hub.requests") << " requests, "
      << human_bytes(v.number("hub.bytes_received")) << " received, " << v.number("hub.failures")
      << " failures, " << v.number("hub.retries") << " retries\n";
  if (!v.text("hub.last_failure").empty()) {
    out << "         last failure: " << v.text("hub.last_failure") << "\n";
  }
  out << "  reads  " << v.number("reads.total") << ", of these waited for the hub "
      << v.number("reads.waited") << ", waiting now " << v.number("reads.waiting_now") << "\n";
  const std::uint64_t hits = v.number("cache.hits");
  out << "  cache  " << human_bytes(v.number("cache.bytes_used")) << " of "
      << human_bytes(v.number("cache.size_limit")) << ", " << v.number("cache.blobs")
      << " files; hit rate " << percent(hits, hits + v.number("cache.misses")) << ", "
      << v.number("cache.evicted_blocks") << " blocks evicted, " << v.number("cache.corrupt_blocks")
      << " damaged\n";
  if (!v.text("cache.degraded").empty()) {
    out << "         storing nothing: " << v.text("cache.degraded") << "\n";
  }
}

void print_for_people(const MountReport& report, std::ostream& out) {
  out << escape_for_log(report.mount.mount_point, 1024);
  if (report.keeper) out << " (process " << *report.keeper << ")";
  if (report.status.empty()) {
    out << ": " << report.problem << "\n";
    return;
  }
  out << "\n";
  Values values;
  static_cast<void>(parse_json(report.status, values));
  print_values(values, out);
}

// The mount's own document is passed on as it is: it was found to be whole JSON.
std::string as_json(const MountReport& report) {
  JsonWriter head;
  head.begin_object().key("mount_point").string(report.mount.mount_point);
  head.key("answers").boolean(!report.status.empty());
  if (report.keeper) head.key("pid").number(static_cast<std::uint64_t>(*report.keeper));
  if (!report.problem.empty()) head.key("problem").string(report.problem);
  std::string text = head.text();
  if (!report.status.empty()) text += ",\"status\":" + report.status;
  return text + "}";
}

Result<std::vector<MountEntry>> wanted_mounts(const std::string& dir) {
  auto mounts = read_mountinfo();
  if (!mounts) return mounts.error();
  std::vector<MountEntry> wanted;
  if (dir.empty()) {
    for (const MountEntry& mount : *mounts) {
      if (mount.is_hubvfs()) wanted.push_back(mount);
    }
    return wanted;
  }
  auto path = canonical_path(dir);
  if (!path) return path.error();
  const MountEntry* there = mounted_at(*mounts, *path);
  if (there == nullptr || !there->is_hubvfs()) {
    return {ErrorCode::kNotFound, "no hubvfs is mounted at " + escape_for_log(*path, 1024) +
                                      "; mount it with `hubvfs mount " + escape_for_log(dir, 1024) +
                                      "`"};
  }
  wanted.push_back(*there);
  return wanted;
}

}  // namespace

int status_command(const StatusCommand& command, const Io& io) {
  auto mounts = wanted_mounts(command.dir);
  if (!mounts) return fail(io, mounts.error());
  bool all_answer = true;
  std::string json;
  for (const MountEntry& mount : *mounts) {
    const MountReport report = look_at(mount);
    all_answer = all_answer && !report.status.empty();
    if (command.json) {
      json += (json.empty() ? "" : ",") + as_json(report);
    } else {
      print_for_people(report, io.out);
    }
  }
  if (command.json) {
    io.out << (command.dir.empty() ? "[" + json + "]" : json) << "\n";
  } else if (mounts->empty()) {
    io.out << "no hubvfs is mounted on this host\n";
  }
  io.out.flush();
  return !command.dir.empty() && !all_answer ? kExitFailed : kExitOk;
}

}  // namespace hubvfs::daemon
