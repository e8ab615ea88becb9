// SPDX-License-Identifier: Apache-2.0
#include "fs/reader.h"

#include <algorithm>
#include <map>

#include "fs/reader_core.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMaxPart = 8u << 20;  // bytes of one request that somebody waits for
constexpr std::uint64_t kPage = 4096;
constexpr Duration kExpiryGrace = std::chrono::seconds(2);

}  // namespace

Result<std::shared_ptr<OpenBlob>> ReaderCore::open(const cache::Namespace& space,
                                                   const hub::FileRef& file, hub::HubClient& hub,
                                                   const std::optional<hub::FileRef>& next) {
  auto blob = find_or_make(space, file, hub);
  if (!blob) return blob;
  MutexLock lock((*blob)->mutex);
  (*blob)->refused.reset();  // it came wrong once: whoever opens it now gets it from its start
  (*blob)->doubtful = (*blob)->judged_block.has_value();
  if (next) {
    (*blob)->next = next;
    (*blob)->has_next = true;
  }
  return blob;
}

Result<std::shared_ptr<OpenBlob>> ReaderCore::find_or_make(const cache::Namespace& space,
                                                           const hub::FileRef& file,
                                                           hub::HubClient& hub) {
  const cache::BlobKey key{space, file.content};
  {
    MutexLock lock(mutex_);
    const auto wrong = wrong_.find(key);
    if (wrong != wrong_.end() && wrong->second.in_a_row > 1) return wrong->second.last;
    const auto it = blobs_.find(key);
    if (it != blobs_.end()) {
      if (auto known = it->second.lock()) return known;
    }
  }
  auto stored = store_.open(key, options_.endpoint);
  if (!stored) return stored.error();
  auto blob = std::make_shared<OpenBlob>(*stored, file, hub, store_.block_size(), clock_.awake());
  const bool unjudged = blob->doubtful;
  {
    MutexLock lock(mutex_);
    std::weak_ptr<OpenBlob>& slot = blobs_[key];
    if (auto other = slot.lock()) return other;
    slot = blob;
    if (blobs_.size() % 1024 == 0) {
      std::erase_if(blobs_, [](const auto& item) { return item.second.expired(); });
    }
  }
  // Its verdict may have come before on_verdict() could find it.
  if (unjudged && ((*stored)->verified() || !(*stored)->complete())) release_held(*blob, {});
  return blob;
}

bool ReaderCore::is_open(const cache::BlobKey& key) const {
  MutexLock lock(mutex_);
  const auto it = blobs_.find(key);
  return it != blobs_.end() && !it->second.expired();
}

void ReaderCore::read(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Reader::Done done,
                      std::uint32_t thread) {
  reads_.fetch_add(1, std::memory_order_relaxed);
  if (auto failure = remembered_failure(*blob, range)) return done(*failure);
  static thread_local Bytes scratch;  // its pages stay touched: the reply is written from it
  if (scratch.size() < range.size()) scratch.resize(range.size());
  const std::span<std::byte> view(scratch.data(), range.size());
  if (blob->stored->read(range.begin, view)) {
    plan_read_ahead(blob, {range, false, thread});
    return blob->doubtful ? give_doubtful(blob, range, view, done) : done(ByteView(view));
  }
  const std::uint64_t first = range.begin / blob->block_size;
  const std::uint64_t last = (range.end - 1) / blob->block_size;
  const JobPtr job = make_job(range, last - first + 1,
                              [self = shared_from_this(), blob, range,
                               done = std::move(done)](const Result<ByteView>& bytes) {
                                if (!bytes || !blob->doubtful) return done(bytes);
                                self->give_doubtful(blob, range, *bytes, done);
                              });
  Parts parts;
  for (std::uint64_t block = first; block <= last; ++block) {
    const ByteRange piece = blob->within_block(range, block);
    const Waiter waiter{job, piece, block * blob->block_size + piece.begin - range.begin,
                        clock_.awake()};
    if (!piece_from_store(*blob, waiter, block)) {
      await_block(blob, waiter, block, hub::Priority::kDemand, parts);
    }
  }
  waited_.fetch_add(1, std::memory_order_relaxed);
  enqueue(parts);
  plan_read_ahead(blob, {range, true, thread});
  if (closed_) job->fail({ErrorCode::kCancelled, "the filesystem is stopping"});
}

