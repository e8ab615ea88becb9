// SPDX-License-Identifier: Apache-2.0
#include "cache/sidecar.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cache/block_checksum.h"
#include "cache/directory.h"
#include "cache/names.h"

namespace hubvfs::cache {
namespace {

constexpr std::uint64_t kMagic = 0x0131'5041'4d56'4248;  // "HBVMAP1\1"
constexpr std::uint8_t kPresent = 1;
constexpr std::uint8_t kTrusted = 2;
constexpr std::uint64_t kWindowEntries = 4096;

std::uint32_t check24(std::uint8_t state, const SidecarBlock& block, const EndpointId& owner) {
  ByteWriter covered;
  covered.integer(state);
  covered.integer(block.block);
  covered.integer(block.length);
  covered.integer(block.checksum);
  if (!block.trusted) {
    covered.raw({reinterpret_cast<const std::byte*>(owner.bytes.data()), owner.bytes.size()});
  }
  return static_cast<std::uint32_t>(checksum64(kMagic, covered.bytes()) & 0xffffff);
}

void append_entry(ByteWriter& writer, const SidecarBlock& block, const EndpointId& owner) {
  const std::uint8_t state = block.trusted ? kTrusted : kPresent;
  writer.integer(static_cast<std::uint32_t>(state | check24(state, block, owner) << 8));
  writer.integer(block.length);
  writer.integer(block.checksum);
}

std::optional<SidecarBlock> decode_entry(ByteView bytes, std::uint64_t number,
                                         const EndpointId& owner) {
  ByteReader reader(bytes);
  const auto head = reader.integer<std::uint32_t>();
  SidecarBlock block;
  block.block = number;
  block.length = reader.integer<std::uint32_t>();
  block.checksum = reader.integer<std::uint64_t>();
  const auto state = static_cast<std::uint8_t>(head & 0xff);
  if (state != kPresent && state != kTrusted) return std::nullopt;
  block.trusted = state == kTrusted;
  if (check24(state, block, owner) != head >> 8) return std::nullopt;
  return block;
}

}  // namespace

Bytes encode_sidecar_header(const SidecarHeader& header) {
  ByteWriter writer;
  writer.integer(kMagic);
  writer.integer(header.block_size);
  writer.integer(static_cast<std::uint8_t>(header.content.algorithm()));
  writer.raw({reinterpret_cast<const std::byte*>(header.content.hash().data()), 32});
  writer.integer(header.content.size());
  writer.raw({reinterpret_cast<const std::byte*>(header.owner.bytes.data()), 16});
  Bytes bytes = writer.take();
  bytes.resize(kSidecarHeaderSize - 8);
  ByteWriter checksum;
  checksum.integer(checksum64(kMagic, bytes));
  bytes.insert(bytes.end(), checksum.bytes().begin(), checksum.bytes().end());
  return bytes;
}

std::optional<SidecarHeader> decode_sidecar_header(ByteView bytes) {
  if (bytes.size() < kSidecarHeaderSize) return std::nullopt;
  bytes = bytes.first(kSidecarHeaderSize);
  ByteReader tail(bytes.last(8));
  if (tail.integer<std::uint64_t>() != checksum64(kMagic, bytes.first(kSidecarHeaderSize - 8))) {
    return std::nullopt;
  }
  ByteReader reader(bytes);
  if (reader.integer<std::uint64_t>() != kMagic) return std::nullopt;
  SidecarHeader header;
  header.block_size = reader.integer<std::uint64_t>();
  const auto algorithm = reader.integer<std::uint8_t>();
  const ByteView hash = reader.raw(32);
  const auto size = reader.integer<std::uint64_t>();
  const ByteView owner = reader.raw(16);
  if (algorithm != 1 && algorithm != 2) return std::nullopt;
  const auto kind = static_cast<ContentId::Algorithm>(algorithm);
  auto content = ContentId::from_hash(kind, hash.first(algorithm == 1 ? 32 : 20), size);
  if (!content) return std::nullopt;
  header.content = *content;
  std::memcpy(header.owner.bytes.data(), owner.data(), owner.size());
  return header;
}

Result<void> write_sidecar(int fd, const SidecarHeader& header,
                           std::span<const SidecarBlock> blocks) {
  if (auto written = write_fully(fd, encode_sidecar_header(header), 0); !written) return written;
  for (std::size_t i = 0; i < blocks.size();) {
    const std::uint64_t first = blocks[i].block;
    ByteWriter run;  // neighbours in one call
    for (std::uint64_t next = first; i < blocks.size() && blocks[i].block == next; ++i, ++next) {
      append_entry(run, blocks[i], header.owner);
    }
    const std::uint64_t offset = kSidecarHeaderSize + first * kSidecarEntrySize;
    if (auto written = write_fully(fd, run.bytes(), offset); !written) return written;
  }
  return {};
}

Result<void> clear_sidecar(int fd, std::span<const std::uint64_t> blocks) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error(errno, "a sidecar");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  for (std::size_t i = 0; i < blocks.size();) {
    const std::uint64_t first = blocks[i];
    std::uint64_t count = 0;
    while (i < blocks.size() && blocks[i] == first + count) ++i, ++count;
    const std::uint64_t offset = kSidecarHeaderSize + first * kSidecarEntrySize;
    if (offset >= size) continue;
    const Bytes zeros(std::min(count * kSidecarEntrySize, size - offset));
    if (auto written = write_fully(fd, zeros, offset); !written) return written;
  }
  return {};
}

Result<Sidecar> read_sidecar(int fd, const ContentId& expected) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return system_error(errno, "a sidecar");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size < kSidecarHeaderSize) return {ErrorCode::kCorrupt, "a sidecar without a header"};
  Bytes window(kSidecarHeaderSize);
  if (auto read = read_fully(fd, window, 0); !read) return read.error();
  const auto header = decode_sidecar_header(window);
  if (!header || header->content != expected || header->block_size == 0) {
    return {ErrorCode::kCorrupt, "a sidecar with a damaged or foreign header"};
  }
  Sidecar sidecar{*header, {}};
  const std::uint64_t blocks = std::min((size - kSidecarHeaderSize) / kSidecarEntrySize,
                                        block_count(expected.size(), header->block_size));
  for (std::uint64_t at = 0; at < blocks; at += kWindowEntries) {
    const std::uint64_t count = std::min(kWindowEntries, blocks - at);
    window.resize(count * kSidecarEntrySize);
    if (auto read = read_fully(fd, window, kSidecarHeaderSize + at * kSidecarEntrySize); !read) {
      return read.error();
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto entry = ByteView(window).subspan(i * kSidecarEntrySize, kSidecarEntrySize);
      if (auto block = decode_entry(entry, at + i, header->owner)) sidecar.blocks.push_back(*block);
    }
  }
  return sidecar;
}

}  // namespace hubvfs::cache
