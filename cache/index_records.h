// SPDX-License-Identifier: Apache-2.0
// The index's records.
//
// Key of a blob:  namespace NUL 'b' algorithm(1) hash size(8, big-endian)
// Key of a block: namespace NUL 'k' file number(8, big-endian) block(8, big-endian)
// Key of a small blob's last use: namespace NUL 'u' algorithm(1) hash size(8, big-endian)
// Key of the state of the whole: NUL "state"
// Values are little-endian; the index adds a checksum to each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cache/blob_store.h"
#include "cache/endpoint_id.h"

namespace hubvfs::cache {

// A data file as fstat shows it; any write to it changes one of these.
struct FileStamp {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::uint64_t modified_ns = 0;
  std::uint64_t changed_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

struct BlobRecord {
  std::uint64_t number = 0;  // of its file, in the keys of its blocks
  EndpointId owner;          // of the blocks behind trusted_fill
  std::uint64_t trusted_fill = 0;
  std::optional<FileStamp> verified;  // complete and found right while its file looked so
};

struct BlockRecord {
  std::uint32_t length = 0;
  std::uint64_t checksum = 0;
  std::uint64_t fill = 0;
  std::uint64_t epoch = 0;  // of its last use (UseClock)
  bool hot = false;         // used again, some time after it came in
};

// The last use of a blob that lies in a record, not in a file.
struct UseRecord {
  std::uint64_t epoch = 0;
  bool hot = false;
};

// How the cache was left. Written dirty at open, clean at close.
struct StateRecord {
  std::string boot_id;
  bool clean = false;
};

std::string blob_index_key(const BlobKey& key);
std::string block_index_key(const Namespace& space, std::uint64_t number, std::uint64_t block);
std::string use_index_key(const BlobKey& key);
std::string state_index_key();

std::string encode(const BlobRecord& record);
std::string encode(const BlockRecord& record);
std::string encode(const UseRecord& record);
std::string encode(const StateRecord& record);

// A key taken apart: exactly one of `blob`, `use` and `block` is set. None for anything else.
struct IndexKey {
  Namespace space;
  std::optional<ContentId> blob;
  std::optional<ContentId> use;
  struct Block {
    std::uint64_t number = 0;
    std::uint64_t block = 0;
  };
  std::optional<Block> block;
};
std::optional<IndexKey> parse_index_key(std::string_view key);
std::optional<BlobRecord> decode_blob_record(std::string_view value);
std::optional<BlockRecord> decode_block_record(std::string_view value);
std::optional<UseRecord> decode_use_record(std::string_view value);
std::optional<StateRecord> decode_state_record(std::string_view value);

// The name of a blob's data file below blobs/: "public/ab/sha256-ab...-123".
std::string blob_directory_name(const BlobKey& key);  // "public/ab"
std::string blob_file_name(const BlobKey& key);
inline constexpr std::string_view kSidecarSuffix = ".map";
// The content named by the last part of such a name; none for any other name.
std::optional<ContentId> parse_blob_name(std::string_view name);

}  // namespace hubvfs::cache
