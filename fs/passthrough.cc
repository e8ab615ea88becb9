// SPDX-License-Identifier: Apache-2.0
#include "fs/passthrough.h"

#include <utility>

namespace hubvfs::fs {
namespace {

// Longer than the kernel takes to look the name up again, and short enough to try again.
constexpr Duration kRefusedFor = std::chrono::seconds(10);
constexpr std::size_t kRefusedNodes = 4096;

Error stale() { return {ErrorCode::kStale, "this file is not passed through now"}; }

}  // namespace

void Passthrough::set(bool on, std::string why_not) {
  MutexLock lock(mutex_);
  on_ = on && backing_ != nullptr;
  why_not_ = std::move(why_not);
}

bool Passthrough::on() const {
  MutexLock lock(mutex_);
  return on_;
}

std::string Passthrough::why_not() const {
  MutexLock lock(mutex_);
  return why_not_;
}

std::uint64_t Passthrough::opens() const {
  MutexLock lock(mutex_);
  return opens_;
}

Passthrough::Mode Passthrough::mode_of(std::uint64_t ino, const cache::Blob& blob) const {
  if (!on() || blob.key().content.size() < cache::kSmallBlob) return Mode::kRead;
  if (!blob.sealed()) return Mode::kReadForNow;
  MutexLock lock(mutex_);
  const auto refused = refused_.find(ino);
  const bool passed = refused == refused_.end() || refused->second <= clock_.awake();
  return passed ? Mode::kPassed : Mode::kReadForNow;
}

// Counted first, then asked whether it is sealed: the cache drops blocks first and then looks
// whether the file is open. The id of a node is known as long as one handle after the other has
// kept it in the open table, and so is good.
void Passthrough::open(NodeId node, Handle handle, const std::shared_ptr<cache::Blob>& blob,
                       Done done) {
  std::optional<std::int32_t> known;
  bool on = false;
  {
    MutexLock lock(mutex_);
    files_->open(blob->key(), mount_, node, handle);
    known = ids_[node.raw()];
    on = on_;
  }
  const auto file = on ? blob->sealed_file() : Result<std::string>(stale());
  if (!file) {
    release(node, handle);
    return done(stale());
  }
  const auto opened = [self = shared_from_this(), node, handle,
                       done = std::move(done)](const Result<std::int32_t>& id) {
    if (!id) return self->refuse(node, handle, done);
    {
      MutexLock lock(self->mutex_);
      ++self->opens_;
      const auto open_node = self->ids_.find(node.raw());
      if (open_node != self->ids_.end()) open_node->second = *id;
    }
    done(id);
  };
  if (known) return opened(*known);
  backing_->open(mount_, node, *file, opened);
}

void Passthrough::refuse(NodeId node, Handle handle, const Done& done) {
  release(node, handle);
  {
    const TimePoint now = clock_.awake();
    MutexLock lock(mutex_);
    if (refused_.size() >= kRefusedNodes) {
      std::erase_if(refused_, [now](const auto& item) { return item.second <= now; });
    }
    if (refused_.size() >= kRefusedNodes) refused_.clear();
    refused_[node.ino()] = now + kRefusedFor;
  }
  done(stale());
}

void Passthrough::release(NodeId node, Handle handle) {
  {
    MutexLock lock(mutex_);
    if (files_->close(mount_, node, handle) > 0) return;
    ids_.erase(node.raw());
  }
  if (backing_ != nullptr) backing_->closed();
}

}  // namespace hubvfs::fs
