// SPDX-License-Identifier: Apache-2.0
#include "fs/open_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMagic = 0x31'4e'45'50'4f'46'56'48;  // "HVFOPEN1" in memory
constexpr std::uint32_t kVersion = 1;
// Of handles that found no entry: more than are ever closed.
constexpr std::uint64_t kUnknown = std::uint64_t{1} << 63;

std::uint64_t owner_of(std::uint32_t mount, std::uint32_t count) {
  return static_cast<std::uint64_t>(mount) << 32 | count;
}
std::uint32_t mount_of(std::uint64_t owner) { return static_cast<std::uint32_t>(owner >> 32); }
std::uint32_t count_of(std::uint64_t owner) { return static_cast<std::uint32_t>(owner); }

}  // namespace

struct OpenTable::Header {
  std::atomic<std::uint64_t> magic;
  std::atomic<std::uint32_t> version;
  std::atomic<std::uint32_t> header_bytes;
  std::atomic<std::uint32_t> slot_bytes;
  std::atomic<std::uint32_t> capacity;
  std::atomic<std::uint64_t> unrecorded;  // handles that found no entry, not yet closed
  std::atomic<std::uint32_t> used;        // slots from here on were never taken
  std::array<std::uint32_t, 7> reserved;
};

// Free where the count is zero. Mount and count are one word, so that a mount is forgotten without
// touching an entry that has become another's.
struct OpenTable::Slot {
  std::atomic<std::uint64_t> owner;
  std::atomic<std::uint64_t> node;
  std::atomic<std::uint32_t> backing;  // a passthrough file's backing id; 0: none
  std::uint32_t reserved;
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
  for (Slot& slot : region_->slots) slot.owner = 0;
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
  index_.clear();
  free_.clear();
  for (std::uint32_t i = used(); i-- > 0;) {  // so that the lowest is taken first
    const Slot& slot = region_->slots[i];
    const std::uint64_t owner = slot.owner;
    if (count_of(owner) == 0) {
      free_.push_back(i);
    } else {
      index_[{mount_of(owner), slot.node}] = i;
    }
  }
}

OpenTable::Slot* OpenTable::find(const Key& key) {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &region_->slots[it->second];
}

OpenTable::Slot* OpenTable::take_free_slot() {
  if (free_.empty() && used() == kCapacity) read_slots();
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

void OpenTable::open(std::uint32_t mount, std::uint64_t node) {
  MutexLock lock(mutex_);
  const Key key{mount, node};
  if (Slot* slot = find(key)) {
    std::uint64_t owner = slot->owner;
    while (count_of(owner) != std::numeric_limits<std::uint32_t>::max() &&
           !slot->owner.compare_exchange_weak(owner, owner_of(mount, count_of(owner) + 1))) {
    }
    return;
  }
  Slot* slot = take_free_slot();
  if (slot == nullptr) {
    std::atomic<std::uint64_t>& unrecorded = region_->header.unrecorded;
    if (unrecorded++ == 0) {
      log_.warning("the table of open files is full: every file counts as open");
    }
    return;
  }
  slot->node = node;
  slot->backing = 0;
  slot->owner = owner_of(mount, 1);  // last: until then the slot is free
  index_[key] = static_cast<std::uint32_t>(slot - region_->slots.data());
}

std::uint32_t OpenTable::close(std::uint32_t mount, std::uint64_t node) {
  MutexLock lock(mutex_);
  const Key key{mount, node};
  Slot* slot = find(key);
  if (slot == nullptr) {
    std::atomic<std::uint64_t>& unrecorded = region_->header.unrecorded;
    if (unrecorded != 0) --unrecorded;
    return 0;
  }
  std::uint64_t owner = slot->owner;
  while (count_of(owner) != 0 &&
         !slot->owner.compare_exchange_weak(owner, owner_of(mount, count_of(owner) - 1))) {
  }
  if (count_of(owner) > 1) return count_of(owner) - 1;
  free_.push_back(index_.at(key));
  index_.erase(key);
  return 0;
}

std::uint32_t OpenTable::count(std::uint32_t mount, std::uint64_t node) const {
  MutexLock lock(mutex_);
  const auto count_at = [&](const Slot& slot) -> std::uint32_t {
    const std::uint64_t owner = slot.owner;
    return slot.node == node && mount_of(owner) == mount ? count_of(owner) : 0;
  };
  // Where another process writes, the index is only a guess.
  if (const auto it = index_.find({mount, node}); it != index_.end()) {
    if (const std::uint32_t found = count_at(region_->slots[it->second]); found > 0) return found;
  }
  for (std::uint32_t i = 0, end = used(); i < end; ++i) {
    if (const std::uint32_t found = count_at(region_->slots[i]); found > 0) return found;
  }
  return 0;
}

std::uint64_t OpenTable::total(std::uint32_t mount) const {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0, end = used(); i < end; ++i) {
    const std::uint64_t owner = region_->slots[i].owner;
    if (mount_of(owner) == mount) sum += count_of(owner);
  }
  return sum;
}

void OpenTable::forget_mount(std::uint32_t mount) {
  MutexLock lock(mutex_);
  for (std::uint32_t i = 0, end = used(); i < end; ++i) {
    std::atomic<std::uint64_t>& owner = region_->slots[i].owner;
    std::uint64_t seen = owner;
    while (mount_of(seen) == mount && count_of(seen) > 0 &&
           !owner.compare_exchange_weak(seen, owner_of(mount, 0))) {
    }
  }
  read_slots();
}

bool OpenTable::overflowed() const { return region_->header.unrecorded != 0; }

}  // namespace hubvfs::fs
