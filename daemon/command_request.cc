// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_request.h"

namespace hubvfs::daemon {
namespace {

constexpr auto kLastKind = CommandRequest::Kind::kStats;

Error of_another_version(const char* what) {
  return {ErrorCode::kBadAnswer,
          std::string(what) +
              " of another version of hubvfs: unmount what its daemon has mounted, "
              "and mount again"};
}

}  // namespace

Bytes CommandRequest::encode() const {
  ByteWriter out;
  out.string(HUBVFS_VERSION);
  out.integer(static_cast<std::uint8_t>(kind));
  return out.take();
}

Result<CommandRequest> CommandRequest::decode(ByteView bytes) {
  ByteReader in(bytes);
  if (in.string() != HUBVFS_VERSION) return of_another_version("a command");
  CommandRequest request;
  const auto kind = in.integer<std::uint8_t>();
  if (!in.ok() || !in.at_end() || kind == 0 || kind > static_cast<std::uint8_t>(kLastKind)) {
    return of_another_version("a command");
  }
  request.kind = static_cast<Kind>(kind);
  return request;
}

Bytes CommandProgress::encode() const {
  ByteWriter out;
  out.string(doing);
  out.integer(done);
  out.integer(total);
  out.integer(files_done);
  out.integer(files_total);
  out.string(now);
  return out.take();
}

Result<CommandProgress> CommandProgress::decode(ByteView bytes) {
  ByteReader in(bytes);
  CommandProgress progress;
  progress.doing = in.string();
  progress.done = in.integer<std::uint64_t>();
  progress.total = in.integer<std::uint64_t>();
  progress.files_done = in.integer<std::uint64_t>();
  progress.files_total = in.integer<std::uint64_t>();
  progress.now = in.string();
  if (!in.ok() || !in.at_end()) return of_another_version("a daemon");
  return progress;
}

}  // namespace hubvfs::daemon
