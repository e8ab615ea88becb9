// SPDX-License-Identifier: Apache-2.0
#include "fs/open_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMagic = 0x31'4e'45'50'4f'46'56'48;  // "HVFOPEN1" in memory
constexpr std::uint32_t kVersion = 3;
// Of handles that found no entry: more than are ever closed.
constexpr std::uint64_t kUnknown = std::uint64_t{1} << 63;

// The owner of an entry: its mount, and that it is one.
constexpr std::uint64_t kFree = 0;
std::uint64_t open_in(std::uint32_t mount) { return static_cast<std::uint64_t>(mount) << 32 | 1; }
std::uint32_t mount_of(std::uint64_t owner) { return static_cast<std::uint32_t>(owner >> 32); }

}  // namespace

struct OpenTable::Header {
  std::atomic<std::uint64_t> magic;
  std::atomic<std::uint32_t> version;
  std::atomic<std::uint32_t> header_bytes;
  std::atomic<std::uint32_t> slot_bytes;
  std::atomic<std::uint32_t> capacity;
  std::atomic<std::uint64_t> unrecorded;  // handles that found no entry, not yet closed
  std::atomic<std::uint32_t> used;        // slots from here on were never taken
  std::atomic<std::uint32_t> forgotten;   // how many mounts were
  std::atomic<std::uint32_t> opened;      // changes after each handle that was noted
  std::array<std::uint32_t, 5> reserved;
};

// Mount and use are one word, so that a mount is forgotten without touching an entry that has
// become another's. The rest is written while it is free.
struct OpenTable::Slot {
  std::atomic<std::uint64_t> owner;
  std::atomic<std::uint64_t> node;
  std::atomic<std::uint64_t> handle;
};

struct OpenTable::Region {
  Header header;
  std::array<Slot, kCapacity> slots;

  // In rising order of need: a reader that finds the magic finds the rest.
  void write_header() {
    header.version = kVersion;
    header.header_bytes = sizeof(Header);
    header.slot_bytes = sizeof(Slot);
    header.capacity = kCapacity;
    header.magic = kMagic;
  }
  bool fits() const {
    return header.magic == kMagic && header.version == kVersion &&
           header.header_bytes == sizeof(Header) && header.slot_bytes == sizeof(Slot) &&
           header.capacity == kCapacity;
  }
};

