// SPDX-License-Identifier: Apache-2.0
#include "fs/reader.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "base/mutex.h"
#include "base/text.h"
#include "cache/names.h"
#include "fs/open_blob.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMaxPart = 8u << 20;  // bytes of one read-ahead request
constexpr Duration kFirstBackoff = std::chrono::seconds(1);
constexpr Duration kMaxBackoff = std::chrono::seconds(30);
constexpr Duration kMaxDenial = std::chrono::seconds(10);  // a grant comes without notice
constexpr Duration kNoVerdict = std::chrono::seconds(2);   // of content that is not whole any more
constexpr Duration kLateVerdict = std::chrono::seconds(10);
constexpr Duration kExpiryGrace = std::chrono::seconds(2);
constexpr std::size_t kRememberedMismatches = 1024;
constexpr std::size_t kRememberedFailures = 256;

// Copies what has arrived to whoever waited for it. No lock may be held.
void deliver(const Bytes& data, const std::vector<Waiter>& waiters) {
  for (const Waiter& waiter : waiters) {
    std::memcpy(waiter.job->out.data() + waiter.out_offset, data.data() + waiter.range.begin,
                waiter.range.size());
    waiter.job->piece_arrived();
  }
}

bool is_denial(ErrorCode code) {
  return code == ErrorCode::kNotFound || code == ErrorCode::kGated ||
         code == ErrorCode::kPermissionDenied;
}

std::string name_of(const hub::FileRef& file) {
  return file.repo.name + "/" + escape_for_log(file.path, 200);
}

}  // namespace

class ReaderCore final : public std::enable_shared_from_this<ReaderCore> {
 public:
  ReaderCore(const ReaderOptions& options, cache::BlobStore& store,
             std::shared_ptr<FailureLog> failures, const Clock& clock)
      : options_(options), store_(store), failures_(std::move(failures)), clock_(clock) {}

  Result<std::shared_ptr<OpenBlob>> open(const cache::Namespace& space, const hub::FileRef& file,
                                         hub::HubClient& hub);
  void read(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Reader::Done done);
  void prefetch(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Reader::Done done);
  void expire();
  void close();
  void on_verdict(const cache::BlobKey& key, const Result<void>& verdict);
  int times_wrong_in_a_row(const cache::BlobKey& key) const;
  std::uint64_t times_wrong(const cache::BlobKey& key) const;
  void forget_denials();
  void forget_wrong();
  ReaderStats stats() const;

 private:
  struct KeyHash {
    std::size_t operator()(const cache::BlobKey& key) const noexcept {
      return std::hash<std::string>()(key.space) ^ std::hash<ContentId>()(key.content);
    }
  };

  std::optional<Error> remembered_failure(OpenBlob& blob, ByteRange range);
  static bool piece_from_store(OpenBlob& blob, const Waiter& waiter, std::uint64_t block);
  void await_block(const std::shared_ptr<OpenBlob>& blob, const Waiter& waiter, std::uint64_t block,
                   hub::Priority priority, Parts& parts);
  BlockFetchPtr add_block(const std::shared_ptr<OpenBlob>& blob, std::uint64_t block,
                          hub::Priority priority, Parts& parts);
  std::uint64_t ahead_budget() const { return options_.memory_budget / 2; }  // the rest: demand
  void plan_read_ahead(const std::shared_ptr<OpenBlob>& blob, ByteRange range, bool waited);

