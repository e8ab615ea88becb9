// SPDX-License-Identifier: Apache-2.0
#include "cache/record_log.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/blocking.h"
#include "cache/block_checksum.h"
#include "cache/record_format.h"
#include "cache/record_scan.h"

namespace hubvfs::cache {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kWorthCompacting = 64u << 10;

Bytes encode_synced(std::uint64_t salt, std::uint64_t size) {
  ByteWriter note;
  note.integer(size);
  note.integer(checksum64(salt, note.bytes()));
  return note.take();
}

std::uint64_t decode_synced(std::uint64_t salt, ByteView note) {
  ByteReader reader(note);
  const auto size = reader.integer<std::uint64_t>();
  const bool right = reader.integer<std::uint64_t>() == checksum64(salt, note.first(8));
  return right ? size : 0;
}

}  // namespace

RecordLog::RecordLog(const Directory& directory, std::string name, Logger& log)
    : directory_(directory), name_(std::move(name)), log_(log) {}

Result<std::unique_ptr<RecordLog>> RecordLog::open(const Directory& directory,
                                                   const std::string& name, Logger& log) {
  std::unique_ptr<RecordLog> made(new RecordLog(directory, name, log));
  if (auto opened = made->open_or_create(); !opened) return opened.error();
  if (auto loaded = made->load(); !loaded) return loaded.error();
  return made;
}

Result<void> RecordLog::write_file_header(int fd) const {
  ByteWriter header;
  header.integer(kLogMagic);
  header.integer(salt_);
  header.integer(checksum64(0, header.bytes()));
  header.raw(encode_synced(salt_, kLogHeaderSize));
  Bytes bytes = header.take();
  bytes.resize(kLogHeaderSize);
  return write_fully(fd, bytes, 0);
}

Result<void> RecordLog::open_or_create() {
  auto fd = directory_.open_file(name_, O_RDWR | O_CREAT);
  if (!fd && fd.error().code == ErrorCode::kReadOnly) {
    fd = directory_.open_file(name_, O_RDONLY);
    read_only_ = fd.has_value();
  }
  if (!fd) return fd.error();
  fd_ = std::move(*fd);
  Bytes bytes(kLogHeaderSize);
  auto read = read_fully(fd_.get(), bytes, 0);
  if (!read && read.error().code != ErrorCode::kCorrupt) return read;  // not short: unreadable now
  if (read) {
    ByteReader reader(bytes);
    const auto magic = reader.integer<std::uint64_t>();
    salt_ = reader.integer<std::uint64_t>();
    const auto checksum = reader.integer<std::uint64_t>();
    if (magic == kLogMagic && checksum == checksum64(0, ByteView(bytes).first(16))) return {};
    log_.warning("cache: " + name_ + " has a damaged header; kept as " + name_ + ".bad");
    if (auto moved = directory_.rename(name_, name_ + ".bad"); !moved) return moved;
    fd = directory_.open_file(name_, O_RDWR | O_CREAT);
    if (!fd) return fd.error();
    fd_ = std::move(*fd);
    MutexLock lock(mutex_);
    ++damaged_;
  }
  if (::getrandom(&salt_, sizeof salt_, 0) != sizeof salt_) return system_error(errno, "getrandom");
  if (::ftruncate(fd_.get(), 0) != 0) return system_error(errno, name_);
  new_file_ = true;
  return write_file_header(fd_.get());
}

Result<void> RecordLog::make_writable() {
  if (!read_only_) return {};
  auto fd = directory_.open_file(name_, O_RDWR);
  if (!fd) return fd.error();
  // The descriptor keeps its number: others may be reading from it.
  if (::dup3(fd->get(), fd_.get(), O_CLOEXEC) < 0) return system_error(errno, name_);
  read_only_ = false;
  return {};
}

Result<void> RecordLog::load() {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) return system_error(errno, name_);
  Bytes header(kLogHeaderSize);
  if (auto read = read_fully(fd_.get(), header, 0); !read) return read;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  std::uint64_t synced = decode_synced(salt_, ByteView(header).subspan(kSyncedOffset, 16));
  // Somebody cut it. The note must not vouch for a record that was cut off in its middle, once
  // others lie where the rest of it was.
  const bool cut = synced > size;
  if (cut) synced = kLogHeaderSize;
  RecordScan scan(fd_.get(), size, salt_, synced);
  while (auto record = scan.next()) {
    const Location location{record->offset, record_size(record->key.size(), record->value_size),
                            record->offset + kRecordHeaderSize + record->key.size(),
                            record->value_size, record->value_checksum};
    MutexLock lock(mutex_);
    apply(record->key, location, record->kind == RecordKind::kErase);
  }
  if (!scan.failure().has_value()) return scan.failure();
  if (scan.skipped_bytes() > 0) {
    log_.warning("cache: skipped " + std::to_string(scan.skipped_bytes()) +
                 " torn or damaged bytes of " + name_);
  }
  if (cut && !read_only_) {
    auto noted = write_fully(fd_.get(), encode_synced(salt_, kLogHeaderSize), kSyncedOffset);
    if (!noted) log_.warning("cache: " + name_ + ": " + noted.error().context);  // sync() writes it
  }
  MutexLock lock(mutex_);
  erased_at_.clear();
  damaged_ += scan.skipped_places();
  // Behind everything there is, torn or not: a torn tail must not swallow the next record.
  end_ = (size + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
  // A torn record stays in the file: the next load must look at it as closely as this one did.
  if (scan.first_unsynced_damage()) trusted_limit_ = *scan.first_unsynced_damage();
  return {};
}