JobPtr ReaderCore::make_job(ByteRange range, std::size_t pieces, Reader::Done done) {
  waiting_.fetch_add(1, std::memory_order_relaxed);
  return std::make_shared<ReadJob>(
      range, pieces,
      [self = shared_from_this(), done = std::move(done)](const Result<ByteView>& bytes) {
        self->waiting_.fetch_sub(1, std::memory_order_relaxed);
        done(bytes);
      });
}

void ReaderCore::prefetch(const std::shared_ptr<OpenBlob>& blob, ByteRange range,
                          Reader::Done done) {
  std::optional<Error> refused;
  {
    MutexLock lock(blob->mutex);
    refused = blob->refused;
  }
  if (refused) return done(*refused);
  const std::uint64_t first = range.begin / blob->block_size;
  const std::uint64_t last = (range.end - 1) / blob->block_size;
  const auto job = std::make_shared<ReadJob>(ByteRange(), last - first + 1, std::move(done));
  Parts parts;
  for (std::uint64_t block = first; block <= last; ++block) {
    if (blob->stored->has(block)) {
      job->piece_arrived();
      continue;
    }
    // None of its bytes, but not before the last has come; it may wait behind readers for ever.
    const std::uint64_t end = blob->block_length(block);
    await_block(blob, {job, {end, end}, 0, TimePoint::max()}, block, hub::Priority::kPrefetch,
                parts);
  }
  enqueue(parts);
  if (closed_) job->fail({ErrorCode::kCancelled, "the filesystem is stopping"});
}

// A failure is remembered for a moment: after an error the kernel asks again page by page.
std::optional<Error> ReaderCore::remembered_failure(OpenBlob& blob, ByteRange range) {
  if (closed_) return Error{ErrorCode::kCancelled, "the filesystem is stopping"};
  MutexLock lock(blob.mutex);
  if (blob.refused) return blob.refused;
  if (blob.failed.empty()) return {};
  const auto it = blob.failed.lower_bound(range.begin / blob.block_size);
  if (it == blob.failed.end() || it->first > (range.end - 1) / blob.block_size) return {};
  if (it->second.until <= clock_.now()) return {};
  return it->second.error;
}

bool ReaderCore::piece_from_store(OpenBlob& blob, const Waiter& waiter, std::uint64_t block) {
  if (!blob.stored->has(block)) return false;
  Bytes& all = waiter.job->out;
  if (all.empty()) all.resize(waiter.range.size());  // the only piece, of which nobody else knows
  const std::span<std::byte> out(all.data() + waiter.out_offset, waiter.range.size());
  if (!blob.stored->read(block * blob.block_size + waiter.range.begin, out)) return false;
  waiter.job->piece_arrived();
  return true;
}

// Joins the fetch of a block or adds it to `parts`.
void ReaderCore::await_block(const std::shared_ptr<OpenBlob>& blob, const Waiter& waiter,
                             std::uint64_t block, hub::Priority priority, Parts& parts) {
  std::shared_ptr<Bytes> arrived;
  PartPtr urgent;
  std::optional<hub::FetchId> urgent_id;
  bool look_again = false;
  {
    MutexLock lock(blob->mutex);
    const auto it = blob->fetching.find(block);
    if (it == blob->fetching.end()) {
      // A block is in the store before it leaves `fetching`: it may have come in just now.
      look_again = blob->stored->has(block);
      if (!look_again) add_demand(blob, waiter, block, priority, parts);
    } else if (it->second->has(waiter.range) && !blob->one_block()) {
      arrived = it->second->data;
    } else {
      it->second->waiters.push_back(waiter);
      const PartPtr& part = it->second->part_of(waiter.range);
      if (priority == hub::Priority::kDemand && part->priority != priority) {
        urgent = part;
        urgent->priority = priority;
        urgent_id = urgent->id;
      }
    }
  }
  if (arrived) return deliver(*arrived, {waiter});
  if (urgent) return make_urgent(urgent, urgent_id);
  if (!look_again || piece_from_store(*blob, waiter, block)) return;
  MutexLock lock(blob->mutex);
  const auto it = blob->fetching.find(block);
  if (it != blob->fetching.end()) return it->second->waiters.push_back(waiter);
  add_demand(blob, waiter, block, priority, parts);
}

