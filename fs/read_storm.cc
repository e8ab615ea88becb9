// SPDX-License-Identifier: Apache-2.0
#include "fs/read_storm.h"

#include <algorithm>
#include <map>
#include <set>

namespace hubvfs::fs {
namespace {
constexpr std::size_t kThreads = 2;
constexpr std::size_t kPlaces = 3;
constexpr std::uint64_t kStreamedForRead = 4;
constexpr std::uint64_t kMaxCredit = 256u << 20;
}  // namespace

bool ReadStorm::is_storm() const {
  std::map<std::uint32_t, std::uint64_t> last;
  std::set<std::uint32_t> jumped;
  std::set<std::uint64_t> places;
  for (std::size_t i = seen_ - std::min(seen_, waits_.size()); i < seen_; ++i) {
    const Wait& wait = waits_[i % waits_.size()];
    const auto [it, first] = last.try_emplace(wait.thread, wait.at);
    const std::uint64_t near = std::min(it->second, wait.at);
    if (!first && std::max(it->second, wait.at) - near > kReachOfThread) jumped.insert(wait.thread);
    it->second = wait.at;
    places.insert(wait.place);
  }
  return jumped.size() >= kThreads && places.size() >= kPlaces;
}

ByteRange ReadStorm::bounds(const TensorLayout* layout) const {
  if (layout == nullptr) return {0, blob_size_};
  std::uint64_t first = blob_size_;
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < std::min(seen_, waits_.size()); ++i) {
    if (waits_[i].at < layout->header_end()) continue;  // counted before the layout was known
    first = std::min(first, waits_[i].at);
    last = std::max(last, waits_[i].at);
  }
  if (first > last) return {0, blob_size_};
  const ByteRange tensor = layout->extent_at(first + (last - first) / 2);
  if (first + kKernelAhead < tensor.begin || last > tensor.end + kKernelAhead) {
    return {0, blob_size_};
  }
  const std::uint64_t end = (tensor.end + block_size_ - 1) / block_size_ * block_size_;
  return {tensor.begin / block_size_ * block_size_, std::min(end, blob_size_)};
}

std::optional<ReadStorm::Sweep> ReadStorm::on_read(const ReadSeen& read, std::uint64_t place,
                                                   const TensorLayout* layout, std::uint64_t room) {
  const bool in_header = layout != nullptr && read.range.begin < layout->header_end();
  if (read.waited && !in_header) {
    waits_[seen_++ % waits_.size()] = {read.thread, place, read.range.begin};
    next_ = (read.range.end + block_size_ - 1) / block_size_ * block_size_;
    raging_ = is_storm();
  }
  if (!raging_) {
    credit_ = 0;
    return {};
  }
  const std::uint64_t used =
      read.waited ? std::max(read.range.size(), block_size_) : read.range.size();
  credit_ = std::min(kMaxCredit, credit_ + kStreamedForRead * used);
  const std::uint64_t most = std::min(credit_, room);
  if (most < block_size_) return {};
  Sweep sweep{bounds(layout), next_, most};
  if (next_ < sweep.within.begin || next_ >= sweep.within.end) sweep.from = sweep.within.begin;
  return sweep;
}

void ReadStorm::swept(std::uint64_t bytes, std::uint64_t next) {
  credit_ -= std::min(credit_, bytes);
  next_ = next;
}

}  // namespace hubvfs::fs