void RecordLog::apply(std::string_view key, const Location& location, bool erased) {
  const auto at = index_.find(key);
  if (at != index_.end()) {
    if (at->second.record > location.record) return;
    live_bytes_ -= at->second.record_size;
    index_.erase(at);
  }
  const auto gone = erased_at_.find(key);
  if (gone != erased_at_.end()) {
    if (gone->second > location.record) return;
    erased_at_.erase(gone);
  }
  if (erased) {
    // Only needed against a put that began earlier and has not finished yet.
    if (!in_flight_.empty()) erased_at_.emplace(key, location.record);
    return;
  }
  live_bytes_ += location.record_size;
  index_.emplace(key, location);
}

Bytes RecordLog::encode_header(std::string_view key, std::optional<ByteView> value) const {
  ByteWriter head;
  head.integer(kRecordMagic);
  head.integer(static_cast<std::uint32_t>(value ? RecordKind::kPut : RecordKind::kErase));
  head.integer(static_cast<std::uint32_t>(key.size()));
  head.integer(static_cast<std::uint32_t>(value ? value->size() : 0));
  head.integer(checksum64(salt_, as_bytes(key), value.value_or(ByteView())));
  head.integer(checksum64(salt_, head.bytes(), as_bytes(key)));
  head.raw(as_bytes(key));
  return head.take();
}

Result<void> RecordLog::put(std::string_view key, ByteView value) {
  if (key.empty() || key.size() > kMaxKey || value.size() > kMaxValue) {
    return {ErrorCode::kInvalidArgument, "a record beyond the limits"};
  }
  return finish(begin(key, value.size()), key, value);
}

Result<void> RecordLog::erase(std::string_view key) {
  if (!contains(key)) return {};
  return finish(begin(key, 0), key, std::nullopt);
}

RecordLog::Ticket RecordLog::begin(std::string_view key, std::size_t value_size) {
  const std::uint64_t size = record_size(key.size(), value_size);
  MutexLock lock(mutex_);
  const Ticket ticket{end_, size};
  end_ += size;
  in_flight_.insert(ticket.offset);
  return ticket;
}

Result<void> RecordLog::finish(Ticket ticket, std::string_view key, std::optional<ByteView> value) {
  Bytes bytes = encode_header(key, value);
  const std::uint64_t value_size = value ? value->size() : 0;
  ByteReader reader(bytes);
  const RecordHeader header = *decode_record_header(reader.raw(kRecordHeaderSize));
  Result<void> written = make_writable();
  if (!written) {
    // As a disk that refuses the bytes.
  } else if (value_size <= kPage) {  // one call for what is small, no copy of what is not
    if (value) bytes.insert(bytes.end(), value->begin(), value->end());
    bytes.resize(ticket.size);
    written = write_fully(fd_.get(), bytes, ticket.offset);
  } else {
    written = write_fully(fd_.get(), bytes, ticket.offset);
    if (written) written = write_fully(fd_.get(), *value, ticket.offset + bytes.size());
  }

  MutexLock lock(mutex_);
  in_flight_.erase(in_flight_.find(ticket.offset));
  if (!written) {
    trusted_limit_ = std::min(trusted_limit_, ticket.offset);
    if (end_ == ticket.offset + ticket.size) end_ = ticket.offset;
  } else {
    apply(key,
          {ticket.offset, ticket.size, ticket.offset + kRecordHeaderSize + key.size(),
           header.value_size, header.value_checksum},
          !value.has_value());
  }
  if (in_flight_.empty()) erased_at_.clear();
  return written;
}

void RecordLog::forget_damaged(std::string_view key, const Location& location) const {
  MutexLock lock(mutex_);
  ++damaged_;
  const auto at = index_.find(key);
  if (at == index_.end() || at->second.record != location.record) return;
  live_bytes_ -= at->second.record_size;
  index_.erase(at);
}

Result<Bytes> RecordLog::read_value(std::string_view key, const Location& location) const {
  Bytes value(location.value_size);
  if (auto read = read_fully(fd_.get(), value, location.value); !read) return read.error();
  if (checksum64(salt_, as_bytes(key), value) != location.checksum) {
    return {ErrorCode::kCorrupt, "a damaged value"};
  }
  return value;
}

