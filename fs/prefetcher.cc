// SPDX-License-Identifier: Apache-2.0
#include "fs/prefetcher.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/blocking.h"
#include "base/mutex.h"
#include "base/text.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kWindow = 8u << 20;  // bytes asked for at a time
constexpr unsigned kWindowsAFile = 2;        // so that one is on its way when the other has come
constexpr Duration kLook = std::chrono::milliseconds(200);
constexpr int kPasses = 2;  // what came wrong, or was evicted meanwhile, is fetched once more

// Others may be had all the same.
bool is_of_one_file(ErrorCode code) {
  return code == ErrorCode::kNotFound || code == ErrorCode::kGated ||
         code == ErrorCode::kPermissionDenied || code == ErrorCode::kCorrupt ||
         code == ErrorCode::kBadAnswer || code == ErrorCode::kInvalidArgument;
}

// What the Hub's thread tells the command's. Shared with fetches that outlive a run.
class Arrivals {
 public:
  struct Arrival {
    std::size_t file = 0;
    std::uint64_t bytes = 0;
    Result<void> result;
  };
  void add(Arrival arrival) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    come_.push_back(std::move(arrival));
    changed_.notify_one();
  }
  // What has come; after a while nothing.
  std::vector<Arrival> take() EXCLUDES(mutex_) {
    assert_may_block("a prefetch");
    MutexLock lock(mutex_);
    if (come_.empty()) changed_.wait_for(mutex_, kLook);
    return std::exchange(come_, {});
  }

 private:
  Mutex mutex_;  // lock rank: leaf
  CondVar changed_;
  std::vector<Arrival> come_ GUARDED_BY(mutex_);
};

}  // namespace

class Prefetcher::Run {
 public:
  Run(const Prefetcher& parts, cache::Namespace space, const std::vector<hub::FileRef>& files,
      const PrefetchOptions& options, const std::function<bool(const PrefetchState&)>& go_on)
      : reader_(parts.reader_),
        store_(parts.store_),
        hub_(parts.hub_),
        space_(std::move(space)),
        jobs_(std::max(1u, options.jobs)),
        go_on_(go_on) {
    std::unordered_set<ContentId> seen;
    for (const hub::FileRef& file : files) {
      if (seen.insert(file.content).second) files_.push_back({file, nullptr, 0, 0, {}, false});
    }
  }

  Result<Outcome> run() {
    for (int pass = 0; pass < kPasses; ++pass) {
      if (auto surveyed = survey(); !surveyed) return surveyed.error();
      if (auto filled = fill(); !filled) return filled.error();
      if (auto flushed = store_.flush(); !flushed) return flushed.error();
    }
    if (auto surveyed = survey(); !surveyed) return surveyed.error();
    static_cast<void>(go_on_(state_));
    return outcome();
  }

 private:
  struct File {
    hub::FileRef file;
    std::shared_ptr<OpenBlob> blob;  // while it is worked on
    std::uint64_t next = 0;          // block
    unsigned under_way = 0;          // windows
    std::optional<Error> failed;
    bool here = false;
  };

  // What of the files is here. Leaves none open.
  Result<void> survey() {
    const std::uint64_t fetched = state_.bytes_fetched;
    state_ = {};
    state_.bytes_fetched = fetched;
    state_.files = files_.size();
    for (File& file : files_) {
      const std::uint64_t size = file.file.content.size();
      state_.bytes += size;
      file.here = size == 0;
      if (!file.here && !file.failed) {
        auto blob = reader_.open(space_, file.file, hub_);
        if (!blob && blob.error().code != ErrorCode::kCorrupt) return blob.error();
        if (blob) {
          const cache::Blob& stored = Reader::stored(**blob);
          file.here = stored.complete();
          if (!file.here) state_.bytes_here += stored.cached_bytes();
        } else {
          file.failed = blob.error();
        }
      }
      if (!file.here) continue;
      ++state_.files_here;
      state_.bytes_here += size;
    }
    return {};
  }

  Result<void> fill() {
    waiting_.clear();
    for (std::size_t i = 0; i < files_.size(); ++i) {
      if (!files_[i].here && !files_[i].failed) waiting_.push_back(i);
    }
    active_.clear();
    while (!waiting_.empty() || !active_.empty()) {
      if (auto begun = ask_for_more(); !begun) return begun;
      if (!go_on_(state_)) return {ErrorCode::kCancelled, "stopped"};
      if (const std::string why = store_.stats().degraded; !why.empty()) {
        return {ErrorCode::kNoSpace, "the cache keeps nothing just now: " + why};
      }
      for (const Arrivals::Arrival& arrival : arrivals_->take()) {
        if (auto taken = take(arrival); !taken) return taken;
      }
    }
    return {};
  }

