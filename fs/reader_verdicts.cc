// SPDX-License-Identifier: Apache-2.0
// The part of ReaderCore that deals with content which is, or may be, not what its hash says.
#include <algorithm>

#include "base/text.h"
#include "cache/names.h"
#include "fs/reader_core.h"

namespace hubvfs::fs {
namespace {

constexpr Duration kNoVerdict = std::chrono::seconds(2);  // of content that is not whole any more
constexpr Duration kLateVerdict = std::chrono::seconds(10);
constexpr std::size_t kRememberedMismatches = 1024;

}  // namespace

// Nobody must get the whole of a content before it is known to be right.
void ReaderCore::give_doubtful(const std::shared_ptr<OpenBlob>& blob, ByteRange range,
                               ByteView bytes, const Reader::Done& done) {
  std::optional<Error> refused;
  {
    MutexLock lock(blob->mutex);
    refused = blob->refused;
    if (!refused && blob->waits_for_verdict(range)) {
      // Keeps the blob until it is answered, whoever closes it.
      const JobPtr job =
          make_job(range, 1, [blob, done](const Result<ByteView>& given) { done(given); });
      job->out.assign(bytes.begin(), bytes.end());
      blob->held.push_back(job);
      return;
    }
  }
  if (refused) return done(*refused);
  done(bytes);
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

// With the blob's mutex held. Of what is not whole any more no verdict comes (a store tells so, but
// for one that is still starting), and a large file that did not come in order takes long to hash.
bool ReaderCore::waits_in_vain(const OpenBlob& blob, TimePoint now) NO_THREAD_SAFETY_ANALYSIS {
  const Duration waited = now - blob.judging_since;
  return waited >= kLateVerdict || (waited >= kNoVerdict && !blob.stored->complete());
}

std::string ReaderCore::name_of(const hub::FileRef& file) {
  return file.repo.name + "/" + escape_for_log(file.path, 200);
}

}  // namespace hubvfs::fs
