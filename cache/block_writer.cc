// SPDX-License-Identifier: Apache-2.0
#include "cache/block_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/blocking.h"
#include "base/text.h"
#include "cache/block_checksum.h"
#include "cache/index_records.h"

namespace hubvfs::cache {
namespace {

constexpr std::size_t kEvictedAtOnce = 1024;  // blocks
constexpr std::chrono::seconds kNoRoomFor{1};

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
    : context_(context), committer_(committer), puncher_(context, committer), evictor_(context) {}

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
  queue({entry, true, store, block, fill, {}, {}});
}

void BlockWriter::drop(const EntryPtr& entry, Blocks blocks) {
  queue({entry, false, false, 0, 0, std::move(blocks), {}});
}

void BlockWriter::run_task(std::function<void()> task) {
  assert_may_block("the cache's writer");
  MutexLock lock(mutex_);
  jobs_.push_back({nullptr, false, false, 0, 0, {}, std::move(task)});
  const std::uint64_t ticket = ++queued_;
  changed_.notify_all();
  while (done_ < ticket) changed_.wait(mutex_);
}

std::uint64_t BlockWriter::evict(const EntryPtr& entry) {
  std::uint64_t freed = 0;
  run_task([&] { freed = puncher_.punch({{entry, entry->drop_all()}}); });
  return freed;
}

std::uint64_t BlockWriter::prune(const PruneOptions& options) {
  std::uint64_t freed = 0;
  run_task([&] {
    // Only what is indexed can be evicted.
    if (auto flushed = committer_.flush(); !flushed) context_.index.failed(flushed.error());
    if (options.older_than) {
      evictor_.plan_unused_for(*options.older_than, false);
      freed += evict_planned();
    }
    const std::uint64_t used = context_.quota.used();
    if (options.to_bytes && used > *options.to_bytes) {
      evictor_.plan(used - *options.to_bytes);
      freed += evict_planned();
    }
  });
  return freed;
}

void BlockWriter::keep_house() {
  MutexLock lock(mutex_);
  if (std::exchange(house_waits_, true)) return;
  jobs_.push_back({nullptr, false, false, 0, 0, {}, [this] { look_after_house(); }});
  ++queued_;
  changed_.notify_all();
}

void BlockWriter::drain() {
  assert_may_block("the cache's writer");
  MutexLock lock(mutex_);
  const std::uint64_t ticket = queued_;
  while (done_ < ticket || evicting_) changed_.wait(mutex_);
}

void BlockWriter::run() {
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && jobs_.empty() && !evicting_ && sweep_ == nullptr) changed_.wait(mutex_);
    if (jobs_.empty() && stopping_) break;
    const bool has_job = !jobs_.empty();
    Job job;
    if (has_job) {
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    const bool evicting = evicting_;
    mutex_.unlock();
    if (has_job) {
      run_job(job);
    } else if (evicting) {
      evict_some();
    } else if (!sweep_->step()) {
      sweep_.reset();
    }
    job = {};  // an entry must not outlive its job unnoticed
    mutex_.lock();
    if (has_job) ++done_;
    evicting_ = evictor_.planned();
    changed_.notify_all();
  }
  evicting_ = false;
  changed_.notify_all();
}

