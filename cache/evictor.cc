// SPDX-License-Identifier: Apache-2.0
#include "cache/evictor.h"

#include <algorithm>
#include <map>

namespace hubvfs::cache {
namespace {
constexpr int kAttempts = 8;  // to plan without files that are in use
}

bool Evictor::may_go(const BlobEntry& entry) const {
  return !entry.pinned() && !context_.in_passthrough(entry.key());
}

bool Evictor::came_back(const BlobEntry& entry, std::uint64_t block) const {
  return ghosts_ && ghosts_->contains(entry.key(), block);
}

void Evictor::begin_plan() {
  entries_ = context_.table.snapshot();
  std::erase_if(entries_, [&](const EntryPtr& entry) { return !may_go(*entry); });
  plan_.clear();
  next_ = 0;
  planned_bytes_ = 0;
}

// Ranked by their last use, or as they came in.
void Evictor::add_candidates(std::uint32_t entry, bool by_use,
                             std::vector<EvictionCandidate>& candidates,
                             std::vector<bool>& complete) const {
  const BlobEntry& blob = *entries_[entry];
  const std::size_t first = candidates.size();
  complete.push_back(blob.for_each_evictable([&](std::uint64_t block, const BlockSlot& slot) {
    if (block >= kWhole) return;
    candidates.push_back({by_use ? slot.epoch : slot.fill, entry, static_cast<std::uint32_t>(block),
                          blob.length(block), slot.hot && by_use});
  }));
  if (!context_.whole_blobs || candidates.size() == first) return;
  EvictionCandidate all{0, entry, kWhole, 0, false};
  for (std::size_t i = first; i < candidates.size(); ++i) {
    all.rank = std::max(all.rank, candidates[i].rank);
    all.length += candidates[i].length;
    all.hot = all.hot || candidates[i].hot;
  }
  candidates.resize(first);
  candidates.push_back(all);
}

void Evictor::plan(std::uint64_t bytes) {
  if (planned() && for_room_ && planned_bytes_ >= bytes) return;
  begin_plan();
  if (!ghosts_) ghosts_.emplace(context_.quota.limit(), context_.block_size);
  for_room_ = true;
  expired_ = false;
  const bool by_use = context_.eviction.policy != EvictionPolicy::kFifo;
  std::vector<EvictionCandidate> victims = choose(bytes, by_use);
  for (int attempt = 0; attempt < kAttempts && leave_out_used(victims); ++attempt) {
    victims = choose(bytes, by_use);
  }
  for (const auto& victim : victims) {
    plan_.push_back({by_use ? victim.rank : UINT64_MAX, victim.blob, victim.block});
    planned_bytes_ += victim.length;
  }
}

std::vector<EvictionCandidate> Evictor::choose(std::uint64_t bytes, bool by_use) const {
  std::vector<EvictionCandidate> candidates;
  candidates.reserve(context_.counters.blocks);
  std::vector<bool> complete;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    add_candidates(i, by_use, candidates, complete);
  }
  // What came first goes first: fifo allows none of it.
  const std::uint64_t leeway = by_use ? bytes / 4 : 0;
  return choose_victims(std::move(candidates), complete, bytes, leeway);
}

// Of the whole cache only the files that were chosen are looked at. True: some may not go, and
// others have to in their stead, or a file that is mapped for long would keep the cache full.
bool Evictor::leave_out_used(const std::vector<EvictionCandidate>& victims) {
  std::vector<bool> looked(entries_.size());
  bool any = false;
  for (const EvictionCandidate& victim : victims) {
    if (looked[victim.blob]) continue;
    looked[victim.blob] = true;
    if (!context_.in_use(*entries_[victim.blob])) continue;
    entries_[victim.blob].reset();
    any = true;
  }
  if (any) std::erase(entries_, nullptr);
  return any;
}

void Evictor::plan_unused_for(Duration age, bool expired) {
  begin_plan();
  for_room_ = false;
  expired_ = expired;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(age).count();
  const std::uint64_t kept_from = UseClock::at(context_.counters.uses.now() - seconds + 1);
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    std::vector<EvictionCandidate> candidates;
    std::vector<bool> complete;
    add_candidates(i, true, candidates, complete);
    for (const auto& candidate : candidates) {
      if (candidate.rank >= kept_from) continue;
      plan_.push_back({candidate.rank, i, candidate.block});
      planned_bytes_ += candidate.length;
    }
  }
}

BlobEntry::Uses Evictor::uses_of(const Victim& victim) const {
  const BlobEntry& entry = *entries_[victim.entry];
  if (victim.block != kWhole) return {{victim.block, victim.epoch}};
  BlobEntry::Uses uses;
  entry.for_each_evictable([&](std::uint64_t block, const BlockSlot& slot) {
    if (slot.epoch <= victim.epoch) uses.emplace_back(block, victim.epoch);
  });
  // Part of a file gives nothing back where it cannot be punched.
  return uses.size() == entry.info().blocks ? uses : BlobEntry::Uses();
}

Evictor::Drops Evictor::drop_next(std::size_t most) {
  std::map<std::uint32_t, BlobEntry::Uses> taken;
  for (std::size_t count = 0; count < most && planned(); ++next_) {
    const Victim& victim = plan_[next_];
    BlobEntry::Uses uses = uses_of(victim);
    count += std::max<std::size_t>(uses.size(), 1);
    auto& of_entry = taken[victim.entry];
    of_entry.insert(of_entry.end(), uses.begin(), uses.end());
  }
  Drops drops;
  for (auto& [index, uses] : taken) {
    const EntryPtr& entry = entries_[index];
    if (entry->pinned() || context_.in_use(*entry)) continue;  // perhaps only since the plan
    std::sort(uses.begin(), uses.end());
    auto dropped = entry->drop_unused(uses, context_.whole_blobs);
    if (dropped.empty()) continue;
    for (const std::uint64_t block : dropped) {
      if (for_room_) ghosts_->add(entry->key(), block, entry->length(block));
    }
    context_.counters.evicted += dropped.size();
    if (expired_) context_.counters.expired += dropped.size();
    drops.emplace_back(entry, std::move(dropped));
  }
  for (const auto& [entry, uses] : taken) {
    for (const auto& [block, epoch] : uses) {
      planned_bytes_ -= std::min(planned_bytes_, entries_[entry]->length(block));
    }
  }
  if (!planned()) {
    entries_.clear();
    plan_ = {};
    planned_bytes_ = 0;
  }
  return drops;
}

}  // namespace hubvfs::cache
