// SPDX-License-Identifier: Apache-2.0
#include "cache/index_records.h"

#include <cstring>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/text.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {

constexpr char kBlobTag = 'b';
constexpr char kBlockTag = 'k';
constexpr char kUseTag = 'u';

void append_big_endian(std::string& text, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) text.push_back(static_cast<char>(value >> shift));
}

std::uint64_t read_big_endian(std::string_view text) {
  std::uint64_t value = 0;
  for (const char c : text.substr(0, 8)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::string to_string(ByteWriter&& writer) { return std::string(as_text(writer.bytes())); }

void write_endpoint(ByteWriter& writer, const EndpointId& id) {
  writer.raw({reinterpret_cast<const std::byte*>(id.bytes.data()), id.bytes.size()});
}

EndpointId read_endpoint(ByteReader& reader) {
  EndpointId id;
  const ByteView bytes = reader.raw(id.bytes.size());
  if (!bytes.empty()) std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return id;
}

std::optional<ContentId::Algorithm> to_algorithm(unsigned char tag) {
  switch (tag) {
    case static_cast<unsigned char>(ContentId::Algorithm::kSha256):
      return ContentId::Algorithm::kSha256;
    case static_cast<unsigned char>(ContentId::Algorithm::kGitSha1):
      return ContentId::Algorithm::kGitSha1;
    default:
      return std::nullopt;
  }
}

}  // namespace

EndpointId EndpointId::of(const std::string& endpoint) {
  const std::string hex = sha256_hex(as_bytes(endpoint));
  EndpointId id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    id.bytes[i] = static_cast<std::uint8_t>(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
  }
  return id;
}

namespace {

std::string content_key(const BlobKey& key, char tag) {
  std::string text = key.space;
  text.push_back('\0');
  text.push_back(tag);
  text.push_back(static_cast<char>(key.content.algorithm()));
  text.append(reinterpret_cast<const char*>(key.content.hash().data()), key.content.hash_size());
  append_big_endian(text, key.content.size());
  return text;
}

// The part of such a key behind the tag.
std::optional<ContentId> parse_content(std::string_view text) {
  if (text.size() < 9) return std::nullopt;
  const auto algorithm = to_algorithm(static_cast<unsigned char>(text[0]));
  if (!algorithm) return std::nullopt;
  const std::string_view hash = text.substr(1, text.size() - 9);
  auto content = ContentId::from_hash(*algorithm, as_bytes(hash),
                                      read_big_endian(text.substr(text.size() - 8)));
  return content ? std::optional(*content) : std::nullopt;
}

}  // namespace

std::string blob_index_key(const BlobKey& key) { return content_key(key, kBlobTag); }

std::string use_index_key(const BlobKey& key) { return content_key(key, kUseTag); }

std::string block_index_key(const Namespace& space, std::uint64_t number, std::uint64_t block) {
  std::string text = space;
  text.push_back('\0');
  text.push_back(kBlockTag);
  append_big_endian(text, number);
  append_big_endian(text, block);
  return text;
}

std::string state_index_key() { return std::string("\0state", 6); }

std::string encode(const BlobRecord& record) {
  ByteWriter writer;
  writer.integer(record.number);
  write_endpoint(writer, record.owner);
  writer.integer(record.trusted_fill);
  writer.integer(static_cast<std::uint8_t>(record.verified ? 1 : 0));
  if (record.verified) {
    writer.integer(record.verified->inode);
    writer.integer(record.verified->size);
    writer.integer(record.verified->modified_ns);
    writer.integer(record.verified->changed_ns);
  }
  return to_string(std::move(writer));
}

std::string encode(const BlockRecord& record) {
  ByteWriter writer;
  writer.integer(record.length);
  writer.integer(record.checksum);
  writer.integer(record.fill);
  writer.integer(record.epoch);
  writer.integer(static_cast<std::uint8_t>(record.hot ? 1 : 0));
  return to_string(std::move(writer));
}

std::string encode(const UseRecord& record) {
  ByteWriter writer;
  writer.integer(record.epoch);
  writer.integer(static_cast<std::uint8_t>(record.hot ? 1 : 0));
  return to_string(std::move(writer));
}

std::string encode(const StateRecord& record) {
  ByteWriter writer;
  writer.string(record.boot_id);
  writer.integer(static_cast<std::uint8_t>(record.clean ? 1 : 0));
  return to_string(std::move(writer));
}

std::optional<IndexKey> parse_index_key(std::string_view key) {
  const std::size_t end = key.find('\0');
  if (end == std::string_view::npos || !is_namespace(key.substr(0, end))) return std::nullopt;
  IndexKey parsed;
  parsed.space = key.substr(0, end);
  std::string_view rest = key.substr(end + 1);
  if (rest.size() == 17 && rest[0] == kBlockTag) {
    parsed.block =
        IndexKey::Block{read_big_endian(rest.substr(1)), read_big_endian(rest.substr(9))};
    return parsed;
  }
  if (rest.empty()) return std::nullopt;
  if (rest[0] == kBlobTag) parsed.blob = parse_content(rest.substr(1));
  if (rest[0] == kUseTag) parsed.use = parse_content(rest.substr(1));
  if (!parsed.blob && !parsed.use) return std::nullopt;
  return parsed;
}

std::optional<BlobRecord> decode_blob_record(std::string_view value) {
  ByteReader reader(as_bytes(value));
  BlobRecord record;
  record.number = reader.integer<std::uint64_t>();
  record.owner = read_endpoint(reader);
  record.trusted_fill = reader.integer<std::uint64_t>();
  if (reader.integer<std::uint8_t>() != 0) {
    FileStamp stamp;
    stamp.inode = reader.integer<std::uint64_t>();
    stamp.size = reader.integer<std::uint64_t>();
    stamp.modified_ns = reader.integer<std::uint64_t>();
    stamp.changed_ns = reader.integer<std::uint64_t>();
    record.verified = stamp;
  }
  return reader.ok() && reader.at_end() ? std::optional(record) : std::nullopt;
}

std::optional<BlockRecord> decode_block_record(std::string_view value) {
  ByteReader reader(as_bytes(value));
  BlockRecord record;
  record.length = reader.integer<std::uint32_t>();
  record.checksum = reader.integer<std::uint64_t>();
  record.fill = reader.integer<std::uint64_t>();
  record.epoch = reader.integer<std::uint64_t>();
  record.hot = reader.integer<std::uint8_t>() != 0;
  return reader.ok() && reader.at_end() ? std::optional(record) : std::nullopt;
}

std::optional<UseRecord> decode_use_record(std::string_view value) {
  ByteReader reader(as_bytes(value));
  UseRecord record;
  record.epoch = reader.integer<std::uint64_t>();
  record.hot = reader.integer<std::uint8_t>() != 0;
  return reader.ok() && reader.at_end() ? std::optional(record) : std::nullopt;
}

std::optional<StateRecord> decode_state_record(std::string_view value) {
  ByteReader reader(as_bytes(value));
  StateRecord record;
  record.boot_id = reader.string();
  record.clean = reader.integer<std::uint8_t>() != 0;
  return reader.ok() && reader.at_end() ? std::optional(record) : std::nullopt;
}

std::string blob_directory_name(const BlobKey& key) {
  return key.space + "/" + key.content.hex().substr(0, 2);
}

std::string blob_file_name(const BlobKey& key) {
  const bool sha256 = key.content.algorithm() == ContentId::Algorithm::kSha256;
  const std::string hex = key.content.hex();
  return key.space + "/" + hex.substr(0, 2) + "/" + (sha256 ? "sha256-" : "git-sha1-") + hex + "-" +
         std::to_string(key.content.size());
}

std::optional<ContentId> parse_blob_name(std::string_view name) {
  const std::size_t last = name.rfind('-');
  if (last == std::string_view::npos) return std::nullopt;
  const auto size = parse_decimal(name.substr(last + 1));
  if (!size) return std::nullopt;
  const std::string_view head = name.substr(0, last);
  const std::size_t dash = head.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view algorithm = head.substr(0, dash);
  if (algorithm != "sha256" && algorithm != "git-sha1") return std::nullopt;
  auto content = ContentId::create(
      algorithm == "sha256" ? ContentId::Algorithm::kSha256 : ContentId::Algorithm::kGitSha1,
      head.substr(dash + 1), *size);
  return content ? std::optional(*content) : std::nullopt;
}

}  // namespace hubvfs::cache
