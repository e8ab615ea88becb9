// SPDX-License-Identifier: Apache-2.0
#include "cache/starting_blob.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cache/block_checksum.h"
#include "cache/index_records.h"
#include "cache/names.h"

namespace hubvfs::cache {

StartingBlob::StartingBlob(StartingContext& context, BlobKey key, const std::string& endpoint)
    : context_(context), key_(std::move(key)), endpoint_(endpoint) {
  if (context_.small.contains(key_)) {
    MutexLock lock(mutex_);
    stored_bytes_ = key_.content.size();
    stored_[0] = {0, true, static_cast<std::uint32_t>(stored_bytes_), 0};
  } else {
    read_sidecar_of();
  }
}

StartingBlob::~StartingBlob() {
  Puts removed;
  MutexLock lock(mutex_);
  removed = take_puts();
}

void StartingBlob::read_sidecar_of() {
  const std::string name = blob_file_name(key_) + std::string(kSidecarSuffix);
  auto file = context_.blobs.open_file(name, O_RDONLY);
  if (!file) return;
  const auto sidecar = read_sidecar(file->get(), key_.content);
  if (!sidecar || sidecar->header.block_size != context_.block_size) return;
  const bool own = sidecar->header.owner == EndpointId::of(endpoint_);
  MutexLock lock(mutex_);
  for (const SidecarBlock& block : sidecar->blocks) {
    const auto length = block_length(key_.content.size(), context_.block_size, block.block);
    if ((!block.trusted && !own) || block.length == 0 || block.length != length) continue;
    stored_.emplace(block.block, block);
    stored_bytes_ += length;
  }
}

Result<void> StartingBlob::become(BlobStore& store) {
  auto opened = store.open(key_, endpoint_);
  if (!opened) return opened.error();
  owned_ = std::move(*opened);
  Puts handed_on;  // readers find them here until real_ is set
  while (true) {
    Puts more;
    Puts removed;  // without the lock: whoever counts their buffers is told
    bool dropped = false;
    {
      MutexLock lock(mutex_);
      dropped = std::exchange(dropped_, false);
      if (dropped) removed.swap(handed_on);
      for (const auto& put : puts_) {
        if (handed_on.insert(put).second) more.insert(put);
      }
      if (!dropped && more.empty()) {
        real_ = owned_.get();
        removed = take_puts();
        return {};
      }
    }
    if (dropped) owned_->drop();
    for (const auto& [block, bytes] : more) owned_->put(block, bytes);
  }
}

bool StartingBlob::has(std::uint64_t block) const {
  if (const Blob* blob = real()) return blob->has(block);
  MutexLock lock(mutex_);
  return puts_.contains(block) || stored_.contains(block);
}

std::uint64_t StartingBlob::cached_bytes() const {
  if (const Blob* blob = real()) return blob->cached_bytes();
  MutexLock lock(mutex_);
  return stored_bytes_ + put_bytes_;
}

bool StartingBlob::complete() const { return cached_bytes() == key_.content.size(); }

bool StartingBlob::verified() const {
  const Blob* blob = real();
  return blob != nullptr && blob->verified();
}

bool StartingBlob::sealed() const {
  const Blob* blob = real();
  return blob != nullptr && blob->sealed();
}

Result<std::string> StartingBlob::sealed_file() {
  if (Blob* blob = real()) return blob->sealed_file();
  return {ErrorCode::kNotFound, "the index is still being read"};
}

Result<void> StartingBlob::read(std::uint64_t offset, std::span<std::byte> out) {
  if (Blob* blob = real()) return blob->read(offset, out);
  if (!lies_within(offset, out.size(), key_.content.size())) {
    return {ErrorCode::kInvalidArgument, "read beyond the end of a blob"};
  }
  while (!out.empty()) {
    const std::uint64_t block = offset / context_.block_size;
    const std::uint64_t within = offset % context_.block_size;
    const std::uint64_t length =
        block_length(key_.content.size(), context_.block_size, block) - within;
    const std::size_t size = std::min<std::size_t>(out.size(), length);
    auto read = read_block(block, within, out.first(size));
    ++(read ? context_.hits : context_.misses);
    if (!read) return read;
    out = out.subspan(size);
    offset += size;
  }
  return {};
}

Result<void> StartingBlob::read_block(std::uint64_t block, std::uint64_t within,
                                      std::span<std::byte> out) {
  const Error absent{ErrorCode::kNotFound,
                     "block " + std::to_string(block) + " is not in the cache"};
  SidecarBlock stored;
  std::shared_ptr<const Bytes> put;
  {
    MutexLock lock(mutex_);
    if (const auto waiting = puts_.find(block); waiting != puts_.end()) put = waiting->second;
    if (const auto at = stored_.find(block); at != stored_.end()) stored = at->second;
  }
  if (put != nullptr) {
    std::memcpy(out.data(), put->data() + within, out.size());
    return {};
  }
  if (stored.length == 0) return absent;
  auto read = read_stored(stored, within, out);
  if (read) return read;
  // Damaged, or its file is gone: the store will find that out for itself.
  MutexLock lock(mutex_);
  if (stored_.erase(block) > 0) stored_bytes_ -= stored.length;
  return read.error().code == ErrorCode::kIo ? read : absent;
}

Result<void> StartingBlob::read_stored(const SidecarBlock& stored, std::uint64_t within,
                                       std::span<std::byte> out) {
  Bytes whole(stored.length);
  if (context_.small.contains(key_)) {
    auto content = context_.small.get(key_);  // which checks it
    if (!content) return content.error();
    if (!content->has_value() || (*content)->size() != stored.length) {
      return {ErrorCode::kCorrupt, "its record is damaged"};
    }
    whole = std::move(**content);
  } else {
    auto file = context_.blobs.open_file(blob_file_name(key_), O_RDONLY);
    if (!file) return file.error();
    auto read = read_fully(file->get(), whole, stored.block * context_.block_size);
    if (!read) return read;
    if (block_checksum(key_, stored.block, whole) != stored.checksum) {
      return {ErrorCode::kCorrupt, "its checksum is wrong"};
    }
  }
  std::memcpy(out.data(), whole.data() + within, out.size());
  return {};
}

bool StartingBlob::put(std::uint64_t block, std::shared_ptr<const Bytes> bytes) {
  if (!is_whole_block(key_.content, context_.block_size, block, bytes)) {
    bug("a block of the wrong size for " + key_.content.to_string());
    return false;
  }
  {
    MutexLock lock(mutex_);
    if (real() == nullptr) {
      if (puts_.contains(block) || stored_.contains(block)) return whole_here();
      if (context_.put_bytes + bytes->size() > context_.put_limit) return false;  // forgotten
      put_bytes_ += bytes->size();
      context_.put_bytes += bytes->size();
      puts_.emplace(block, std::move(bytes));
      return whole_here();
    }
  }
  return real()->put(block, std::move(bytes));
}

void StartingBlob::drop() {
  {
    Puts removed;
    MutexLock lock(mutex_);
    if (real() == nullptr) {
      dropped_ = true;
      stored_.clear();
      stored_bytes_ = 0;
      removed = take_puts();
      return;
    }
  }
  real()->drop();
}

bool StartingBlob::whole_here() const { return stored_bytes_ + put_bytes_ == key_.content.size(); }

StartingBlob::Puts StartingBlob::take_puts() {
  context_.put_bytes -= put_bytes_;
  put_bytes_ = 0;
  return std::exchange(puts_, {});
}

}  // namespace hubvfs::cache
