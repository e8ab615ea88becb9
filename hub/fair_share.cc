// SPDX-License-Identifier: Apache-2.0
#include "hub/fair_share.h"

#include <algorithm>

namespace hubvfs::hub {
namespace {
constexpr std::size_t kMostFlows = 1024;  // with more that have a claim all begin anew
}  // namespace

std::uint64_t FairShare::tag(std::uint64_t flow) const {
  if (flow == 0) return 0;
  const auto found = given_.find(flow);
  return found == given_.end() ? now_ : std::max(now_, found->second);
}

void FairShare::give(std::uint64_t flow, std::uint64_t bytes) {
  if (flow == 0) return;
  now_ = tag(flow);
  given_[flow] = now_ + bytes;
  if (given_.size() < kMostFlows) return;
  std::erase_if(given_, [this](const auto& item) { return item.second <= now_; });
  if (given_.size() < kMostFlows / 2) return;
  for (const auto& item : given_) now_ = std::max(now_, item.second);
  given_.clear();
}

void FairShare::take_back(std::uint64_t flow, std::uint64_t bytes) {
  const auto found = given_.find(flow);
  if (found != given_.end()) found->second -= std::min(found->second, bytes);
}

}  // namespace hubvfs::hub
