// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/content_id.h"
#include "base/result.h"
#include "hub/types.h"

namespace hubvfs::fs {

// The files of one commit, or what is right in one directory of it: immutable, indexed by entry
// number. Thread-safe once made. An entry takes 64 bytes of memory and those of its name.
//
// Entries are sorted by (directory, name) in byte order, so the same listing always gives the same
// numbers, the children of a directory are a run, and a name is found by bisection. Entry 0 is the
// root, or the one directory. Names that no directory may hold (threats 1.2) are left out and
// counted.
class Snapshot {
 public:
  struct Entry {
    std::string_view name;  // in the snapshot's own memory
    std::uint32_t parent = 0;
    bool is_directory = false;
    bool is_lfs = false;
    std::uint64_t size = 0;
    std::optional<ContentId> content;  // none: a directory, or masked (gated and not granted)
    std::uint32_t first_child = 0;     // of a directory
    std::uint32_t child_count = 0;
    std::uint32_t hidden = 0;  // names of this directory that were left out
  };

  // Of a commit: `listing` has all of its files.
  static Snapshot build(const std::vector<hub::TreeEntry>& listing);
  // Of one directory ("": the root): `listing` has what is right in it, with whole paths.
  static Snapshot build_directory(const std::string& directory,
                                  const std::vector<hub::TreeEntry>& listing);
  // One directory of a whole listing by itself, as build_directory() makes it.
  Snapshot alone(std::uint32_t directory) const;
  // kCorrupt: not what encode() wrote.
  static Result<Snapshot> decode(ByteView bytes);
  Bytes encode() const;

  std::uint32_t size() const { return static_cast<std::uint32_t>(entries_.size()); }
  // Whether it is of one directory: what is in those that it names, it does not tell.
  bool is_one_directory() const { return directory_.has_value(); }
  // That directory, from the repo root; "" of a whole listing.
  const std::string& directory() const;
  Entry entry(std::uint32_t number) const;  // made of its record
  std::optional<std::uint32_t> child(std::uint32_t directory, std::string_view name) const;
  // What is at "dir/name" from the repo root; directory() is entry 0.
  std::optional<std::uint32_t> find(std::string_view path) const;
  // "dir/name" from the repo root; directory() for entry 0.
  std::string path(std::uint32_t number) const;
  // Whether some file has no content id: such a listing is not for good (design, section 3).
  bool masked() const { return masked_; }
  std::uint32_t hidden_total() const;

  Snapshot(Snapshot&&) = default;
  Snapshot& operator=(Snapshot&&) = default;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  struct Record {  // an entry as it is kept
    std::uint64_t size = 0;
    std::array<std::uint8_t, 32> hash{};
    std::uint32_t name_at = 0;  // in names_
    std::uint32_t parent = 0;
    std::uint32_t first_child = 0;
    std::uint32_t child_count = 0;
    std::uint32_t hidden = 0;
    std::uint8_t name_size = 0;
    bool is_directory = false;
    bool is_lfs = false;
    ContentId::Algorithm algorithm{};  // neither: no content id
  };
  static_assert(sizeof(Record) == 64);

  class Collector;

  Snapshot() = default;
  static Snapshot make(Collector& collector);
  std::string_view name(const Record& record) const {
    return {names_.data() + record.name_at, record.name_size};
  }
  void set_name(Record& record, std::string_view name);
  static void set_content(Record& record, const std::optional<ContentId>& content);
  bool structure_is_sound() const;

  std::vector<char> names_;  // of all entries, one after the other
  std::vector<Record> entries_;
  bool masked_ = false;
  std::optional<std::string> directory_;  // none: whole
};

}  // namespace hubvfs::fs
