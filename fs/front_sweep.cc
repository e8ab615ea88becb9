// SPDX-License-Identifier: Apache-2.0
#include "fs/front_sweep.h"

#include <algorithm>

namespace hubvfs::fs {
namespace {
constexpr std::uint64_t kMaxCredit = 64u << 20;
}  // namespace

std::optional<ReadStorm::Sweep> FrontSweep::on_read(ByteRange range, std::uint64_t end,
                                                    std::uint64_t room) {
  credit_ = std::min(kMaxCredit, credit_ + range.size());
  const std::uint64_t most = std::min(credit_, room);
  if (most < block_size_ || next_ >= end) return {};
  end_ = end;
  return ReadStorm::Sweep{{next_, end}, next_, most, true};
}

void FrontSweep::swept(std::uint64_t bytes, std::uint64_t next) {
  credit_ -= std::min(credit_, bytes);
  next_ = next > next_ ? next : end_;
}

}  // namespace hubvfs::fs