Result<std::optional<Bytes>> RecordLog::get(std::string_view key) const {
  Location location;
  {
    MutexLock lock(mutex_);
    const auto at = index_.find(key);
    if (at == index_.end()) return std::optional<Bytes>();
    location = at->second;
  }
  auto value = read_value(key, location);
  if (value) return std::optional<Bytes>(std::move(*value));
  // A disk that fails now may read it another time.
  if (value.error().code == ErrorCode::kCorrupt) forget_damaged(key, location);
  log_.warning("cache: " + name_ + ": " + value.error().context);
  return std::optional<Bytes>();
}

bool RecordLog::contains(std::string_view key) const {
  MutexLock lock(mutex_);
  return index_.find(key) != index_.end();
}

void RecordLog::for_each_key(
    std::string_view prefix,
    const std::function<void(std::string_view key, std::uint64_t size)>& visit) const {
  std::vector<std::pair<std::string, std::uint64_t>> found;
  {
    MutexLock lock(mutex_);
    for (auto at = index_.lower_bound(prefix); at != index_.end() && at->first.starts_with(prefix);
         ++at) {
      found.emplace_back(at->first, at->second.value_size);
    }
  }
  for (const auto& [key, size] : found) visit(key, size);
}

void RecordLog::punch(std::uint64_t value_offset, std::uint64_t value_size) const {
  const std::uint64_t begin = (value_offset + kPage - 1) / kPage * kPage;
  const std::uint64_t end = (value_offset + value_size) / kPage * kPage;
  if (begin >= end) return;
  // Room is all it is about: a filesystem that cannot do it keeps it until the log is compacted.
  (void)::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(begin), static_cast<off_t>(end - begin));
}

Result<void> RecordLog::erase_and_punch(std::string_view key) {
  Location location;
  {
    MutexLock lock(mutex_);
    const auto at = index_.find(key);
    if (at == index_.end()) return {};
    location = at->second;
  }
  auto erased = erase(key);
  if (erased) punch(location.value, location.value_size);
  return erased;
}

Result<void> RecordLog::sync() {
  assert_may_block("fdatasync");
  std::uint64_t safe = 0;
  {
    MutexLock lock(mutex_);
    safe = std::min(end_, trusted_limit_);
    if (!in_flight_.empty()) safe = std::min(safe, *in_flight_.begin());
  }
  if (auto writable = make_writable(); !writable) return writable;
  if (::fdatasync(fd_.get()) != 0) {
    // The kernel may have dropped the pages: the next load has to look at each record.
    const int failure = errno;
    MutexLock lock(mutex_);
    trusted_limit_ = 0;
    return system_error(failure, "fdatasync of " + name_);
  }
  if (new_file_) {
    if (auto synced = directory_.sync(); !synced) return synced;
    new_file_ = false;
  }
  return write_fully(fd_.get(), encode_synced(salt_, safe), kSyncedOffset);
}

Result<void> RecordLog::compact_if_wasteful() {
  Index live;
  {
    MutexLock lock(mutex_);
    const std::uint64_t records = end_ - kLogHeaderSize;
    if (records < kWorthCompacting || live_bytes_ * 2 >= records) return {};
    live = index_;
  }
  return rewrite_live(live);
}

Result<void> RecordLog::rewrite_live(const Index& live) {
  assert_may_block("the compaction of a log");
  const std::string temporary = name_ + ".new";
  auto fd = directory_.open_file(temporary, O_RDWR | O_CREAT | O_TRUNC);
  if (!fd) return fd.error();
  if (auto made = write_file_header(fd->get()); !made) return made;
  Index moved;
  std::uint64_t end = kLogHeaderSize;
  for (const auto& [key, location] : live) {
    const auto value = read_value(key, location);
    if (!value && value.error().code != ErrorCode::kCorrupt) return value.error();
    if (!value) continue;  // damaged: the copy is better without it
    Bytes record = encode_header(key, ByteView(*value));
    record.insert(record.end(), value->begin(), value->end());
    record.resize(record_size(key.size(), value->size()));
    if (auto written = write_fully(fd->get(), record, end); !written) return written;
    moved.emplace(key, Location{end, record.size(), end + kRecordHeaderSize + key.size(),
                                location.value_size, location.checksum});
    end += record.size();
  }
  if (::fsync(fd->get()) != 0) return system_error(errno, "fsync of " + temporary);
  if (auto synced = write_fully(fd->get(), encode_synced(salt_, end), kSyncedOffset); !synced) {
    return synced;
  }
  if (auto renamed = directory_.rename(temporary, name_); !renamed) return renamed;
  fd_ = std::move(*fd);
  {
    MutexLock lock(mutex_);
    index_ = std::move(moved);
    live_bytes_ = end - kLogHeaderSize;
    end_ = end;
    trusted_limit_ = UINT64_MAX;
  }
  return directory_.sync();
}

std::uint64_t RecordLog::file_bytes() const {
  MutexLock lock(mutex_);
  return end_;
}

std::uint64_t RecordLog::damaged() const {
  MutexLock lock(mutex_);
  return damaged_;
}

}  // namespace hubvfs::cache