  void enqueue(const Parts& parts);
  void start_queued();
  void start(const PartPtr& part);
  void make_urgent(const PartPtr& part, std::optional<hub::FetchId> id);
  void on_bytes(Part& part, std::uint64_t offset, ByteView bytes);
  void block_complete(OpenBlob& blob, const BlockFetchPtr& fetch, bool is_last);
  void on_done(Part& part, const Result<void>& result);
  TimePoint note_failed_block(OpenBlob& blob, std::uint64_t block, const Error& error);
  void keep_failing(const std::shared_ptr<OpenBlob>& blob, TimePoint until);
  void let_go_of_failing();
  JobPtr make_job(ByteRange range, std::size_t pieces, Reader::Done done);
  void give_doubtful(OpenBlob& blob, ByteRange range, ByteView bytes, const Reader::Done& done);
  void release_held(OpenBlob& blob, const Result<void>& verdict);
  static bool waits_in_vain(const OpenBlob& blob, TimePoint now);
  Error count_mismatch(const cache::BlobKey& key, const OpenBlob* blob, const Error& mismatch);
  void refetch(const std::shared_ptr<OpenBlob>& blob, const BlockFetchPtr& fetch);
  std::shared_ptr<Bytes> reserved_buffer(std::uint64_t size);
  void release(std::uint64_t bytes);
  std::vector<std::shared_ptr<OpenBlob>> live_blobs();
  void fail_waiters(const std::vector<Waiter>& waiters, const Error& error);

  struct Wrong {
    int in_a_row = 0;
    std::uint64_t ever = 0;
    Error last;
  };

  const ReaderOptions options_;
  cache::BlobStore& store_;
  const std::shared_ptr<FailureLog> failures_;
  const Clock& clock_;

  std::atomic<bool> closed_{false};
  std::atomic<std::uint64_t> reads_{0};
  std::atomic<std::uint64_t> waited_{0};
  std::atomic<std::uint64_t> waiting_{0};
  std::atomic<std::uint64_t> fetched_{0};
  std::atomic<std::uint64_t> corrupt_{0};

  mutable Mutex mutex_;  // rank 4
  std::unordered_map<cache::BlobKey, std::weak_ptr<OpenBlob>, KeyHash> blobs_ GUARDED_BY(mutex_);
  std::unordered_map<cache::BlobKey, Wrong, KeyHash> wrong_ GUARDED_BY(mutex_);
  // Those that nobody may have open now: whoever opens one again meets its failure again.
  std::deque<std::pair<std::shared_ptr<OpenBlob>, TimePoint>> failing_ GUARDED_BY(mutex_);
  std::deque<PartPtr> queued_ GUARDED_BY(mutex_);  // demand before the rest
  std::uint64_t reserved_ GUARDED_BY(mutex_) = 0;  // of memory_budget
};

