// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <ctime>
#include <iomanip>
#include <ostream>

#include "base/text.h"
#include "daemon/commands/ask_worker.h"
#include "daemon/options.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kShortCommit = 12;

std::string type_prefix(const JsonValues& item) {
  const std::string type = item.text("type");
  return type == "models" ? "" : type + "/";
}

std::string date_of(std::uint64_t unix_seconds) {
  if (unix_seconds == 0) return "-";
  const auto when = static_cast<std::time_t>(unix_seconds);
  std::tm local{};
  std::array<char, 32> text{};
  if (::localtime_r(&when, &local) == nullptr) return "-";
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local);
  return text.data();
}

// "org/model@v1.0 @main", or the repo alone where no branch or tag shows the commit.
std::string name_of(const JsonValues& item) {
  std::string name = type_prefix(item) + item.text("repo");
  for (const std::string& revision : item.texts("revisions[]")) name += " @" + revision;
  return name;
}

std::size_t widest(const std::vector<JsonValues>& items, std::string (*text)(const JsonValues&)) {
  std::size_t width = 0;
  for (const JsonValues& item : items) width = std::max(width, text(item).size());
  return width;
}

void print_list(const std::vector<JsonValues>& items, const JsonValues& v, std::ostream& out) {
  const auto width = static_cast<int>(widest(items, name_of));
  std::string endpoint = kDefaultEndpoint;
  for (const JsonValues& item : items) {
    if (item.text("endpoint") != endpoint) {
      endpoint = item.text("endpoint");
      out << "of " << endpoint << ":\n";
    }
    const std::uint64_t bytes = item.number("bytes");
    const std::uint64_t cached = item.number("bytes_cached");
    const std::uint64_t percent = bytes == 0 ? 100 : cached * 100 / bytes;
    out << std::left << std::setw(width) << name_of(item) << "  "
        << item.text("commit").substr(0, kShortCommit) << "  " << std::right << std::setw(10)
        << human_bytes(bytes) << "  " << std::setw(3) << percent << "% here  "
        << (item.flag("pinned") ? "pinned  " : "        ") << date_of(item.number("last_used"))
        << (item.flag("partial") ? "  (not all of its files are known)" : "") << "\n";
  }
  out << human_bytes(v.number("bytes_used")) << " of " << human_bytes(v.number("size_limit"))
      << "\n";
}

std::string repo_and_space(const JsonValues& item) {
  const std::string space = item.text("namespace");
  return type_prefix(item) + item.text("repo") + (space == "public" ? "" : " (" + space + ")");
}

void print_usage(const std::vector<JsonValues>& items, const JsonValues& v, std::ostream& out) {
  for (const JsonValues& item : items) {
    out << std::right << std::setw(10) << human_bytes(item.number("bytes_cached"));
    if (item.number("bytes_cached") == item.number("bytes_of_it_alone")) {
      out << std::setw(21) << "";
    } else {
      out << "  (alone " << std::setw(10) << human_bytes(item.number("bytes_of_it_alone")) << ")";
    }
    out << "  " << repo_and_space(item) << "\n";
  }
  if (v.number("bytes_of_no_known_repo") != 0) {
    out << std::setw(10) << human_bytes(v.number("bytes_of_no_known_repo")) << std::setw(21) << ""
        << "  of no known repo\n";
  }
  out << std::setw(10) << human_bytes(v.number("bytes_cached")) << std::setw(21) << ""
      << "  of " << human_bytes(v.number("size_limit")) << "\n";
}

}  // namespace

int cache_ls_command(const CacheOptions& options, const Io& io) {
  WorkerCommand command;
  command.options = options;
  command.request.kind = CommandRequest::Kind::kList;
  command.items = "commits";
  command.print = print_list;
  return ask_worker(command, io);
}

int cache_du_command(const CacheOptions& options, const Io& io) {
  WorkerCommand command;
  command.options = options;
  command.request.kind = CommandRequest::Kind::kUsage;
  command.items = "repos";
  command.print = print_usage;
  return ask_worker(command, io);
}

}  // namespace hubvfs::daemon