Result<UniqueFd> OpenTable::create_memfd() {
  static_assert(sizeof(Header) == 64 && sizeof(Slot) == 24);
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                std::atomic<std::uint32_t>::is_always_lock_free);
  UniqueFd fd(::memfd_create("hubvfs-open-table", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return system_error(errno, "memory for the open table");
  if (::ftruncate(fd.get(), sizeof(Region)) < 0) {
    return system_error(errno, "memory for the open table");
  }
  // A worker that shrank it would kill the keeper at its next look (SIGBUS).
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    return system_error(errno, "sealing the open table");
  }
  void* memory = ::mmap(nullptr, sizeof(Region), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return system_error(errno, "mapping the open table");
  static_cast<Region*>(memory)->write_header();
  ::munmap(memory, sizeof(Region));
  return fd;
}

Result<std::unique_ptr<OpenTable>> OpenTable::map(int fd, Logger& log) {
  struct stat st {};
  if (::fstat(fd, &st) < 0) return system_error(errno, "the open table's descriptor");
  if (st.st_size != static_cast<off_t>(sizeof(Region))) {
    return {ErrorCode::kInvalidArgument,
            "the open table's memory has " + std::to_string(st.st_size) + " bytes, not " +
                std::to_string(sizeof(Region)) + ": keeper and worker are of different versions"};
  }
  void* memory = ::mmap(nullptr, sizeof(Region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return system_error(errno, "mapping the open table");
  std::unique_ptr<OpenTable> table(new OpenTable(static_cast<Region*>(memory), log));
  MutexLock lock(table->mutex_);
  table->check_header();
  table->read_slots();
  return table;
}

Result<std::unique_ptr<OpenTable>> OpenTable::make_private(Logger& log) {
  const auto fd = create_memfd();
  if (!fd) return fd.error();
  return map(fd->get(), log);
}

OpenTable::~OpenTable() { ::munmap(region_, sizeof(Region)); }

void OpenTable::check_header() {
  if (region_->fits()) return;
  Header& header = region_->header;
  header.magic = 0;
  for (Slot& slot : region_->slots) slot.owner = kFree;
  header.used = 0;
  header.unrecorded = kUnknown;
  region_->write_header();
  log_.error(
      "the table of open files is not this version's: every file counts as open until all "
      "mounts are unmounted");
}

std::uint32_t OpenTable::used() const {
  return std::min<std::uint32_t>(region_->header.used, kCapacity);
}

void OpenTable::read_slots() {
  ++region_->header.opened;  // a worker before this may have died on the way to it
  slot_of_.clear();
  counts_.clear();
  free_.clear();
  forgotten_ = region_->header.forgotten;     // before what it is about
  for (std::uint32_t i = used(); i-- > 0;) {  // so that the lowest is taken first
    const Slot& slot = region_->slots[i];
    const std::uint64_t owner = slot.owner;
    if (owner == kFree) {
      free_.push_back(i);
      continue;
    }
    const Key key{{mount_of(owner), slot.node}, {slot.handle}};
    if (slot_of_.emplace(key, i).second) ++counts_[key.node];
  }
}

void OpenTable::follow_keeper() {
  if (forgotten_ != region_->header.forgotten) read_slots();
}

std::uint32_t OpenTable::count_of(const NodeKey& node) const {
  const auto it = counts_.find(node);
  return it == counts_.end() ? 0 : it->second;
}

OpenTable::Slot* OpenTable::take_free_slot() {
  if (!free_.empty()) {
    Slot& slot = region_->slots[free_.back()];
    free_.pop_back();
    return &slot;
  }
  const std::uint32_t next = used();
  if (next == kCapacity) return nullptr;
  region_->header.used = next + 1;  // first: what lies beyond is seen by nobody
  return &region_->slots[next];
}

void OpenTable::open(std::uint32_t mount, std::uint64_t node, Handle handle) {
  MutexLock lock(mutex_);
  follow_keeper();
  const Key key{{mount, node}, handle};
  if (slot_of_.contains(key) || unrecorded_.contains(key)) return;
  Slot* slot = take_free_slot();
  if (slot == nullptr) {
    unrecorded_.insert(key);
    if (region_->header.unrecorded++ == 0) {
      log_.warning("the table of open files is full: every file counts as open");
    }
    return;
  }
  slot->node = node;
  slot->handle = handle.number;
  slot->owner = open_in(mount);  // last: until then the slot is free
  ++region_->header.opened;      // before one that was open meanwhile can be closed
  slot_of_.emplace(key, static_cast<std::uint32_t>(slot - region_->slots.data()));
  ++counts_[key.node];
}

std::uint32_t OpenTable::close(std::uint32_t mount, std::uint64_t node, Handle handle) {
  MutexLock lock(mutex_);
  follow_keeper();
  const Key key{{mount, node}, handle};
  if (unrecorded_.erase(key) > 0) --region_->header.unrecorded;
  const auto it = slot_of_.find(key);
  if (it == slot_of_.end()) return count_of(key.node);
  region_->slots[it->second].owner = kFree;
  free_.push_back(it->second);
  slot_of_.erase(it);
  const auto left = counts_.find(key.node);
  if (--left->second > 0) return left->second;
  counts_.erase(left);
  return 0;
}

std::uint32_t OpenTable::count(std::uint32_t mount, std::uint64_t node) {
  MutexLock lock(mutex_);
  follow_keeper();
  return count_of({mount, node});
}

std::uint64_t OpenTable::total(std::uint32_t mount) const {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0, end = used(); i < end; ++i) {
    if (region_->slots[i].owner == open_in(mount)) ++sum;
  }
  return sum;
}

// A handle that was noted below where this is looking, before another above is ended, would be
// missed with it: then it is looked again.
std::optional<std::unordered_set<std::uint64_t>> OpenTable::open_nodes(std::uint32_t mount) const {
  constexpr int kAttempts = 4;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::uint32_t before = region_->header.opened;
    std::unordered_set<std::uint64_t> nodes;
    for (std::uint32_t i = 0, end = used(); i < end; ++i) {
      const Slot& slot = region_->slots[i];
      if (slot.owner == open_in(mount)) nodes.insert(slot.node);
    }
    if (overflowed()) return std::nullopt;
    if (region_->header.opened == before) return nodes;
  }
  return std::nullopt;
}

void OpenTable::forget_mount(std::uint32_t mount) {
  MutexLock lock(mutex_);
  for (std::uint32_t i = 0, end = used(); i < end; ++i) {
    std::uint64_t seen = open_in(mount);
    region_->slots[i].owner.compare_exchange_strong(seen, kFree);
  }
  ++region_->header.forgotten;  // last: whoever sees it sees the free entries
  follow_keeper();
  region_->header.unrecorded -=
      std::erase_if(unrecorded_, [mount](const Key& key) { return key.node.mount == mount; });
}

bool OpenTable::overflowed() const { return region_->header.unrecorded != 0; }

}  // namespace hubvfs::fs
