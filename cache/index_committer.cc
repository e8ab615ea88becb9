// SPDX-License-Identifier: Apache-2.0
#include "cache/index_committer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "base/blocking.h"
#include "cache/disk_probe.h"
#include "cache/file_stamp.h"
#include "cache/index_records.h"
#include "cache/sidecar.h"

namespace hubvfs::cache {
namespace {

constexpr std::chrono::seconds kBatchAge{1};
constexpr std::uint64_t kBatchBytes = 64u << 20;
constexpr std::size_t kMaxOperations = 4096;  // LMDB spills pages in larger transactions
constexpr std::size_t kManyFiles = 8;
constexpr std::chrono::seconds kLookEvery{1};

}  // namespace

IndexCommitter::IndexCommitter(StoreContext& context, MetaIndex& index, OnLost on_lost)
    : context_(context), index_(index), on_lost_(std::move(on_lost)) {}

IndexCommitter::~IndexCommitter() { stop(); }

void IndexCommitter::start() {
  thread_ = std::thread([this] { run(); });
}

void IndexCommitter::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void IndexCommitter::note_batch() {
  if (batch_.empty()) batch_since_ = std::chrono::steady_clock::now();
}

void IndexCommitter::filled(const EntryPtr& entry, std::uint64_t block, std::uint64_t fill) {
  MutexLock lock(mutex_);
  const bool first = batch_.empty();
  note_batch();
  batch_.fills[entry].emplace_back(block, fill);
  batch_.bytes += entry->length(block);
  if (first || batch_.bytes >= kBatchBytes) changed_.notify_all();
}

void IndexCommitter::verified(const EntryPtr& entry) {
  MutexLock lock(mutex_);
  note_batch();
  batch_.verified.push_back(entry);
  changed_.notify_all();
}

void IndexCommitter::retired(const BlobKey& key) {
  MutexLock lock(mutex_);
  note_batch();
  batch_.retired.push_back(key);
  changed_.notify_all();
}

Result<void> IndexCommitter::erase_now(const Drops& drops) {
  assert_may_block("the index");
  Erase erase;
  erase.drops = &drops;
  MutexLock lock(mutex_);
  erases_.push_back(&erase);
  changed_.notify_all();
  while (!erase.done) changed_.wait(mutex_);
  return erase.result;
}

void IndexCommitter::write_uses() {
  MutexLock lock(mutex_);
  uses_asked_ = true;
  changed_.notify_all();
}

Result<void> IndexCommitter::flush() {
  assert_may_block("the cache's flush");
  MutexLock lock(mutex_);
  const std::uint64_t ticket = ++flush_asked_;
  changed_.notify_all();
  while (flush_done_ < ticket) changed_.wait(mutex_);
  return flush_result_;
}

void IndexCommitter::disk_failed() {
  MutexLock lock(mutex_);
  if (std::exchange(failing_, true)) return;
  looked_at_ = std::chrono::steady_clock::now();
  changed_.notify_all();
}

bool IndexCommitter::look_due() const {
  return failing_ && std::chrono::steady_clock::now() >= looked_at_ + kLookEvery;
}

bool IndexCommitter::batch_due() const {
  if (stopping_ || flush_asked_ > flush_done_) return true;
  if (batch_.empty()) return false;
  return batch_.bytes >= kBatchBytes ||
         std::chrono::steady_clock::now() >= batch_since_ + kBatchAge;
}

void IndexCommitter::wait_a_while() {
  if (batch_.empty() && !failing_) {
    changed_.wait(mutex_);
    return;
  }
  auto until = std::chrono::steady_clock::time_point::max();
  if (!batch_.empty()) until = batch_since_ + kBatchAge;
  if (failing_) until = std::min(until, looked_at_ + kLookEvery);
  const auto left = until - std::chrono::steady_clock::now();
  if (left.count() > 0) changed_.wait_for(mutex_, left);
}

void IndexCommitter::run() {
  MutexLock lock(mutex_);
  while (true) {
    while (erases_.empty() && !batch_due() && !look_due() && !uses_asked_ && uses_left_.empty()) {
      wait_a_while();
    }
    if (!erases_.empty()) {
      const std::vector<Erase*> erases = std::exchange(erases_, {});
      mutex_.unlock();
      auto done = commit_erases(erases);
      mutex_.lock();
      for (Erase* erase : erases) {
        erase->result = done;
        erase->done = true;
      }
      changed_.notify_all();
      continue;
    }
    if (!batch_due() && !look_due()) {
      const bool asked = std::exchange(uses_asked_, false);
      mutex_.unlock();
      if (asked && uses_left_.empty()) uses_left_ = context_.table.snapshot();
      if (auto done = commit_some_uses(); !done) context_.index.failed(done.error());
      mutex_.lock();
      continue;
    }
    Batch batch = std::exchange(batch_, {});
    const std::uint64_t ticket = flush_asked_;
    const bool last = stopping_;
    mutex_.unlock();
    look_after_disk();
    auto done = commit(std::move(batch), last);
    mutex_.lock();
    flush_done_ = ticket;
    flush_result_ = done;
    changed_.notify_all();
    if (last && erases_.empty() && (batch_.empty() || !done)) return;
  }
}

void IndexCommitter::look_after_disk() {
  {
    MutexLock lock(mutex_);
    if (!failing_) return;
    failing_ = false;  // what fails from here on is a new failure
  }
  if (!context_.disk.reason().empty() && context_.disk.may_try()) {
    const auto works = probe_disk(context_.blobs, context_.quota, context_.block_size);
    if (works) {
      context_.disk.works();
    } else if (works.error().code == ErrorCode::kNotFound) {
      context_.disk.failed(works.error());
    } else {
      context_.disk.failed_again();
    }
  }
  if (context_.disk.reason().empty()) write_missing_sidecars();
  const bool well = context_.disk.reason().empty() && context_.index.reason().empty();
  if (!well || !without_sidecar_.empty()) disk_failed();
}

void IndexCommitter::write_missing_sidecars() {
  while (!without_sidecar_.empty()) {
    const EntryPtr entry = *without_sidecar_.begin();
    if (entry->has_blocks()) {
      auto written = write_sidecar_of(entry, entry->blocks_on_disk(), Sync::kYes);
      if (!written) return context_.disk.failed(written.error());
    }
    without_sidecar_.erase(entry);
  }
}

// A transaction that changes nothing, for an index that failed and has nothing to catch up with.
Result<void> IndexCommitter::prove_index() {
  auto state = index_.get(state_index_key());
  if (!state) return state.error();
  return apply({{state_index_key(), state->value_or("")}});
}

Result<void> IndexCommitter::commit(Batch batch, bool last) {
  Result<void> done = commit_fills(batch);
  std::vector<EntryPtr> later;
  if (done) done = commit_verified(batch, later);
  if (done) {
    std::vector<IndexChange> changes;
    for (const BlobKey& key : batch.retired) {
      // Made anew meanwhile: its record is not the retired one's.
      if (context_.table.find(key) == nullptr) changes.push_back({blob_index_key(key), {}});
    }
    done = apply(changes);
  }
  if (last) uses_left_ = context_.table.snapshot();
  while (done && last && !uses_left_.empty()) done = commit_some_uses();
  if (done && !context_.index.reason().empty()) done = prove_index();
  if (done) {
    context_.index.works();
    batch = Batch{};
    batch.verified = std::move(later);
  } else {
    context_.index.failed(done.error());
  }
  if (!last && !batch.empty()) requeue(std::move(batch));
  return done;
}

// Behind a pause of one batch's age: what cannot be committed now is tried again, for ever.
void IndexCommitter::requeue(Batch&& batch) {
  MutexLock lock(mutex_);
  batch_since_ = std::chrono::steady_clock::now();
  for (auto& [entry, fills] : batch.fills) {
    auto& queued = batch_.fills[entry];
    queued.insert(queued.begin(), fills.begin(), fills.end());
  }
  batch_.verified.insert(batch_.verified.end(), batch.verified.begin(), batch.verified.end());
  batch_.retired.insert(batch_.retired.end(), batch.retired.begin(), batch.retired.end());
}

Result<void> IndexCommitter::apply(const std::vector<IndexChange>& changes) {
  // The index is mapped, and a page of it that cannot be read costs the environment (map_guard.h):
  // while the disk fails it is left alone.
  if (auto disk = context_.disk.status(); !disk && disk.error().code == ErrorCode::kIo) return disk;
  if (!unerased_.empty()) {
    if (auto applied = index_.apply(unerased_); !applied) return applied;
    unerased_.clear();
  }
  const std::span<const IndexChange> all(changes);
  for (std::size_t at = 0; at < all.size(); at += kMaxOperations) {
    const auto part = all.subspan(at, std::min(kMaxOperations, all.size() - at));
    if (auto applied = index_.apply(part); !applied) return applied;
    ++context_.counters.index_writes;
  }
  return {};
}

Result<void> IndexCommitter::sync_file(const EntryPtr& entry) const {
  auto file = context_.files.open(entry->number(), blob_file_name(entry->key()));
  if (!file) return file.error();
  assert_may_block("fdatasync");
  if (::fdatasync((*file)->get()) == 0) return {};
  return system_error(errno, "fdatasync of " + blob_file_name(entry->key()));
}

Result<void> IndexCommitter::write_sidecar_of(const EntryPtr& entry, const Blocks& blocks,
                                              Sync sync) const {
  const std::string name = blob_file_name(entry->key()) + std::string(kSidecarSuffix);
  auto fd = context_.blobs.open_file(name, O_RDWR);
  const bool is_new = !fd && fd.error().code == ErrorCode::kNotFound;
  if (is_new) fd = context_.blobs.open_file(name, O_RDWR | O_CREAT);
  if (!fd) return fd.error();
  const BlobRecord record = entry->record();
  std::vector<SidecarBlock> written;
  for (const std::uint64_t block : is_new ? entry->blocks_on_disk() : blocks) {
    const auto known = entry->block_record(block);
    if (!known) continue;
    written.push_back({block, known->fill <= record.trusted_fill, known->length, known->checksum});
  }
  const SidecarHeader header{entry->key().content, context_.block_size, record.owner};
  if (auto done = write_sidecar(fd->get(), header, written); !done) return done;
  if (sync == Sync::kNo) return {};
  if (::fdatasync(fd->get()) != 0) return system_error(errno, "fdatasync of " + name);
  if (!is_new) return {};
  auto directory = context_.blobs.open_directory(blob_directory_name(entry->key()));
  return directory ? directory->sync() : directory.error();
}

Result<void> IndexCommitter::sync_small(const Batch& batch) {
  const bool any = std::any_of(batch.fills.begin(), batch.fills.end(),
                               [](const auto& fill) { return fill.first->small(); });
  return any ? context_.small.sync() : Result<void>();
}

// Data, then sidecars, on disk; returns those that are. For many files one sync of the filesystem
// takes the place of two for each.
IndexCommitter::Filled IndexCommitter::synced(Filled filled) {
  const bool many = filled.size() > kManyFiles;
  Result<void> all;
  if (many) {
    for (const auto& [entry, blocks] : filled) {
      if (auto written = write_sidecar_of(entry, blocks, Sync::kNo); !written) {
        context_.disk.failed(written.error());
        without_sidecar_.insert(entry);
      }
    }
    assert_may_block("syncfs");
    if (::syncfs(context_.blobs.fd()) != 0) all = system_error(errno, "syncfs of the cache disk");
  }
  Filled done;
  for (auto& [entry, blocks] : filled) {
    auto synced = many ? all : sync_file(entry);
    if (!synced) {
      // The kernel may have thrown the pages away: nothing of this file can be believed.
      context_.disk.failed(synced.error());
      on_lost_(entry, entry->drop_all());
      continue;
    }
    if (!many) {
      if (auto written = write_sidecar_of(entry, blocks, Sync::kYes); !written) {
        context_.disk.failed(written.error());  // the index alone will do for now
        without_sidecar_.insert(entry);
      }
    }
    done.emplace_back(std::move(entry), std::move(blocks));
  }
  return done;
}

Result<void> IndexCommitter::commit_fills(Batch& batch) {
  if (auto synced = sync_small(batch); !synced) return synced;
  Filled files;
  Filled small;
  for (const auto& [entry, fills] : batch.fills) {
    Blocks blocks = entry->committable(fills);
    if (blocks.empty()) continue;
    std::sort(blocks.begin(), blocks.end());
    (entry->small() ? small : files).emplace_back(entry, std::move(blocks));
  }
  files = synced(std::move(files));
  std::vector<IndexChange> changes;
  for (const auto& [entry, blocks] : files) {
    changes.push_back({blob_index_key(entry->key()), encode(entry->record())});
    for (const std::uint64_t block : blocks) {
      const auto record = entry->block_record(block);
      if (!record) continue;
      changes.push_back(
          {block_index_key(entry->key().space, entry->number(), block), encode(*record)});
    }
  }
  if (auto applied = apply(changes); !applied) return applied;
  for (const auto& [entry, blocks] : files) entry->indexed(blocks);
  for (const auto& [entry, blocks] : small) entry->indexed(blocks);
  return {};
}

// Notes how the file of a verified blob looks, so that the next start need not hash it again. True:
// it is sealed.
Result<bool> IndexCommitter::stamp(const EntryPtr& entry) const {
  const std::uint64_t generation = entry->generation();
  if (auto synced = sync_file(entry); !synced) return synced.error();
  auto file = context_.files.open(entry->number(), blob_file_name(entry->key()));
  if (!file) return file.error();
  auto stamp = stamp_of((*file)->get());
  if (!stamp) return stamp.error();
  // Not synced: all it says more is that the blocks are everybody's.
  if (auto written = write_sidecar_of(entry, entry->blocks_on_disk(), Sync::kNo); !written) {
    return written.error();
  }
  return entry->stamp(*stamp, generation);
}

Result<void> IndexCommitter::commit_verified(Batch& batch, std::vector<EntryPtr>& later) {
  std::vector<IndexChange> changes;
  std::vector<BlobKey> sealed;
  for (const EntryPtr& entry : batch.verified) {
    if (entry->small()) continue;
    if (!entry->stampable()) {
      if (entry->verified() && !entry->record().verified) later.push_back(entry);
      continue;
    }
    const auto stamped = stamp(entry);
    if (!stamped) {
      context_.disk.failed(stamped.error());
      if (stamped.error().code != ErrorCode::kNotFound) later.push_back(entry);
      continue;
    }
    if (*stamped) sealed.push_back(entry->key());
    changes.push_back({blob_index_key(entry->key()), encode(entry->record())});
  }
  auto applied = apply(changes);
  for (const BlobKey& key : sealed) context_.on_sealed(key);
  return applied;
}

Result<void> IndexCommitter::commit_erases(const std::vector<Erase*>& erases) {
  std::vector<IndexChange> changes;
  for (const Erase* erase : erases) {
    for (const auto& [entry, blocks] : *erase->drops) {
      if (entry->small()) continue;
      for (const std::uint64_t block : blocks) {
        changes.push_back({block_index_key(entry->key().space, entry->number(), block), {}});
      }
      changes.push_back({blob_index_key(entry->key()), encode(entry->record())});
    }
  }
  auto applied = apply(changes);
  if (applied) return {};
  // Records that outlive their blocks are found out by the blocks' checksums; but not for longer
  // than need be.
  context_.index.failed(applied.error());
  unerased_.insert(unerased_.end(), changes.begin(), changes.end());
  return applied;
}

// One transaction of limited size: whoever waits for an eviction or a batch comes between.
Result<void> IndexCommitter::commit_some_uses() {
  std::vector<IndexChange> changes;
  while (!uses_left_.empty() && changes.size() < kMaxOperations / 2) {
    const EntryPtr entry = uses_left_.back();
    const BlobKey& key = entry->key();
    for (const std::uint64_t block : entry->take_touched(uses_next_)) {
      const auto record = entry->block_record(block);
      if (!record) continue;
      if (entry->small()) {
        changes.push_back({use_index_key(key), encode(UseRecord{record->epoch, record->hot})});
      } else {
        changes.push_back({block_index_key(key.space, entry->number(), block), encode(*record)});
      }
    }
    if (uses_next_ != UINT64_MAX) continue;
    uses_left_.pop_back();
    uses_next_ = 0;
  }
  auto applied = apply(changes);
  if (!applied) uses_left_.clear();  // the next use of each block will be written
  return applied;
}

}  // namespace hubvfs::cache
