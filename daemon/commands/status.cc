// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <ostream>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/child.h"
#include "daemon/commands/commands.h"
#include "daemon/control_socket.h"
#include "daemon/json_values.h"
#include "daemon/messages.h"
#include "daemon/mountinfo.h"
#include "daemon/presence.h"

namespace hubvfs::daemon {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);

struct MountReport {
  MountEntry mount;
  std::optional<pid_t> keeper;
  std::string facts;    // the keeper's JSON: what holds though nothing else answers; "": none
  std::string status;   // the worker's JSON; "" when there is none
  std::string problem;  // why
};

// The text of the next message of this kind, if it is JSON.
std::string hear(int connection, MessageKind kind) {
  if (!wait_readable(connection, kPatience)) return "";
  auto message = receive_message(connection);
  if (!message || message->kind != kind) return "";
  std::string text(trim(as_text(message->body)));
  return JsonValues::parse(text) ? text : "";
}

// Why nobody can be asked about the mount: it is opened, in a child since that may not return.
std::string explain_silence(const MountEntry& mount) {
  auto opened = ask_child(
      [&mount]() -> std::string {
        const UniqueFd fd(::open(mount.mount_point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        return fd ? "" : std::to_string(errno);
      },
      kPatience);
  if (!opened) return "does not answer";
  if (*opened == std::to_string(ENOTCONN)) {
    return "dead: its daemon is gone; `hubvfs umount` removes it, `hubvfs mount` replaces it";
  }
  if (*opened == std::to_string(EACCES)) {
    return "belongs to another user, who alone may look inside";
  }
  return "its daemon cannot be reached from here; ask in the network namespace it was started in";
}

MountReport look_at(const MountEntry& mount) {
  MountReport report{mount, std::nullopt, "", "", ""};
  const auto keeper = find_keeper(mount.device, mount.user_id);
  if (!keeper) {
    report.problem = explain_silence(mount);
    return report;
  }
  report.keeper = keeper->pid;
  const int connection = keeper->connection.get();
  if (!send_message(connection, MessageKind::kStatus, {})) {
    report.problem = "is just ending";
    return report;
  }
  report.facts = hear(connection, MessageKind::kFacts);
  if (report.facts.empty()) {
    report.problem = mount.user_id == ::geteuid() ? "its keeper does not answer"
                                                  : "belongs to another user, who alone may ask";
    return report;
  }
  report.status = hear(connection, MessageKind::kDone);
  if (report.status.empty()) report.problem = "its worker does not answer just now";
  return report;
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : std::to_string(part * 100 / whole) + "%";
}

std::string counted(std::uint64_t number, const char* one, const char* many) {
  return std::to_string(number) + " " + (number == 1 ? one : many);
}

// What keeps the Hub from answering, and what its user can do about that.
void print_trouble(const JsonValues& v, std::ostream& out) {
  constexpr const char* kIndent = "         ";
  const UnixSeconds now = SystemClock().unix_now();
  const std::string outage = v.text("hub.outage");
  const auto seconds = [&](const char* path) {
    return static_cast<UnixSeconds>(v.number(path)) - now;
  };
  if (!outage.empty()) {
    out << kIndent << "cannot be reached for " << -seconds("hub.outage_since") << " s: " << outage
        << "\n";
  }
  if (const std::string mirror = v.text("hub.mirror"); !mirror.empty()) {
    out << kIndent << "asked is " << mirror << "\n";
  }
  if (const std::string last = v.text("hub.last_failure"); !last.empty() && last != outage) {
    out << kIndent << "last failure " << -seconds("hub.last_failure_at") << " s ago: " << last
        << "\n";
  }
  if (const UnixSeconds left = seconds("hub.limited_until"); left > 0) {
    out << kIndent << "too many requests were made: it takes more in " << left << " s\n";
  }
  if (const std::uint64_t waiting = v.number("hub.crawl_waiting"); waiting > 0) {
    out << kIndent << counted(waiting, "listing waits", "listings wait")
        << ": a crawl (find, updatedb) has used its quarter of the Hub's API quota; it goes on in "
        << std::max<UnixSeconds>(seconds("hub.crawl_until"), 0) << " s\n";
  }
  if (const std::string token = v.text("hub.refused_token"); !token.empty()) {
    out << kIndent << "refuses the token from " << token
        << ": log in anew (hf auth login) or set one that may\n";
  }
}

// What it is taken for, once something came over it.
void print_link(const JsonValues& v, std::ostream& out) {
  const std::uint64_t round_trip = v.number("hub.link.round_trip_microseconds");
  if (round_trip == 0) return;
  out << "  link   " << (round_trip + 500) / 1000 << " ms to a first byte, ";
  if (const std::uint64_t rate = v.number("hub.link.rate"); rate > 0) {
    out << human_bytes(rate) << "/s, ";
  }
  out << counted(v.number("hub.link.connections"), "connection", "connections") << ", "
      << human_bytes(v.number("hub.link.part_bytes")) << " a request; "
      << v.number("hub.link.stalled") << " stalled, " << v.number("hub.link.hedged")
      << " asked twice, " << v.number("hub.link.preempted") << " made way\n";
}

void print_values(const JsonValues& v, std::ostream& out) {
  const std::string shows = v.text("repo").empty() ? v.text("type") : v.text("repo");
  out << "  hub    " << v.text("endpoint") << " (" << shows << ")"
      << (v.flag("offline") ? ", offline" : "") << "; "
      << counted(v.number("hub.requests"), "request", "requests") << ", "
      << human_bytes(v.number("hub.bytes_received")) << " received, "
      << counted(v.number("hub.failures"), "failure", "failures") << ", "
      << counted(v.number("hub.retries"), "retry", "retries") << "\n";
  print_trouble(v, out);
  print_link(v, out);
  out << "  reads  " << v.number("reads.total") << ", of these waited for the hub "
      << v.number("reads.waited") << ", waiting now " << v.number("reads.waiting_now")
      << "; buffers " << human_bytes(v.number("reads.buffer_bytes")) << " of "
      << human_bytes(v.number("reads.buffer_limit")) << "\n";
  const std::uint64_t hits = v.number("cache.hits");
  out << "  cache  " << human_bytes(v.number("cache.bytes_used")) << " of "
      << human_bytes(v.number("cache.size_limit")) << ", "
      << counted(v.number("cache.blobs"), "file", "files") << "; hit rate "
      << percent(hits, hits + v.number("cache.misses")) << ", "
      << counted(v.number("cache.evicted_blocks"), "block", "blocks") << " evicted, "
      << v.number("cache.corrupt_blocks") << " damaged\n";
  if (!v.text("cache.degraded").empty()) {
    out << "         storing nothing: " << v.text("cache.degraded") << "\n";
  }
}

// Whether it passes files through, and what it went through, where that is worth a line.
void print_facts(const JsonValues& v, std::ostream& out) {
  if (v.flag("passthrough.in_force")) {
    out << "  passthrough: the kernel reads complete files by itself; open so are "
        << counted(v.number("passthrough.files"), "file", "files") << "\n";
  } else if (!v.text("passthrough.why_not").empty()) {
    out << "  passthrough: no: " << v.text("passthrough.why_not") << "\n";
  }
  if (v.text("after_worker_death") == "remount") {
    out << "  keeper this kernel cannot send requests again (Linux 6.9 can): when the worker dies, "
           "open files fail and the mount is made anew; so far "
        << counted(v.number("remounts"), "time", "times") << "\n";
  }
  if (v.number("workers_died") == 0) return;
  out << "  keeper " << counted(v.number("workers_died"), "worker", "workers")
      << " died (last: " << v.text("last_death") << "), "
      << counted(v.number("requests_resent"), "request", "requests") << " sent again, "
      << v.number("requests_refused") << " refused\n";
}

void print_for_people(const MountReport& report, std::ostream& out) {
  out << escape_for_log(report.mount.mount_point, 1024);
  if (report.keeper) out << " (process " << *report.keeper << ")";
  if (!report.problem.empty()) out << ": " << report.problem;
  out << "\n";
  if (!report.status.empty()) print_values(*JsonValues::parse(report.status), out);
  if (!report.facts.empty()) print_facts(*JsonValues::parse(report.facts), out);
}

// Keeper's and worker's documents are passed on as they are: they were found to be whole JSON.
std::string as_json(const MountReport& report) {
  JsonWriter head;
  head.begin_object().key("mount_point").string(report.mount.mount_point);
  head.key("answers").boolean(!report.status.empty());
  if (report.keeper) head.key("pid").number(static_cast<std::uint64_t>(*report.keeper));
  if (!report.problem.empty()) head.key("problem").string(report.problem);
  std::string text = head.text();
  if (!report.facts.empty()) text += ",\"keeper\":" + report.facts;
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