// With the blob's mutex held. A block that `waiter` waits for, from where its bytes are, if that
// saves more than the second request costs. In a storm it does not: all is to come soon.
void ReaderCore::add_demand(const std::shared_ptr<OpenBlob>& blob, const Waiter& waiter,
                            std::uint64_t block, hub::Priority priority,
                            Parts& parts) NO_THREAD_SAFETY_ANALYSIS {
  const std::size_t parts_before = parts.size();
  const BlockFetchPtr fetch = add_block(blob, block, priority, parts);
  fetch->waiters.push_back(waiter);
  const bool begins_part = parts.size() > parts_before;
  const std::uint64_t skipped = waiter.range.begin / kPage * kPage;
  if (!begins_part || priority != hub::Priority::kDemand || blob->one_block() ||
      blob->read_ahead.in_storm() || skipped < blob->hub.advice().detour_bytes) {
    return;
  }
  const PartPtr head = std::make_shared<Part>();
  const std::uint64_t begin = block * blob->block_size;
  head->blob = blob;
  head->priority = hub::Priority::kReadAhead;
  head->blocks.push_back(fetch);
  head->range = {begin, begin + skipped};
  head->progress = clock_.awake();
  fetch->head = head;
  fetch->start = fetch->filled = skipped;
  ++fetch->open_parts;
  fetch->part->range.begin = begin + skipped;
}

// Of one request that nobody waits for; bytes. Where more contents are fetched than requests run,
// no larger than lets each have its turn before one is far ahead of the others.
std::uint64_t ReaderCore::part_bytes(const hub::FetchAdvice& advice) const {
  const std::uint64_t share = advice.part_bytes * static_cast<unsigned>(advice.parallel) /
                              std::max<std::uint64_t>(blobs_fetched_, 1);
  return std::min(advice.part_bytes, std::max(share, store_.block_size()));
}

// With the blob's mutex held. Neighbouring blocks become one part.
BlockFetchPtr ReaderCore::add_block(const std::shared_ptr<OpenBlob>& blob, std::uint64_t block,
                                    hub::Priority priority,
                                    Parts& parts) NO_THREAD_SAFETY_ANALYSIS {
  const std::uint64_t length = blob->block_length(block);
  const std::uint64_t most =
      priority == hub::Priority::kDemand ? kMaxPart : part_bytes(blob->hub.advice());
  PartPtr part;
  if (!parts.empty() && parts.back()->blocks.back()->block + 1 == block &&
      parts.back()->bytes + length <= most) {
    part = parts.back();
  } else {
    part = parts.emplace_back(std::make_shared<Part>());
    part->blob = blob;
    part->priority = priority;
    part->range.begin = block * blob->block_size;
  }
  auto fetch = std::make_shared<BlockFetch>();
  fetch->block = block;
  fetch->part = part;
  part->blocks.push_back(fetch);
  part->bytes += length;
  part->range.end = block * blob->block_size + length;
  fetch->open_parts = 1;
  part->progress = clock_.awake();
  if (blob->fetching.empty()) ++blobs_fetched_;
  blob->fetching[block] = fetch;
  return fetch;
}

std::vector<std::shared_ptr<OpenBlob>> ReaderCore::live_blobs() {
  std::vector<std::shared_ptr<OpenBlob>> live;
  MutexLock lock(mutex_);
  for (const auto& [key, weak] : blobs_) {
    if (auto blob = weak.lock()) live.push_back(std::move(blob));
  }
  return live;
}

