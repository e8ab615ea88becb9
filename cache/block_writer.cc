// SPDX-License-Identifier: Apache-2.0
#include "cache/block_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/blocking.h"
#include "base/text.h"
#include "cache/block_checksum.h"
#include "cache/eviction_lru.h"
#include "cache/sidecar.h"

namespace hubvfs::cache {
namespace {

// What concerns one file only (too large for the filesystem) says nothing about the disk.
bool is_disk_failure(const Error& error) {
  return error.code == ErrorCode::kNoSpace || error.code == ErrorCode::kIo ||
         error.code == ErrorCode::kReadOnly || error.code == ErrorCode::kPermissionDenied ||
         error.code == ErrorCode::kNotFound;
}

Result<void> set_size(int fd, const BlobEntry& entry) {
  if (::ftruncate(fd, static_cast<off_t>(entry.size())) == 0) return {};
  const int failure = errno;
  const std::string name = blob_file_name(entry.key());
  if (failure != EFBIG && failure != EINVAL) return system_error(failure, name);
  return {ErrorCode::kUnsupported, name + " is too large for the cache's filesystem"};
}

}  // namespace

BlockWriter::BlockWriter(StoreContext& context, IndexCommitter& committer)
    : context_(context), committer_(committer) {}

BlockWriter::~BlockWriter() { stop(); }

void BlockWriter::start(std::unique_ptr<OrphanSweep> sweep) {
  sweep_ = std::move(sweep);
  thread_ = std::thread([this] { run(); });
}

void BlockWriter::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void BlockWriter::queue(Job job) {
  MutexLock lock(mutex_);
  jobs_.push_back(std::move(job));
  ++queued_;
  changed_.notify_all();
}

void BlockWriter::write(const EntryPtr& entry, std::uint64_t block, std::uint64_t fill,
                        bool store) {
  queue({entry, true, store, block, fill, {}});
}

void BlockWriter::drop(const EntryPtr& entry, Blocks blocks) {
  queue({entry, false, false, 0, 0, std::move(blocks)});
}

void BlockWriter::drain() {
  assert_may_block("the cache's writer");
  MutexLock lock(mutex_);
  const std::uint64_t ticket = queued_;
  while (done_ < ticket) changed_.wait(mutex_);
}

void BlockWriter::run() {
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && jobs_.empty() && sweep_ == nullptr) changed_.wait(mutex_);
    if (jobs_.empty() && stopping_) return;
    if (jobs_.empty()) {
      mutex_.unlock();
      if (!sweep_->step()) sweep_.reset();
      mutex_.lock();
      continue;
    }
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    mutex_.unlock();
    if (job.write) {
      run_write(job);
    } else {
      run_drops({{job.entry, job.blocks}});
    }
    mutex_.lock();
    ++done_;
    changed_.notify_all();
  }
}

void BlockWriter::run_write(const Job& job) {
  const auto bytes = job.entry->pending(job.block, job.fill);
  if (job.store && bytes == nullptr) return;  // dropped meanwhile
  Result<void> stored(ErrorCode::kBusy, "");
  if (job.store && context_.disk.may_try()) {
    stored = store(job.entry, job.block, job.fill, *bytes);
    if (stored) {
      context_.disk.works();
      return;
    }
    if (is_disk_failure(stored.error())) context_.disk.failed(stored.error());
  }
  job.entry->forget(job.block, job.fill);
  ++context_.counters.unstored;
  retire_if_idle(job.entry);
}

Result<void> BlockWriter::store(const EntryPtr& entry, std::uint64_t block, std::uint64_t fill,
                                const Bytes& bytes) {
  if (auto room = make_room(bytes.size()); !room) return room;
  const std::uint64_t checksum = block_checksum(entry->key(), block, bytes);
  Result<void> written;
  if (entry->small()) {
    written = context_.small.put(entry->key(), bytes);
  } else if (auto file = data_file(entry); file) {
    written = write_fully((*file)->get(), bytes, block * context_.block_size);
  } else {
    written = file.error();
  }
  if (!written) {
    context_.quota.give_back(bytes.size());
    return written;
  }
  switch (entry->written(block, fill, checksum)) {
    case BlobEntry::Written::kYes:
      break;
    case BlobEntry::Written::kOverDropped:
      context_.quota.give_back(bytes.size());  // counted once for the block before, once for this
      break;
    case BlobEntry::Written::kGone:
      punch(entry, {block});
      context_.quota.give_back(bytes.size());
      return {};
  }
  committer_.filled(entry, block, fill);
  return {};
}

Result<FileCache::File> BlockWriter::data_file(const EntryPtr& entry) {
  const std::string name = blob_file_name(entry->key());
  if (entry->on_disk()) {
    auto file = context_.files.open_to_write(entry->number(), name);
    if (file) file = as_we_made_it(entry, *file);
    if (file || file.error().code != ErrorCode::kNotFound) return file;
    // Somebody removed it: in one that is made anew its blocks would read as zeros.
    context_.files.forget(entry->number());
    entry->set_on_disk(false);
    run_drops({{entry, entry->drop_stored()}});
    if (context_.table.find(entry->key()) != entry) return {ErrorCode::kBusy, "nobody has it open"};
  }
  auto space = context_.blobs.make_directory(entry->key().space);
  if (!space) return space.error();
  auto directory = space->make_directory(entry->key().content.hex().substr(0, 2));
  if (!directory) return directory.error();
  auto file = context_.files.create(entry->number(), name);
  if (!file) return file;
  if (auto sized = set_size((*file)->get(), *entry); !sized) return sized.error();
  entry->set_on_disk(true);
  return file;
}

