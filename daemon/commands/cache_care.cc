// SPDX-License-Identifier: Apache-2.0
#include <ostream>

#include "base/text.h"
#include "daemon/commands/ask_worker.h"

namespace hubvfs::daemon {
namespace {

void print_pruned(const std::vector<JsonValues>&, const JsonValues& v, std::ostream& out) {
  out << "freed " << human_bytes(v.number("bytes_freed")) << "; the cache holds "
      << human_bytes(v.number("bytes_used")) << " of " << human_bytes(v.number("size_limit"));
  if (v.number("bytes_used") > v.number("to_bytes")) {
    out << ", of these " << human_bytes(v.number("bytes_pinned"))
        << " pinned: what is pinned or in use stays";
  }
  out << "\n";
}

void print_verified(const std::vector<JsonValues>& items, const JsonValues& v, std::ostream& out) {
  for (const JsonValues& item : items) {
    const std::string file = item.text("file");
    out << (file.empty() ? "" : file + ": ") << item.text("problem") << "\n";
  }
  out << v.number("blobs") << " files, " << human_bytes(v.number("bytes")) << " looked at; "
      << v.number("bad_blocks") << " blocks damaged, " << v.number("bad_blobs")
      << " files not what their hash says";
  if (v.number("bad_blocks") + v.number("bad_blobs") != 0) {
    out << (v.flag("repaired")
                ? ": dropped, and fetched again when they are read"
                : "; `hubvfs cache verify --repair` drops them, to be fetched again");
  }
  out << "\n";
}

// "85%", or a size.
Result<void> read_goal(const std::string& text, CommandRequest& request) {
  if (text.ends_with('%')) {
    const auto percent = parse_decimal(std::string_view(text).substr(0, text.size() - 1));
    if (percent && *percent <= 100) {
      request.to_percent = percent;
      return {};
    }
  } else if (const auto bytes = parse_bytes(text)) {
    request.to_bytes = bytes;
    return {};
  }
  return {ErrorCode::kInvalidArgument, "--to: \"" + escape_for_log(text) +
                                           "\" is neither a size such as 20G nor a part of "
                                           "cache.size such as 80%"};
}

}  // namespace

int cache_prune_command(const PruneCommand& command, const Io& io) {
  WorkerCommand asked;
  asked.options = command.options;
  asked.request.kind = CommandRequest::Kind::kPrune;
  asked.print = print_pruned;
  if (command.older_than.empty() && command.to.empty()) {
    return fail(io, {ErrorCode::kInvalidArgument,
                     "say what is to go: --older-than TIME, --to SIZE, or both"});
  }
  if (!command.older_than.empty()) {
    asked.request.older_than = parse_seconds(command.older_than);
    if (!asked.request.older_than) {
      return fail(io, {ErrorCode::kInvalidArgument, "--older-than: \"" +
                                                        escape_for_log(command.older_than) +
                                                        "\" is not a time such as 12h or 7d"});
    }
  }
  if (!command.to.empty()) {
    if (auto read = read_goal(command.to, asked.request); !read) return fail(io, read.error());
  }
  return ask_worker(asked, io);
}

int cache_verify_command(const VerifyCommand& command, const Io& io) {
  WorkerCommand asked;
  asked.options = command.options;
  asked.request.kind = CommandRequest::Kind::kVerify;
  asked.request.repair = command.repair;
  asked.items = "problems";
  asked.print = print_verified;
  asked.status = [](const JsonValues& v) {
    const bool bad = v.number("bad_blocks") + v.number("bad_blobs") != 0;
    return bad && !v.flag("repaired") ? kExitFailed : kExitOk;
  };
  return ask_worker(asked, io);
}

}  // namespace hubvfs::daemon
