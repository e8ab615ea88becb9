// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_request.h"

namespace hubvfs::daemon {
namespace {

constexpr auto kLastKind = CommandRequest::Kind::kImport;

void write(ByteWriter& out, const std::vector<std::string>& texts) {
  out.integer(static_cast<std::uint32_t>(texts.size()));
  for (const std::string& text : texts) out.string(text);
}

std::vector<std::string> read_texts(ByteReader& in) {
  std::vector<std::string> texts;
  for (auto count = in.integer<std::uint32_t>(); count > 0 && in.ok(); --count) {
    texts.emplace_back(in.string());
  }
  return texts;
}

Error of_another_version(const char* what) {
  return {ErrorCode::kBadAnswer,
          std::string(what) +
              " of another version of hubvfs: unmount what its daemon has mounted, "
              "and mount again"};
}

void write(ByteWriter& out, const std::optional<std::uint64_t>& number) {
  out.integer(static_cast<std::uint8_t>(number.has_value()));
  out.integer(number.value_or(0));
}

std::optional<std::uint64_t> read_number(ByteReader& in) {
  const bool has = in.integer<std::uint8_t>() != 0;
  const auto number = in.integer<std::uint64_t>();
  return has ? std::optional(number) : std::nullopt;
}

}  // namespace

Bytes CommandRequest::encode() const {
  ByteWriter out;
  out.string(HUBVFS_VERSION);
  out.integer(static_cast<std::uint8_t>(kind));
  out.integer(static_cast<std::uint8_t>(repo.type));
  out.string(repo.name);
  out.string(revision);
  write(out, include);
  write(out, exclude);
  out.integer(jobs);
  write(out, older_than);
  write(out, to_bytes);
  write(out, to_percent);
  out.integer(static_cast<std::uint8_t>(repair));
  out.integer(file_mode);
  out.string(sums_hash);
  return out.take();
}

Result<CommandRequest> CommandRequest::decode(ByteView bytes) {
  ByteReader in(bytes);
  if (in.string() != HUBVFS_VERSION) return of_another_version("a command");
  CommandRequest request;
  const auto kind = in.integer<std::uint8_t>();
  const auto type = in.integer<std::uint8_t>();
  request.repo.name = in.string();
  request.revision = in.string();
  request.include = read_texts(in);
  request.exclude = read_texts(in);
  request.jobs = in.integer<std::uint32_t>();
  request.older_than = read_number(in);
  request.to_bytes = read_number(in);
  request.to_percent = read_number(in);
  request.repair = in.integer<std::uint8_t>() != 0;
  request.file_mode = in.integer<std::uint32_t>();
  request.sums_hash = in.string();
  if (!in.ok() || !in.at_end() || kind == 0 || kind > static_cast<std::uint8_t>(kLastKind) ||
      type > static_cast<std::uint8_t>(hub::RepoType::kSpace)) {
    return of_another_version("a command");
  }
  request.kind = static_cast<Kind>(kind);
  request.repo.type = static_cast<hub::RepoType>(type);
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