// A data file that is still there, whole; one that somebody cut is made as long as it was.
// kNotFound: it was removed.
Result<FileCache::File> BlockWriter::as_we_made_it(const EntryPtr& entry,
                                                   const FileCache::File& file) {
  struct stat info {};
  if (::fstat(file->get(), &info) != 0) return system_error(errno, blob_file_name(entry->key()));
  if (info.st_nlink == 0) return {ErrorCode::kNotFound, "removed"};
  if (static_cast<std::uint64_t>(info.st_size) >= entry->size()) return file;
  entry->mark_unchecked();  // before what was cut off can be read, as zeros
  if (auto sized = set_size(file->get(), *entry); !sized) return sized.error();
  return file;
}

Result<void> BlockWriter::make_room(std::uint64_t bytes) {
  if (bytes > context_.quota.limit()) return {ErrorCode::kBusy, "larger than the cache's limit"};
  if (const std::uint64_t excess = context_.quota.to_evict(bytes); excess > 0) evict(excess);
  auto space = context_.blobs.space();
  if (!space) return space.error();
  if (const std::uint64_t excess = Quota::to_evict(*space, bytes); excess > 0) {
    evict(excess);
    space = context_.blobs.space();
    if (!space) return space.error();
    if (Quota::to_evict(*space, bytes) > 0) {
      return {ErrorCode::kNoSpace, "only " + human_bytes(space->available) + " are free"};
    }
  }
  if (context_.quota.reserve(bytes)) return {};
  // What came in the last second is not indexed yet, and only what is indexed can be evicted.
  if (auto flushed = committer_.flush(); !flushed) return flushed;
  evict(context_.quota.to_evict(bytes));
  if (context_.quota.reserve(bytes)) return {};
  return {ErrorCode::kBusy, "the cache's limit is reached"};
}

void BlockWriter::evict(std::uint64_t bytes) {
  const auto entries = context_.table.snapshot();
  std::vector<EvictionCandidate> candidates;
  std::vector<bool> complete;
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    complete.push_back(entries[i]->for_each_evictable(
        [&](std::uint64_t block, std::uint64_t epoch, std::uint32_t length) {
          candidates.push_back({i, length, block, epoch});
        }));
  }
  std::map<std::uint32_t, Blocks> victims;
  for (const auto& victim : choose_lru(std::move(candidates), complete, bytes)) {
    victims[victim.blob].push_back(victim.block);
  }
  Drops drops;
  for (auto& [index, blocks] : victims) {
    std::sort(blocks.begin(), blocks.end());
    Blocks dropped = entries[index]->drop_indexed(blocks);
    context_.counters.evicted += dropped.size();
    if (!dropped.empty()) drops.emplace_back(entries[index], std::move(dropped));
  }
  run_drops(std::move(drops));
}

// Index record first, then sidecar and hole.
void BlockWriter::run_drops(Drops drops) {
  for (auto& [entry, blocks] : drops) blocks = entry->still_dropped(blocks);
  const bool any = std::any_of(drops.begin(), drops.end(), [](const auto& drop) {
    return !drop.first->small() && !drop.second.empty();
  });
  // If the index refuses, the holes are punched all the same: a record without its block is found
  // out by the checksum, a disk that stays full is not helped by anything else.
  if (any) (void)committer_.erase_now(drops).has_value();
  for (const auto& [entry, blocks] : drops) {
    if (!blocks.empty()) punch(entry, blocks);
    context_.quota.give_back(entry->punched(blocks));
    retire_if_idle(entry);
  }
}

void BlockWriter::punch(const EntryPtr& entry, const Blocks& blocks) {
  if (entry->small()) {
    if (auto dropped = context_.small.drop(entry->key()); !dropped) {
      context_.disk.failed(dropped.error());
    }
    return;
  }
  const std::string map = blob_file_name(entry->key()) + std::string(kSidecarSuffix);
  if (auto fd = context_.blobs.open_file(map, O_RDWR); fd) {
    if (auto cleared = clear_sidecar(fd->get(), blocks); !cleared) {
      context_.disk.failed(cleared.error());
    }
  }
  punch_file(entry, blocks);
}

void BlockWriter::punch_file(const EntryPtr& entry, const Blocks& blocks) {
  auto file = context_.files.open_to_write(entry->number(), blob_file_name(entry->key()));
  if (!file) return;
  for (std::size_t i = 0; i < blocks.size();) {
    const std::uint64_t first = blocks[i];
    std::uint64_t count = 0;
    while (i < blocks.size() && blocks[i] == first + count) ++i, ++count;
    const auto offset = static_cast<off_t>(first * context_.block_size);
    const auto length = static_cast<off_t>(count * context_.block_size);
    if (::fallocate((*file)->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) ==
        0) {
      continue;
    }
    context_.disk.failed(system_error(errno, "punching a hole"));
    return;
  }
}

void BlockWriter::retire_if_idle(const EntryPtr& entry) {
  if (!entry->idle() || !context_.table.retire(*entry)) return;
  if (!entry->on_disk()) return;
  const std::string name = blob_file_name(entry->key());
  committer_.retired(entry->key());
  context_.files.forget(entry->number());
  for (const std::string& file : {name, name + std::string(kSidecarSuffix)}) {
    if (auto removed = context_.blobs.remove_file(file); !removed) {
      context_.disk.failed(removed.error());
    }
  }
}

}  // namespace hubvfs::cache
