// SPDX-License-Identifier: Apache-2.0
#include "cache/quota.h"

namespace hubvfs::cache {
namespace {

std::uint64_t percent(std::uint64_t of, std::uint64_t parts) {
  return of / 100 * parts + of % 100 * parts / 100;
}

}  // namespace

void Quota::set_limit(std::uint64_t limit, std::uint64_t free_on_disk) {
  limit_ = limit != 0 ? limit : percent(free_on_disk + used(), 80);
}

bool Quota::reserve(std::uint64_t bytes) {
  std::uint64_t used = used_.load();
  do {
    if (used > limit() || bytes > limit() - used) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes));
  return true;
}

std::uint64_t Quota::to_evict(std::uint64_t bytes) const {
  const std::uint64_t wanted = used() + bytes;
  if (wanted <= percent(limit(), settings_.high_watermark)) return 0;
  return wanted - percent(limit(), settings_.low_watermark);
}

std::uint64_t Quota::min_free(const DiskSpace& space) const {
  const MinFree& wanted = settings_.min_free;
  return wanted.bytes ? *wanted.bytes : percent(space.total, wanted.percent);
}

std::uint64_t Quota::to_evict(const DiskSpace& space, std::uint64_t bytes) const {
  if (space.total == 0) return 0;  // a filesystem that does not tell
  const std::uint64_t wanted = min_free(space) + bytes;
  return space.available >= wanted ? 0 : wanted - space.available;
}

}  // namespace hubvfs::cache