Result<std::shared_ptr<OpenBlob>> ReaderCore::open(const cache::Namespace& space,
                                                   const hub::FileRef& file, hub::HubClient& hub) {
  const cache::BlobKey key{space, file.content};
  std::shared_ptr<OpenBlob> known;
  {
    MutexLock lock(mutex_);
    const auto wrong = wrong_.find(key);
    if (wrong != wrong_.end() && wrong->second.in_a_row > 1) return wrong->second.last;
    const auto it = blobs_.find(key);
    if (it != blobs_.end()) known = it->second.lock();
  }
  if (known) {
    MutexLock lock(known->mutex);
    known->refused.reset();  // it came wrong once: whoever opens it now gets it from its start
    known->doubtful = known->judged_block.has_value();
    return known;
  }
  auto stored = store_.open(key, options_.endpoint);
  if (!stored) return stored.error();
  auto blob = std::make_shared<OpenBlob>(*stored, file, hub, store_.block_size(), ahead_budget(),
                                         clock_.awake());
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

void ReaderCore::read(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Reader::Done done) {
  reads_.fetch_add(1, std::memory_order_relaxed);
  if (auto failure = remembered_failure(*blob, range)) return done(*failure);
  static thread_local Bytes scratch;  // its pages stay touched: the reply is written from it
  if (scratch.size() < range.size()) scratch.resize(range.size());
  const std::span<std::byte> view(scratch.data(), range.size());
  if (blob->stored->read(range.begin, view)) {
    plan_read_ahead(blob, range, false);
    return blob->doubtful ? give_doubtful(*blob, range, view, done) : done(ByteView(view));
  }
  const std::uint64_t first = range.begin / blob->block_size;
  const std::uint64_t last = (range.end - 1) / blob->block_size;
  const JobPtr job = make_job(range, last - first + 1,
                              [self = shared_from_this(), blob, range,
                               done = std::move(done)](const Result<ByteView>& bytes) {
                                if (!bytes || !blob->doubtful) return done(bytes);
                                self->give_doubtful(*blob, range, *bytes, done);
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
  plan_read_ahead(blob, range, true);
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

// Nobody must get the whole of a content before it is known to be right.
void ReaderCore::give_doubtful(OpenBlob& blob, ByteRange range, ByteView bytes,
                               const Reader::Done& done) {
  std::optional<Error> refused;
  {
    MutexLock lock(blob.mutex);
    refused = blob.refused;
    if (!refused && blob.waits_for_verdict(range)) {
      const JobPtr job = make_job(range, 1, done);
      std::copy(bytes.begin(), bytes.end(), job->out.begin());
      blob.held.push_back(job);
      return;
    }
  }
  if (refused) return done(*refused);
  done(bytes);
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
  const std::span<std::byte> out(waiter.job->out.data() + waiter.out_offset, waiter.range.size());
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
      if (!look_again) {
        add_block(blob, block, priority, parts)->waiters.push_back(waiter);
      }
    } else if (it->second->filled >= waiter.range.end && !blob->one_block()) {
      arrived = it->second->data;
    } else {
      it->second->waiters.push_back(waiter);
      if (priority == hub::Priority::kDemand && it->second->part->priority != priority) {
        urgent = it->second->part;
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
  const BlockFetchPtr fetch =
      it != blob->fetching.end() ? it->second : add_block(blob, block, priority, parts);
  fetch->waiters.push_back(waiter);
}

// With the blob's mutex held. Neighbouring blocks become one part.
BlockFetchPtr ReaderCore::add_block(const std::shared_ptr<OpenBlob>& blob, std::uint64_t block,
                                    hub::Priority priority,
                                    Parts& parts) NO_THREAD_SAFETY_ANALYSIS {
  const std::uint64_t length = blob->block_length(block);
  PartPtr part;
  if (!parts.empty() && parts.back()->blocks.back()->block + 1 == block &&
      parts.back()->bytes + length <= kMaxPart) {
    part = parts.back();
  } else {
    part = parts.emplace_back(std::make_shared<Part>());
    part->blob = blob;
    part->priority = priority;
  }
  auto fetch = std::make_shared<BlockFetch>();
  fetch->block = block;
  fetch->part = part;
  part->blocks.push_back(fetch);
  part->bytes += length;
  part->progress = clock_.awake();
  blob->fetching[block] = fetch;
  return fetch;
}

void ReaderCore::plan_read_ahead(const std::shared_ptr<OpenBlob>& blob, ByteRange range,
                                 bool waited) {
  if (blob->one_block()) return;
  Parts parts;
  std::uint64_t room = 0;
  {
    MutexLock lock(mutex_);
    room = ahead_budget() - std::min(ahead_budget(), reserved_);
  }
  {
    MutexLock lock(blob->mutex);
    const ByteRange ahead = blob->read_ahead.on_read(range, waited, room);
    for (std::uint64_t at = ahead.begin; at < ahead.end; at += blob->block_size) {
      const std::uint64_t block = at / blob->block_size;
      if (blob->fetching.contains(block) || blob->stored->has(block)) continue;
      add_block(blob, block, hub::Priority::kReadAhead, parts);
    }
  }
  enqueue(parts);
}

void ReaderCore::enqueue(const Parts& parts) {
  if (parts.empty()) return;
  {
    MutexLock lock(mutex_);
    for (const PartPtr& part : parts) {
      const auto behind = [&](const PartPtr& other) {
        return other->priority.load() > part->priority.load();
      };
      queued_.insert(std::find_if(queued_.begin(), queued_.end(), behind), part);
    }
  }
  start_queued();
}

// Starts what the memory budget allows, in order: no part overtakes one that waits for memory.
void ReaderCore::start_queued() {
  for (;;) {
    PartPtr part;
    {
      MutexLock lock(mutex_);
      if (queued_.empty()) return;
      const std::uint64_t bytes = queued_.front()->bytes;
      // A part that nobody waits for leaves half to those that somebody will.
      const bool prefetch = queued_.front()->priority.load() >= hub::Priority::kPrefetch;
      const std::uint64_t budget = options_.memory_budget / (prefetch ? 2 : 1);
      if (reserved_ != 0 && reserved_ + bytes > budget) return;
      reserved_ += bytes;
      part = queued_.front();
      queued_.pop_front();
    }
    start(part);
  }
}

void ReaderCore::start(const PartPtr& part) {
  OpenBlob& blob = *part->blob;
  for (const BlockFetchPtr& fetch : part->blocks) {
    fetch->data = reserved_buffer(blob.block_length(fetch->block));
  }
  const std::uint64_t begin = part->blocks.front()->block * blob.block_size;
  hub::FetchRequest request;
  request.file = blob.file;
  request.range = {begin, begin + part->bytes};
  request.deadline = clock_.now() + options_.read_deadline;
  request.on_bytes = [self = shared_from_this(), part](std::uint64_t offset, ByteView bytes) {
    self->on_bytes(*part, offset, bytes);
  };
  request.on_done = [self = shared_from_this(), part](const Result<void>& result) {
    self->on_done(*part, result);
  };
  {
    MutexLock lock(blob.mutex);
    request.priority = part->priority;
    part->progress = clock_.awake();
  }
  const hub::Priority asked = request.priority;
  const hub::FetchId id = blob.hub.fetch(std::move(request));
  {
    MutexLock lock(blob.mutex);
    part->id = id;
  }
  // Whoever made it urgent meanwhile found neither an id nor a place in the queue.
  if (part->priority != asked) blob.hub.raise_priority(id, part->priority);
}

void ReaderCore::make_urgent(const PartPtr& part, std::optional<hub::FetchId> id) {
  if (id) return part->blob->hub.raise_priority(*id, hub::Priority::kDemand);
  MutexLock lock(mutex_);
  const auto it = std::find(queued_.begin(), queued_.end(), part);
  if (it == queued_.end()) return;
  queued_.erase(it);
  queued_.push_front(part);
}

void ReaderCore::on_bytes(Part& part, std::uint64_t offset, ByteView bytes) {
  OpenBlob& blob = *part.blob;
  while (!bytes.empty()) {
    const std::uint64_t block = offset / blob.block_size;
    const BlockFetchPtr fetch = part.blocks.at(block - part.blocks.front()->block);
    const std::size_t length = blob.block_length(block);
    const std::size_t at = offset - block * blob.block_size;
    const ByteView taken = bytes.first(std::min(bytes.size(), length - at));
    if (fetch->data->empty()) fetch->data->resize(length);
    std::memcpy(fetch->data->data() + at, taken.data(), taken.size());
    offset += taken.size();
    bytes = bytes.subspan(taken.size());
    const bool complete = at + taken.size() == length;
    const bool is_last =
        complete && !blob.one_block() && blob.stored->cached_bytes() + length == blob.size;
    std::vector<Waiter> served;
    {
      MutexLock lock(blob.mutex);
      if (is_last) blob.await_verdict(block, clock_.awake());  // before anybody can have its end
      fetch->filled = at + taken.size();
      part.progress = clock_.awake();
      if (!complete && !blob.one_block()) {
        const auto ready =
            std::partition(fetch->waiters.begin(), fetch->waiters.end(),
                           [&](const Waiter& waiter) { return waiter.range.end > fetch->filled; });
        served.assign(std::make_move_iterator(ready),
                      std::make_move_iterator(fetch->waiters.end()));
        fetch->waiters.erase(ready, fetch->waiters.end());
      }
    }
    deliver(*fetch->data, served);
    if (complete) block_complete(blob, fetch, is_last);
  }
}

void ReaderCore::block_complete(OpenBlob& blob, const BlockFetchPtr& fetch, bool is_last) {
  if (blob.one_block()) {
    Digest digest = Digest::for_content(blob.file.content);
    digest.update(*fetch->data);
    const std::string found = digest.finish_hex();
    if (found != blob.file.content.hex()) {
      on_verdict(blob.stored->key(), cache::wrong_hash(blob.file.content, found));
      return refetch(fetch->part->blob, fetch);
    }
  }
  fetched_.fetch_add(1, std::memory_order_relaxed);
  const bool verdict_follows = blob.stored->put(fetch->block, fetch->data);
  if (is_last && !verdict_follows) release_held(blob, {});  // it, or another, is not kept
  std::vector<Waiter> served;
  {
    MutexLock lock(blob.mutex);
    served.swap(fetch->waiters);
    blob.fetching.erase(fetch->block);
    blob.failed.erase(fetch->block);
  }
  deliver(*fetch->data, served);
}

// Once more, or, when it came wrong twice, an error for those who wait.
void ReaderCore::refetch(const std::shared_ptr<OpenBlob>& blob, const BlockFetchPtr& fetch) {
  Parts parts;
  std::vector<Waiter> waiters;
  std::optional<Error> refused;
  {
    MutexLock lock(blob->mutex);
    waiters.swap(fetch->waiters);
    blob->fetching.erase(fetch->block);
    refused = blob->refused;
    if (!refused && !waiters.empty()) {
      add_block(blob, fetch->block, hub::Priority::kDemand, parts)->waiters.swap(waiters);
    }
  }
  if (refused) fail_waiters(waiters, *refused);
  enqueue(parts);
}

void ReaderCore::on_done(Part& part, const Result<void>& result) {
  OpenBlob& blob = *part.blob;
  std::vector<Waiter> waiters;
  const Error error =
      result ? Error{ErrorCode::kInternal, "a fetch ended before its last byte"} : result.error();
  std::vector<BlockFetchPtr> ended;  // their buffers are given back after the lock
  std::optional<TimePoint> failed_until;
  {
    MutexLock lock(blob.mutex);
    for (const BlockFetchPtr& fetch : part.blocks) {
      const auto it = blob.fetching.find(fetch->block);
      if (it == blob.fetching.end() || it->second != fetch) continue;  // complete
      ended.push_back(fetch);
      blob.fetching.erase(it);
      if (!fetch->waiters.empty() && error.code != ErrorCode::kCancelled) {
        failed_until = note_failed_block(blob, fetch->block, error);
      }
      std::move(fetch->waiters.begin(), fetch->waiters.end(), std::back_inserter(waiters));
      fetch->waiters.clear();
    }
  }
  for (const BlockFetchPtr& fetch : part.blocks) {
    fetch->part.reset();  // they refer to each other
    fetch->data.reset();
  }
  part.blocks.clear();
  if (failed_until) keep_failing(part.blob, *failed_until);
  fail_waiters(waiters, error);
}

// With the blob's mutex held.
TimePoint ReaderCore::note_failed_block(OpenBlob& blob, std::uint64_t block,
                                        const Error& error) NO_THREAD_SAFETY_ANALYSIS {
  Failure& failure = blob.failed[block];
  failure.backoff =
      failure.backoff.count() == 0
          ? kFirstBackoff
          : std::min(failure.backoff * 2, is_denial(error.code) ? kMaxDenial : kMaxBackoff);
  failure.error = error;
  failure.until = clock_.now() + failure.backoff;
  return failure.until;
}

// Beyond its last close: a program that opens, fails and closes again and again asks no more often
// than one that reads on.
void ReaderCore::keep_failing(const std::shared_ptr<OpenBlob>& blob, TimePoint until) {
  std::shared_ptr<OpenBlob> oldest;  // let go after the lock
  MutexLock lock(mutex_);
  if (closed_) return;
  failing_.emplace_back(blob, until);
  if (failing_.size() <= kRememberedFailures) return;
  oldest = std::move(failing_.front().first);
  failing_.pop_front();
}

void ReaderCore::let_go_of_failing() {
  std::vector<std::shared_ptr<OpenBlob>> past;
  MutexLock lock(mutex_);
  const TimePoint now = clock_.now();
  std::erase_if(failing_, [&](auto& item) {
    if (!closed_ && item.second > now) return false;
    past.push_back(std::move(item.first));
    return true;
  });
}

void ReaderCore::fail_waiters(const std::vector<Waiter>& waiters, const Error& error) {
  for (const Waiter& waiter : waiters) waiter.job->fail(error);
}

void ReaderCore::on_verdict(const cache::BlobKey& key, const Result<void>& verdict) {
  std::shared_ptr<OpenBlob> blob;
  {
    MutexLock lock(mutex_);
    const auto it = blobs_.find(key);
    if (it != blobs_.end()) blob = it->second.lock();
    const auto wrong = wrong_.find(key);
    if (verdict && wrong != wrong_.end()) wrong->second.in_a_row = 0;
  }
  if (verdict) {
    if (blob) release_held(*blob, verdict);
    return;
  }
  if (verdict.error().code == ErrorCode::kNotFound) {  // not judged: the store did not keep it
    if (blob) release_held(*blob, {});
    return;
  }
  corrupt_.fetch_add(1, std::memory_order_relaxed);
  const Error error = count_mismatch(key, blob.get(), verdict.error());
  failures_->note(LogLevel::kError, "content " + error.cause, error.context);
  if (blob) release_held(*blob, error);
}

// The error for those who read it. A larger file may have given them wrong bytes already, so even
// the first time is an error for them; the next to open it gets it anew.
Error ReaderCore::count_mismatch(const cache::BlobKey& key, const OpenBlob* blob,
                                 const Error& mismatch) {
  const std::string what = blob != nullptr ? name_of(blob->file) + ": " : "";
  MutexLock lock(mutex_);
  if (wrong_.size() >= kRememberedMismatches) wrong_.clear();
  Wrong& wrong = wrong_[key];
  ++wrong.ever;
  const bool refused = ++wrong.in_a_row > 1;
  const char* next = refused ? ": it came wrong twice and is refused; look for what changes it on "
                               "its way, then mount anew"
                             : ": it is fetched again when it is next asked for";
  wrong.last = {ErrorCode::kCorrupt, what + mismatch.context + next,
                key.content.hex() + (refused ? " refused" : "")};
  return wrong.last;
}

// For those who were held back, and where it is wrong for all who read it.
void ReaderCore::release_held(OpenBlob& blob, const Result<void>& verdict) {
  std::vector<JobPtr> held;
  {
    MutexLock lock(blob.mutex);
    blob.judged_block.reset();
    held.swap(blob.held);
    // One block was given to nobody: the first time it is just fetched again.
    if (!verdict && (!blob.one_block() || times_wrong_in_a_row(blob.stored->key()) > 1)) {
      blob.refused = verdict.error();
    }
    blob.doubtful = blob.refused.has_value();
  }
  for (const JobPtr& job : held) {
    if (verdict) {
      job->piece_arrived();
    } else {
      job->fail(verdict.error());
    }
  }
}

int ReaderCore::times_wrong_in_a_row(const cache::BlobKey& key) const {
  MutexLock lock(mutex_);
  const auto it = wrong_.find(key);
  return it == wrong_.end() ? 0 : it->second.in_a_row;
}

std::uint64_t ReaderCore::times_wrong(const cache::BlobKey& key) const {
  MutexLock lock(mutex_);
  const auto it = wrong_.find(key);
  return it == wrong_.end() ? 0 : it->second.ever;
}

void ReaderCore::forget_denials() {
  for (const auto& blob : live_blobs()) {
    MutexLock lock(blob->mutex);
    std::erase_if(blob->failed, [](const auto& item) { return is_denial(item.second.error.code); });
  }
}

void ReaderCore::forget_wrong() {
  MutexLock lock(mutex_);
  for (auto& [key, wrong] : wrong_) wrong.in_a_row = 0;
}

std::shared_ptr<Bytes> ReaderCore::reserved_buffer(std::uint64_t size) {
  return {new Bytes, [weak = weak_from_this(), size](Bytes* bytes) {
            delete bytes;
            if (const auto core = weak.lock()) core->release(size);
          }};
}

void ReaderCore::release(std::uint64_t bytes) {
  {
    MutexLock lock(mutex_);
    reserved_ -= bytes;
  }
  if (!closed_) start_queued();
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
  const TimePoint now = clock_.awake();  // after a suspend, parked reads go again
  const Duration limit = options_.read_deadline + kExpiryGrace;
  for (const auto& blob : live_blobs()) {
    std::vector<Waiter> late;
    bool no_verdict = false;
    {
      MutexLock lock(blob->mutex);
      no_verdict = blob->judged_block && waits_in_vain(*blob, now);
      for (auto& [block, fetch] : blob->fetching) {
        const TimePoint progress = fetch->part->progress;
        std::erase_if(fetch->waiters, [&](const Waiter& waiter) {
          if (now - std::max(waiter.since, progress) <= limit) return false;
          late.push_back(waiter);
          return true;
        });
      }
    }
    if (no_verdict) release_held(*blob, {});
    if (late.empty()) continue;
    const auto waited = std::chrono::duration_cast<std::chrono::seconds>(options_.read_deadline);
    fail_waiters(late,
                 {ErrorCode::kTimedOut, "fetch of " + name_of(blob->file) + ": nothing came for " +
                                            std::to_string(waited.count()) +
                                            " s: check the network, or raise read.deadline"});
  }
}

// With the blob's mutex held. Of what is not whole any more no verdict comes (a store tells so, but
// for one that is still starting), and a large file that did not come in order takes long to hash.
bool ReaderCore::waits_in_vain(const OpenBlob& blob, TimePoint now) NO_THREAD_SAFETY_ANALYSIS {
  const Duration waited = now - blob.judging_since;
  return waited >= kLateVerdict || (waited >= kNoVerdict && !blob.stored->complete());
}

void ReaderCore::close() {
  closed_ = true;
  Parts queued;
  {
    MutexLock lock(mutex_);
    queued.assign(queued_.begin(), queued_.end());
    queued_.clear();
  }
  const Error stopping{ErrorCode::kCancelled, "the filesystem is stopping"};
  for (const PartPtr& part : queued) on_done(*part, stopping);
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
        if (fetch->part->id) ids.push_back(*fetch->part->id);
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
  return {reads_, waited_, waiting_, fetched_, reserved_, corrupt_};
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
                                               const hub::FileRef& file, hub::HubClient& hub) {
  return core_->open(space, file, hub);
}

void Reader::read(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Done done) {
  core_->read(blob, range, std::move(done));
}

void Reader::prefetch(const std::shared_ptr<OpenBlob>& blob, ByteRange range, Done done) {
  core_->prefetch(blob, range, std::move(done));
}

const cache::Blob& Reader::stored(const OpenBlob& blob) { return *blob.stored; }

std::uint64_t Reader::times_wrong(const OpenBlob& blob) const {
  return core_->times_wrong(blob.stored->key());
}

void Reader::forget_denials() { core_->forget_denials(); }

void Reader::forget_wrong() { core_->forget_wrong(); }

void Reader::expire() { core_->expire(); }

ReaderStats Reader::stats() const { return core_->stats(); }

}  // namespace hubvfs::fs
