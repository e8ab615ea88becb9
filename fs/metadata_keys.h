// SPDX-License-Identifier: Apache-2.0
// How the records of fs lie in the MetaStore: endpoint NUL type NUL kind NUL rest (ARCHITECTURE.md,
// Metadata), within a namespace.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "fs/place.h"
#include "hub/types.h"

namespace hubvfs::fs {

struct MetadataKey {
  std::string_view endpoint;
  hub::RepoType type = hub::RepoType::kModel;
  std::string_view kind;
  std::string_view rest;

  std::string text() const;
  // Views into `text`. None: no such key.
  static std::optional<MetadataKey> parse(std::string_view text);
};

// The rest of a key for what is about one commit of a repo, and back.
std::string commit_rest(std::string_view repo, std::string_view commit);
std::optional<std::pair<std::string_view, std::string_view>> parse_commit_rest(
    std::string_view rest);

// The rest of the key for the listing of one directory ("": the commit's own key), which of them
// the listing tells; and the commit of either.
std::string listing_rest(std::string_view repo, std::string_view commit,
                         std::string_view directory);
std::optional<std::pair<std::string_view, std::string_view>> parse_listing_rest(
    std::string_view rest);

// What a "serial" record tells of the commit that has the serial.
struct PlacedRecord {
  Place place;
  hub::RepoInfo info;    // its repo's type is the key's
  std::string space;     // the namespace of its content and listing
  bool partial = false;  // as Placed::partial

  Bytes encode() const;
  static std::optional<PlacedRecord> decode(ByteView bytes, hub::RepoType type);
};

// What a "folder" record tells of the directory that has the serial (Placed::parent).
struct FolderRecord {
  std::uint32_t parent = 0;  // serial
  std::uint32_t entry = 0;   // in the parent's listing
  std::string directory;     // from the repo root

  Bytes encode() const;
  static std::optional<FolderRecord> decode(ByteView bytes);
};

// The rest of its key, and the first word of a "ref" record: the serial it shows.
std::string serial_rest(std::uint32_t serial);
std::optional<std::uint32_t> parse_serial(ByteView bytes);

}  // namespace hubvfs::fs
