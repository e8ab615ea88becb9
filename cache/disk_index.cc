// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_index.h"

#include <fcntl.h>

#include <chrono>
#include <utility>

#include "cache/lmdb_meta_index.h"
#include "cache/lmdb_probe.h"
#include "cache/memory_meta_index.h"

namespace hubvfs::cache {
namespace {

constexpr std::chrono::seconds kProbeLimit{30};
constexpr const char* kIndexName = "index";
constexpr const char* kBadIndexName = "index.bad";
// There while the index is opened, and where it is out of date. Found at a start: the one before
// died of it, or kept its own in memory.
constexpr const char* kOpeningName = "index.opening";

}  // namespace

DiskIndex::~DiskIndex() {
  // Perhaps now, if not when it was opened.
  if (in_memory_) mark();
}

// A full disk has no room for the mark; that must not keep the cache from being read.
void DiskIndex::mark() const {
  (void)root_.open_file(kOpeningName, O_WRONLY | O_CREAT).has_value();
}

Result<MetaIndex*> DiskIndex::open() {
  auto opened = open_on_disk();
  if (opened) return index_.get();
  log_.warning("cache: the index is kept in memory only: " + opened.error().context);
  index_ = std::make_unique<MemoryMetaIndex>();  // it is only an index
  in_memory_ = true;
  mark();
  return index_.get();
}

Result<MetaIndex*> DiskIndex::replace(const std::string& why) {
  if (auto aside = set_aside(why); !aside) return aside.error();
  return open();
}

void DiskIndex::opened() {
  if (in_memory_) return;
  // A mark that stays costs the next start a new index.
  if (auto removed = root_.remove_file(kOpeningName); !removed) {
    log_.warning("cache: " + removed.error().context);
  }
}

Result<void> DiskIndex::open_directory() {
  auto directory = root_.make_directory(kIndexName);
  if (!directory) return directory.error();
  directory_ = std::make_unique<Directory>(std::move(*directory));
  return {};
}

// A child process has read it before; one that is damaged is set aside.
Result<void> DiskIndex::open_on_disk() {
  index_.reset();
  if (auto opened = open_directory(); !opened) return opened;
  std::string why = "the last start died while it opened it, or could not use it";
  const bool died = root_.open_file(kOpeningName, O_RDONLY).has_value();
  if (died || !probe_index(*directory_, kProbeLimit, why)) {
    if (auto aside = set_aside(why); !aside) return aside;
  }
  mark();
  auto index = LmdbMetaIndex::open(*directory_);
  if (!index && index.error().code == ErrorCode::kCorrupt) {
    if (auto aside = set_aside(index.error().context); !aside) return aside;
    index = LmdbMetaIndex::open(*directory_);
  }
  if (!index) return index.error();
  index_ = std::move(*index);
  return {};
}

Result<void> DiskIndex::set_aside(const std::string& why) {
  log_.warning("cache: the index is damaged (" + why + "); it is kept as " + kBadIndexName +
               " and made anew from the sidecars");
  index_.reset();
  if (auto removed = root_.remove_directory(kBadIndexName); !removed) return removed;
  if (auto moved = root_.rename(kIndexName, kBadIndexName); !moved) return moved;
  return open_directory();
}

}  // namespace hubvfs::cache