  Result<void> ask_for_more() {
    while (active_.size() < jobs_ && !waiting_.empty()) {
      const std::size_t index = waiting_.front();
      waiting_.pop_front();
      File& file = files_[index];
      auto blob = reader_.open(space_, file.file, hub_);
      if (!blob && blob.error().code != ErrorCode::kCorrupt) return blob.error();
      if (!blob) {
        file.failed = blob.error();
        continue;
      }
      file.blob = std::move(*blob);
      file.next = 0;
      state_.now = file.file.path;
      active_.push_back(index);
    }
    for (auto at = active_.begin(); at != active_.end();) {
      File& file = files_[*at];
      while (!file.failed && file.under_way < kWindowsAFile && ask_for_window(*at)) {
      }
      if (file.under_way != 0) {
        ++at;
        continue;
      }
      file.blob.reset();
      if (!file.failed) ++state_.files_here;
      at = active_.erase(at);
    }
    return {};
  }

  // The next blocks of a file that are not here. False: there are no more.
  bool ask_for_window(std::size_t index) {
    File& file = files_[index];
    const cache::Blob& stored = Reader::stored(*file.blob);
    const std::uint64_t block_size = store_.block_size();
    const std::uint64_t size = file.file.content.size();
    const std::uint64_t count = (size + block_size - 1) / block_size;
    while (file.next < count && stored.has(file.next)) ++file.next;
    if (file.next == count) return false;
    const std::uint64_t first = file.next;
    const std::uint64_t most = std::max<std::uint64_t>(1, kWindow / block_size);
    while (file.next < count && file.next - first < most && !stored.has(file.next)) ++file.next;
    const ByteRange range{first * block_size, std::min(size, file.next * block_size)};
    ++file.under_way;
    reader_.prefetch(
        file.blob, range, [arrivals = arrivals_, index, range](const Result<ByteView>& result) {
          arrivals->add(
              {index, range.size(), result ? Result<void>() : Result<void>(result.error())});
        });
    return true;
  }

  Result<void> take(const Arrivals::Arrival& arrival) {
    File& file = files_[arrival.file];
    --file.under_way;
    if (arrival.result) {
      state_.bytes_here += arrival.bytes;
      state_.bytes_fetched += arrival.bytes;
      return {};
    }
    if (!is_of_one_file(arrival.result.error().code)) return arrival.result;
    if (!file.failed) file.failed = arrival.result.error();
    return {};
  }

  Result<Outcome> outcome() {
    Outcome made;
    made.state = state_;
    std::uint64_t lost = 0;
    for (const File& file : files_) {
      if (file.failed) made.failed.push_back({file.file.path, *file.failed});
      if (!file.failed && !file.here) ++lost;
    }
    if (lost == 0) return made;
    const cache::StoreStats stats = store_.stats();
    return Error{ErrorCode::kNoSpace,
                 "the cache has not kept " + std::to_string(lost) + " of " +
                     std::to_string(files_.size()) + " files: it holds " +
                     human_bytes(stats.bytes_used) + " of " + human_bytes(stats.size_limit) +
                     " (cache.size), and what is pinned or in use is not given up for others"};
  }

  Reader& reader_;
  cache::BlobStore& store_;
  hub::HubClient& hub_;
  const cache::Namespace space_;
  const unsigned jobs_;
  const std::function<bool(const PrefetchState&)>& go_on_;
  const std::shared_ptr<Arrivals> arrivals_ = std::make_shared<Arrivals>();
  std::vector<File> files_;
  std::deque<std::size_t> waiting_;
  std::deque<std::size_t> active_;
  PrefetchState state_;
};

Result<std::vector<hub::FileRef>> Prefetcher::missing(const cache::Namespace& space,
                                                      const std::vector<hub::FileRef>& files) {
  std::vector<hub::FileRef> found;
  for (const hub::FileRef& file : files) {
    if (file.content.size() == 0) continue;
    auto blob = reader_.open(space, file, hub_);
    if (!blob && blob.error().code != ErrorCode::kCorrupt) return blob.error();
    if (!blob || !Reader::stored(**blob).complete()) found.push_back(file);
  }
  return found;
}

Result<Prefetcher::Outcome> Prefetcher::run(
    const cache::Namespace& space, const std::vector<hub::FileRef>& files,
    const PrefetchOptions& options, const std::function<bool(const PrefetchState&)>& go_on) {
  Run run(*this, space, files, options, go_on);
  return run.run();
}

}  // namespace hubvfs::fs