void ReaderCore::expire() {
  let_go_of_failing();
  buffers_->trim();
  const TimePoint now = clock_.awake();  // after a suspend, parked reads go again
  const Duration limit = options_.read_deadline + kExpiryGrace;
  for (const auto& blob : live_blobs()) {
    std::vector<Waiter> late;
    bool no_verdict = false;
    const bool store_is_behind = *blob->kept >= kept_limit();
    {
      MutexLock lock(blob->mutex);
      no_verdict = blob->judged_block && waits_in_vain(*blob, now);
      for (const auto& item : blob->fetching) {
        BlockFetch* const fetch = item.second.get();
        std::erase_if(fetch->waiters, [&](const Waiter& waiter) {
          const TimePoint progress = fetch->part_of(waiter.range)->progress;
          if (now - std::max(waiter.since, progress) <= limit) return false;
          late.push_back(waiter);
          return true;
        });
      }
    }
    if (no_verdict) release_held(*blob, {});
    if (late.empty()) continue;
    const auto waited = std::chrono::duration_cast<std::chrono::seconds>(options_.read_deadline);
    const std::string patience = " for " + std::to_string(waited.count()) + " s: check ";
    fail_waiters(late,
                 {ErrorCode::kTimedOut,
                  "fetch of " + name_of(blob->file) +
                      (store_is_behind ? ": the cache has taken nothing" + patience + "its disk"
                                       : ": nothing came" + patience + "the network") +
                      ", or raise read.deadline"});
  }
}

void ReaderCore::close() {
  if (!closed_.exchange(true)) store_.on_verdict({});
  Parts queued;
  {
    MutexLock lock(mutex_);
    queued.assign(queued_.begin(), queued_.end());
    queued_.clear();
  }
  const Error stopping{ErrorCode::kCancelled, "the filesystem is stopping"};
  for (const PartPtr& part : queued) {
    const PartPtr head = part->blocks.front()->head;
    if (head) on_done(*head, stopping);
    on_done(*part, stopping);
  }
  for (const auto& blob : live_blobs()) {
    std::vector<Waiter> waiters;
    std::vector<JobPtr> held;
    std::vector<hub::FetchId> ids;
    {
      MutexLock lock(blob->mutex);
      held.swap(blob->held);
      for (auto& [block, fetch] : blob->fetching) {
        std::move(fetch->waiters.begin(), fetch->waiters.end(), std::back_inserter(waiters));
        fetch->waiters.clear();
        for (const PartPtr& part : {fetch->part, fetch->head}) {
          if (part && part->id) ids.push_back(*part->id);
        }
      }
    }
    fail_waiters(waiters, stopping);
    for (const JobPtr& job : held) job->fail(stopping);
    for (const hub::FetchId id : ids) blob->hub.cancel(id);
  }
  let_go_of_failing();
}

ReaderStats ReaderCore::stats() const {
  MutexLock lock(mutex_);
  return {reads_, waited_, waiting_, fetched_, reserved_, options_.memory_budget, corrupt_};
}

Reader::Reader(const ReaderOptions& options, cache::BlobStore& store,
               std::shared_ptr<FailureLog> failures, const Clock& clock)
    : core_(std::make_shared<ReaderCore>(options, store, std::move(failures), clock)) {
  store.on_verdict([weak = std::weak_ptr(core_)](const cache::BlobKey& key, Result<void> verdict) {
    if (const auto core = weak.lock()) core->on_verdict(key, verdict);
  });
}

Reader::~Reader() { close(); }

void Reader::close() { core_->close(); }

Result<std::shared_ptr<OpenBlob>> Reader::open(const cache::Namespace& space,
                                               const hub::FileRef& file, hub::HubClient& hub,
                                               const std::optional<hub::FileRef>& next) {
  return core_->open(space, file, hub, next);
}

void Reader::read(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Done done,
                  std::uint32_t thread) {
  core_->read(blob, range, std::move(done), thread);
}

void Reader::prefetch(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Done done) {
  core_->prefetch(blob, range, std::move(done));
}

bool Reader::is_open(const cache::BlobKey& key) const { return core_->is_open(key); }

const cache::Blob& Reader::stored(const OpenBlob& blob) { return *blob.stored; }

std::uint64_t Reader::times_wrong(const OpenBlob& blob) const {
  return core_->times_wrong(blob.stored->key());
}

void Reader::forget_denials() { core_->forget_denials(); }

void Reader::forget_wrong() { core_->forget_wrong(); }

void Reader::expire() { core_->expire(); }

ReaderStats Reader::stats() const { return core_->stats(); }

}  // namespace hubvfs::fs
