// SPDX-License-Identifier: Apache-2.0
#include "cache/store_context.h"

#include "cache/file_stamp.h"
#include "cache/index_records.h"

namespace hubvfs::cache {

bool Health::may_try() const {
  MutexLock lock(mutex_);
  return reason_.empty() || clock_.now() >= retry_at_;
}

void Health::failed(const Error& error) {
  const std::string reason =
      what_ + (error.code == ErrorCode::kNoSpace ? " full: " : " failing: ") + error.context;
  bool is_new = false;
  ever_failed_ = true;
  {
    MutexLock lock(mutex_);
    is_new = reason_ != reason;
    reason_ = reason;
    code_ = error.code;
    retry_at_ = clock_.now() + kRetryAfter;
  }
  if (is_new) log_.warning("cache: not storing: " + reason);
  if (on_failure_) on_failure_();
}

void Health::failed_again() {
  MutexLock lock(mutex_);
  if (!reason_.empty()) retry_at_ = clock_.now() + kRetryAfter;
}

void Health::works() {
  {
    MutexLock lock(mutex_);
    if (reason_.empty()) return;
    reason_.clear();
  }
  log_.info("cache: " + what_ + " works again");
}

std::string Health::reason() const {
  MutexLock lock(mutex_);
  return reason_;
}

Result<void> Health::status() const {
  MutexLock lock(mutex_);
  if (reason_.empty()) return {};
  return {code_, reason_};
}

// A mapping outlives its descriptor, its mount and every process of ours, and no request tells of
// it: the kernel alone knows.
bool StoreContext::in_use(const BlobEntry& entry) {
  if (entry.small()) return false;
  if (in_passthrough(entry.key())) return true;
  if (!entry.on_disk()) return false;
  const auto file = files.open(entry.number(), blob_file_name(entry.key()));
  return file && open_elsewhere((*file)->get());
}

}  // namespace hubvfs::cache
