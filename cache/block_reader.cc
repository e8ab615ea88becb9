// SPDX-License-Identifier: Apache-2.0
#include "cache/block_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cache/block_checksum.h"
#include "cache/index_records.h"

namespace hubvfs::cache {
namespace {
constexpr int kAttempts = 16;
constexpr std::size_t kKeptBuffers = 8;

// Whether a page of it is all zeros. One that the kernel could not write, and forgot, reads so,
// without an error (seen with ext4, whose delayed allocation failed).
bool has_zero_page(std::uint64_t offset, std::span<const std::byte> bytes) {
  constexpr std::uint64_t kPage = 4096;
  while (!bytes.empty()) {
    const auto page = bytes.first(std::min<std::uint64_t>(kPage - offset % kPage, bytes.size()));
    if (std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{0}; })) {
      return true;
    }
    offset += page.size();
    bytes = bytes.subspan(page.size());
  }
  return false;
}

// A block that is being read, until end().
class OpenRead {
 public:
  OpenRead(BlobEntry& entry, const BlobEntry::Found& found) : entry_(entry), found_(found) {}
  ~OpenRead() {
    if (!ended_) entry_.finish_read(found_, false);
  }
  OpenRead(const OpenRead&) = delete;
  OpenRead& operator=(const OpenRead&) = delete;
  bool end(bool right) {
    ended_ = true;
    return entry_.finish_read(found_, right);
  }

 private:
  BlobEntry& entry_;
  const BlobEntry::Found& found_;
  bool ended_ = false;
};

}  // namespace

Result<void> BlockReader::read(const std::shared_ptr<BlobEntry>& entry, std::uint64_t block,
                               std::uint64_t within, std::span<std::byte> out,
                               const EndpointId* viewer) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const BlobEntry::Found found = entry->find(block, viewer);
    if (found.where == BlobEntry::Found::kAbsent) break;
    if (found.where == BlobEntry::Found::kMemory) {
      std::memcpy(out.data(), found.bytes->data() + within, out.size());
      return {};
    }
    OpenRead open_read(*entry, found);
    auto read = read_disk(*entry, block, found, within, out);
    // A block that was dropped meanwhile may have been punched under the read.
    if (!open_read.end(read.has_value())) continue;
    if (read) return {};
    if (read.error().code == ErrorCode::kBusy) return {ErrorCode::kIo, read.error().context};
    drop(entry, found, read.error());
    if (read.error().code == ErrorCode::kIo) return read;
    break;
  }
  return {ErrorCode::kNotFound, "block " + std::to_string(block) + " is not in the cache"};
}

Result<void> BlockReader::examine(BlobEntry& entry, std::uint64_t block, std::span<std::byte> out,
                                  BlobEntry::Found& found) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    found = entry.peek(block);
    if (found.where != BlobEntry::Found::kDisk) break;
    found.checked = false;
    auto read = read_disk(entry, block, found, 0, out);
    if (entry.finish_read(found, read.has_value())) return read;
  }
  return {ErrorCode::kCancelled, "the block is not on the disk any more"};
}

void BlockReader::drop(const std::shared_ptr<BlobEntry>& entry, const BlobEntry::Found& found,
                       const Error& why) {
  std::vector<std::uint64_t> dropped;
  if (why.code == ErrorCode::kNotFound) {  // the whole file is gone
    if (auto all = entry->drop_all_if(found.generation)) dropped = std::move(*all);
    entry->set_on_disk(false);
  } else if (entry->drop_block(found)) {
    dropped.push_back(found.block);
  }
  if (dropped.empty()) return;
  context_.counters.corrupt += dropped.size();
  context_.log.warning("cache: dropped block " + std::to_string(found.block) + " of " +
                       entry->key().content.to_string() + ": " + why.context);
  on_damage_(entry, std::move(dropped));
}

Result<void> BlockReader::read_disk(const BlobEntry& entry, std::uint64_t block,
                                    const BlobEntry::Found& found, std::uint64_t within,
                                    std::span<std::byte> out) {
  if (entry.small()) return read_small(entry, within, out);
  auto file = context_.files.open(entry.number(), blob_file_name(entry.key()));
  if (!file) {
    const ErrorCode code = file.error().code;
    // Only what says that the file is not ours any more condemns it; too many open files do not.
    if (code == ErrorCode::kNotFound || code == ErrorCode::kPermissionDenied) return file.error();
    return {ErrorCode::kBusy, file.error().context};
  }
  if (!found.checked) return read_checked(entry, (*file)->get(), block, found, within, out);
  auto read = read_fully((*file)->get(), out, block * context_.block_size + within);
  if (!read || found.synced || !has_zero_page(within, out)) return read;
  return read_checked(entry, (*file)->get(), block, found, within, out);
}

Result<void> BlockReader::read_small(const BlobEntry& entry, std::uint64_t within,
                                     std::span<std::byte> out) {
  auto content = context_.small.get(entry.key());
  if (!content) return content.error();
  if (!content->has_value() || (*content)->size() != entry.size()) {
    return {ErrorCode::kCorrupt, "its record is damaged"};
  }
  std::memcpy(out.data(), (*content)->data() + within, out.size());
  return {};
}

Result<void> BlockReader::read_checked(const BlobEntry& entry, int fd, std::uint64_t block,
                                       const BlobEntry::Found& found, std::uint64_t within,
                                       std::span<std::byte> out) {
  const std::uint64_t length = entry.length(block);
  const bool whole = out.size() == length;
  std::unique_ptr<Bytes> buffer = whole ? nullptr : take_buffer();
  std::span<std::byte> into = out;
  if (!whole) into = std::span(*buffer).first(length);
  auto read = read_fully(fd, into, block * context_.block_size);
  if (read && block_checksum(entry.key(), block, into) != found.checksum) {
    read = Error{ErrorCode::kCorrupt, "its checksum is wrong"};
  }
  if (!whole) {
    if (read) std::memcpy(out.data(), into.data() + within, out.size());
    give_buffer(std::move(buffer));
  }
  return read;
}

std::unique_ptr<Bytes> BlockReader::take_buffer() {
  {
    MutexLock lock(mutex_);
    if (!buffers_.empty()) {
      auto buffer = std::move(buffers_.back());
      buffers_.pop_back();
      return buffer;
    }
  }
  return std::make_unique<Bytes>(context_.block_size);
}

void BlockReader::give_buffer(std::unique_ptr<Bytes> buffer) {
  MutexLock lock(mutex_);
  if (buffers_.size() < kKeptBuffers) buffers_.push_back(std::move(buffer));
}

}  // namespace hubvfs::cache
