// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "cache/directory.h"

namespace hubvfs::cache {

// Keys and values in an append-only file of checksummed records; of each key the last record
// counts.
//
// Memory holds where each value lies, not the value. A record is written by write calls on the
// caller's thread, so it outlives this process however it dies, and outlives a power cut after
// sync(). What is torn or damaged is skipped when the file is loaded: an older record of the same
// key then counts again. Thread-safe but where said otherwise. Lock rank: see mutex_.
class RecordLog {
 public:
  static constexpr std::size_t kMaxKey = 4096;
  static constexpr std::size_t kMaxValue = 512u << 20;

  // Where a record will lie. Every ticket of begin() must be given to finish().
  struct Ticket {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };

  // Opens or makes `name` in `directory`, which must outlive the log. kIo, kNoSpace,
  // kPermissionDenied from the disk; damage in the file is logged and counted, never an error. On a
  // disk that is read-only what is there can be read, and written from when it no longer is.
  static Result<std::unique_ptr<RecordLog>> open(const Directory& directory,
                                                 const std::string& name, Logger& log);

  // kInvalidArgument beyond the limits; kNoSpace or kIo: the log is as it was before.
  Result<void> put(std::string_view key, ByteView value);
  Result<void> erase(std::string_view key);
  // put() in two steps: of two puts of one key, the one that began later wins.
  Ticket begin(std::string_view key, std::size_t value_size) EXCLUDES(mutex_);
  Result<void> finish(Ticket ticket, std::string_view key, std::optional<ByteView> value)
      EXCLUDES(mutex_);

  // None when absent, or found damaged just now (it is dropped and counted).
  Result<std::optional<Bytes>> get(std::string_view key) const EXCLUDES(mutex_);
  bool contains(std::string_view key) const EXCLUDES(mutex_);
  // Every key that starts with `prefix` and its value's size, in byte order; no lock is held.
  void for_each_key(std::string_view prefix,
                    const std::function<void(std::string_view key, std::uint64_t size)>& visit)
      const EXCLUDES(mutex_);
  // Gives the disk back what it can of a value's room; erase() the key first.
  void punch(std::uint64_t value_offset, std::uint64_t value_size) const;
  // erase(), then punch() of what was there.
  Result<void> erase_and_punch(std::string_view key) EXCLUDES(mutex_);

  // fdatasync. Blocks; never on a FUSE thread.
  Result<void> sync() EXCLUDES(mutex_);
  // Writes the live records to a new file that takes the place of this one, when more than half of
  // it is garbage. Blocks. Nobody else may use the log meanwhile.
  Result<void> compact_if_wasteful() EXCLUDES(mutex_);

  std::uint64_t file_bytes() const EXCLUDES(mutex_);
  // Damaged places met since open, at load or in get().
  std::uint64_t damaged() const EXCLUDES(mutex_);

 private:
  struct Location {
    std::uint64_t record = 0;  // offset of its header
    std::uint64_t record_size = 0;
    std::uint64_t value = 0;  // offset of the value
    std::uint32_t value_size = 0;
    std::uint64_t checksum = 0;
  };
  using Index = std::map<std::string, Location, std::less<>>;

  RecordLog(const Directory& directory, std::string name, Logger& log);
  Result<void> open_or_create();
  Result<void> make_writable() EXCLUDES(mutex_);
  Result<void> write_file_header(int fd) const;
  Result<void> load() EXCLUDES(mutex_);
  void apply(std::string_view key, const Location& location, bool erased) REQUIRES(mutex_);
  void forget_damaged(std::string_view key, const Location& location) const EXCLUDES(mutex_);
  Result<Bytes> read_value(std::string_view key, const Location& location) const;
  Bytes encode_header(std::string_view key, std::optional<ByteView> value) const;
  Result<void> rewrite_live(const Index& live) EXCLUDES(mutex_);

  const Directory& directory_;
  const std::string name_;
  Logger& log_;
  UniqueFd fd_;                          // changes only in compact_if_wasteful
  std::atomic<bool> read_only_ = false;  // fd_ is: the disk was when the file was opened
  std::uint64_t salt_ = 0;               // seeds every checksum: a value cannot forge a record
  std::atomic<bool> new_file_ = false;   // its name is not synced yet

  mutable Mutex mutex_;  // Lock rank: leaf.
  mutable Index index_ GUARDED_BY(mutex_);
  // Of erased keys: an erase that began later beats a put that finishes later.
  std::map<std::string, std::uint64_t, std::less<>> erased_at_ GUARDED_BY(mutex_);
  std::multiset<std::uint64_t> in_flight_ GUARDED_BY(mutex_);
  std::uint64_t end_ GUARDED_BY(mutex_) = 0;
  mutable std::uint64_t live_bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t trusted_limit_ GUARDED_BY(mutex_) = UINT64_MAX;  // a failed write lies here
  mutable std::uint64_t damaged_ GUARDED_BY(mutex_) = 0;
};

}  // namespace hubvfs::cache