void BlockWriter::run_job(const Job& job) {
  if (job.task) {
    job.task();
  } else if (job.write) {
    run_write(job);
  } else {
    puncher_.punch({{job.entry, job.blocks}});
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
  puncher_.retire_if_idle(job.entry);
}

Result<void> BlockWriter::store(const EntryPtr& entry, std::uint64_t block, std::uint64_t fill,
                                const Bytes& bytes) {
  if (auto room = make_room(bytes.size()); !room) return room;
  const std::uint64_t checksum = block_checksum(entry->key(), block, bytes);
  Result<void> written;
  if (entry->small()) {
    written = context_.small.put(entry->key(), bytes);
  } else if (auto file = data_file(entry); file) {
    // Whoever has it open or mapped was given content that is right, and is given no other.
    if (entry->was_sealed() && context_.in_use(*entry)) {
      written = Error{ErrorCode::kBusy, "its file is in use"};
    } else {
      written = write_fully((*file)->get(), bytes, block * context_.block_size);
    }
  } else {
    written = file.error();
  }
  if (!written) {
    context_.quota.give_back(bytes.size());
    return written;
  }
  switch (entry->written(block, fill, checksum, evictor_.came_back(*entry, block))) {
    case BlobEntry::Written::kYes:
      break;
    case BlobEntry::Written::kOverDropped:
      context_.quota.give_back(bytes.size());  // counted once for the block before, once for this
      break;
    case BlobEntry::Written::kGone:
      puncher_.punch_unindexed(entry, block);
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
    puncher_.punch({{entry, entry->drop_stored()}});
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
  entry->mark_all_unchecked();  // before what was cut off can be read, as zeros
  if (auto sized = set_size(file->get(), *entry); !sized) return sized.error();
  return file;
}

Result<void> BlockWriter::make_room(std::uint64_t bytes) {
  if (bytes > context_.quota.limit()) return {ErrorCode::kBusy, "larger than the cache's limit"};
  // Beyond the high watermark: planned now, and carried out when there is nothing to write.
  if (const std::uint64_t excess = context_.quota.to_evict(bytes); excess > 0) {
    plan_eviction(excess);
  }
  if (auto room = make_disk_room(bytes); !room) return room;
  return reserve(bytes);
}

// What came in since the last batch is not indexed yet, and only what is indexed can be evicted:
// where that is much of a small cache, what was used for long must not go in its stead.
void BlockWriter::plan_eviction(std::uint64_t bytes) {
  if (!evictor_.planned() && context_.counters.unindexed_bytes > context_.quota.limit() / 8) {
    if (auto flushed = committer_.flush(); !flushed) context_.index.failed(flushed.error());
  }
  evictor_.plan(bytes);
}

Result<void> BlockWriter::make_disk_room(std::uint64_t bytes) {
  bool planned = false;
  while (true) {
    auto space = context_.blobs.space();
    if (!space) return space.error();
    const std::uint64_t excess = context_.quota.to_evict(*space, bytes);
    if (excess == 0) return {};
    if (!std::exchange(planned, true)) plan_eviction(excess);
    if (!evictor_.planned()) {
      return {ErrorCode::kNoSpace, "only " + human_bytes(space->available) + " are free"};
    }
    evict_some();
  }
}

Result<void> BlockWriter::reserve(std::uint64_t bytes) {
  if (context_.quota.reserve(bytes)) return {};
  const Error full{ErrorCode::kBusy, "the cache's limit is reached"};
  if (std::chrono::steady_clock::now() < no_room_until_) return full;
  if (reserve_by_evicting(bytes)) return {};
  // What came in the last second is not indexed yet, and only what is indexed can be evicted.
  if (auto flushed = committer_.flush(); !flushed) return flushed;
  evictor_.plan(context_.quota.to_evict(bytes));
  if (reserve_by_evicting(bytes)) return {};
  // All is pinned or in use: that will not change from one block to the next.
  no_room_until_ = std::chrono::steady_clock::now() + kNoRoomFor;
  return full;
}

bool BlockWriter::reserve_by_evicting(std::uint64_t bytes) {
  while (!context_.quota.reserve(bytes)) {
    if (!evictor_.planned()) return false;
    evict_some();
  }
  return true;
}

std::uint64_t BlockWriter::evict_some() {
  return puncher_.punch(evictor_.drop_next(kEvictedAtOnce));
}

std::uint64_t BlockWriter::evict_planned() {
  std::uint64_t freed = 0;
  while (evictor_.planned()) freed += evict_some();
  return freed;
}

void BlockWriter::look_after_house() {
  {
    MutexLock lock(mutex_);
    house_waits_ = false;
  }
  puncher_.punch_closed();
  if (evictor_.planned()) return;
  if (context_.eviction.policy == EvictionPolicy::kTtl) {
    evictor_.plan_unused_for(context_.eviction.ttl, true);
    if (evictor_.planned()) return;  // what is left to do is found the next time
  }
  std::uint64_t excess = context_.quota.to_evict(0);
  if (auto space = context_.blobs.space(); space) {
    excess = std::max(excess, context_.quota.to_evict(*space, 0));
  }
  if (excess > 0) evictor_.plan(excess);
}

}  // namespace hubvfs::cache
