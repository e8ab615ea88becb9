// SPDX-License-Identifier: Apache-2.0
#include "fs/metadata_keys.h"

#include "base/digest.h"
#include "base/text.h"
#include "hub/names.h"

namespace hubvfs::fs {
namespace {

// The part before the next NUL, taken off `rest` with that. None: there is no NUL.
std::optional<std::string_view> take_part(std::string_view& rest) {
  const std::size_t end = rest.find('\0');
  if (end == std::string_view::npos) return {};
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return part;
}

}  // namespace

std::string MetadataKey::text() const {
  std::string key(endpoint);
  key += '\0';
  key += hub::api_segment(type);
  key += '\0';
  key += kind;
  key += '\0';
  key += rest;
  return key;
}

std::optional<MetadataKey> MetadataKey::parse(std::string_view text) {
  MetadataKey key;
  const auto endpoint = take_part(text);
  const auto type = endpoint ? take_part(text) : std::nullopt;
  const auto kind = type ? take_part(text) : std::nullopt;
  if (!kind) return {};
  key.endpoint = *endpoint;
  key.kind = *kind;
  key.rest = text;
  for (const auto one : {hub::RepoType::kModel, hub::RepoType::kDataset, hub::RepoType::kSpace}) {
    key.type = one;
    if (*type == hub::api_segment(one)) return key;
  }
  return {};
}

std::string commit_rest(std::string_view repo, std::string_view commit) {
  std::string rest(repo);
  rest += '\0';
  rest += commit;
  return rest;
}

std::optional<std::pair<std::string_view, std::string_view>> parse_commit_rest(
    std::string_view rest) {
  const auto repo = take_part(rest);
  if (!repo || !is_commit_id(rest)) return {};
  return std::pair(*repo, rest);
}

// A path may be longer than a key.
std::string listing_rest(std::string_view repo, std::string_view commit,
                         std::string_view directory) {
  std::string rest = commit_rest(repo, commit);
  if (directory.empty()) return rest;
  rest += '\0';
  return rest += sha256_hex(as_bytes(directory));
}

std::optional<std::pair<std::string_view, std::string_view>> parse_listing_rest(
    std::string_view rest) {
  const auto repo = take_part(rest);
  const std::string_view commit = rest.substr(0, rest.find('\0'));
  if (!repo || !is_commit_id(commit)) return {};
  return std::pair(*repo, commit);
}

Bytes PlacedRecord::encode() const {
  ByteWriter out;
  out.string(place.repo);
  out.string(place.revision);
  out.string(info.id.name);
  out.string(info.commit);
  out.integer(static_cast<std::uint64_t>(info.last_modified));
  out.integer(static_cast<std::uint8_t>(info.is_private));
  out.integer(static_cast<std::uint8_t>(info.gate));
  out.string(space);
  if (partial) out.integer(std::uint8_t{1});
  return out.take();
}

std::optional<PlacedRecord> PlacedRecord::decode(ByteView bytes, hub::RepoType type) {
  ByteReader in(bytes);
  PlacedRecord placed;
  placed.place.repo = in.string();
  placed.place.revision = in.string();
  placed.info.id = {type, std::string(in.string())};
  placed.info.commit = in.string();
  placed.info.last_modified = static_cast<UnixSeconds>(in.integer<std::uint64_t>());
  placed.info.is_private = in.integer<std::uint8_t>() != 0;
  placed.info.gate = static_cast<hub::Gate>(in.integer<std::uint8_t>());
  placed.space = in.string();
  if (!in.at_end()) placed.partial = in.integer<std::uint8_t>() == 1;
  if (!in.ok() || !in.at_end() || !is_commit_id(placed.info.commit)) return {};
  return placed;
}

Bytes FolderRecord::encode() const {
  ByteWriter out;
  out.integer(parent);
  out.integer(entry);
  out.string(directory);
  return out.take();
}

std::optional<FolderRecord> FolderRecord::decode(ByteView bytes) {
  ByteReader in(bytes);
  FolderRecord folder;
  folder.parent = in.integer<std::uint32_t>();
  folder.entry = in.integer<std::uint32_t>();
  folder.directory = in.string();
  if (!in.ok() || !in.at_end() || !hub::is_repo_path(folder.directory)) return {};
  return folder;
}

std::string serial_rest(std::uint32_t serial) {
  ByteWriter out;
  out.integer(serial);
  return std::string(as_text(out.bytes()));
}

std::optional<std::uint32_t> parse_serial(ByteView bytes) {
  ByteReader in(bytes);
  const auto serial = in.integer<std::uint32_t>();
  if (!in.ok()) return {};
  return serial;
}

}  // namespace hubvfs::fs
