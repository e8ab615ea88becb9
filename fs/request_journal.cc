// SPDX-License-Identifier: Apache-2.0
#include "fs/request_journal.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "fs/fuse_device.h"

namespace hubvfs::fs {
namespace {

constexpr std::uint64_t kMagic = 0x316c6a7366766268;  // "hbvfsjl1"
constexpr std::size_t kSlots = 1024;
constexpr std::size_t kSuspects = 64;
constexpr std::uint32_t kMostCrashes = 2;

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free);

}  // namespace

struct RequestJournal::Page {
  Word magic;
  Word taken;
  Word resent;
  Word answered;
  Word refused;
  struct Slot {  // `unique` is written last and cleared first; 0: nothing in hand
    Word mount;
    Word unique;
  };
  std::array<Slot, kSlots> slots;
  struct Suspect {  // written by the keeper while no worker lives
    Word mount;
    Word unique;
    Word crashes;
  };
  std::array<Suspect, kSuspects> suspects;
  Word next_suspect;
};

Result<UniqueFd> RequestJournal::create() {
  UniqueFd fd(::memfd_create("hubvfs-requests", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), sizeof(Page)) < 0) {
    return system_error(errno, "making memory to share with the worker");
  }
  auto journal = map(fd.get());
  if (journal) return fd;
  if (journal.error().code != ErrorCode::kCorrupt) return journal.error();
  const std::uint64_t magic = kMagic;
  if (::pwrite(fd.get(), &magic, sizeof magic, offsetof(Page, magic)) != sizeof magic) {
    return system_error(errno, "making memory to share with the worker");
  }
  return fd;
}

Result<std::unique_ptr<RequestJournal>> RequestJournal::map(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) < 0 || info.st_size != static_cast<off_t>(sizeof(Page))) {
    return {ErrorCode::kCorrupt, "the memory shared with the keeper has another size"};
  }
  void* memory = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return system_error(errno, "mapping memory shared with the keeper");
  std::unique_ptr<RequestJournal> journal(new RequestJournal(static_cast<Page*>(memory)));
  if (journal->page_->magic != kMagic) {
    return {ErrorCode::kCorrupt, "the memory shared with the keeper is of another version"};
  }
  return journal;
}

RequestJournal::~RequestJournal() { ::munmap(page_, sizeof(Page)); }

RequestJournal::Counts RequestJournal::counts() const {
  return {page_->taken, page_->resent, page_->answered, page_->refused};
}

void RequestJournal::note_answered() { ++page_->answered; }

std::size_t RequestJournal::claim_slot() { return slots_claimed_++ % kSlots; }

RequestJournal::InHand::InHand(RequestJournal& journal, std::size_t slot, std::uint32_t mount,
                               std::uint64_t unique)
    : journal_(journal), slot_(slot) {
  Page& page = *journal_.page_;
  ++page.taken;
  if ((unique & kResentBit) != 0) ++page.resent;
  page.slots[slot_].mount = mount;
  page.slots[slot_].unique = unique & ~kResentBit;
}

RequestJournal::InHand::~InHand() { journal_.page_->slots[slot_].unique = 0; }

bool RequestJournal::refuses(std::uint32_t mount, std::uint64_t unique) {
  if ((unique & kResentBit) == 0) return false;
  for (const Page::Suspect& suspect : page_->suspects) {
    if (suspect.unique == (unique & ~kResentBit) && suspect.mount == mount &&
        suspect.crashes >= kMostCrashes) {
      ++page_->refused;
      return true;
    }
  }
  return false;
}

void RequestJournal::bury_worker(bool crashed) {
  for (Page::Slot& slot : page_->slots) {
    const std::uint64_t unique = slot.unique.exchange(0);
    if (unique == 0 || !crashed) continue;
    Page::Suspect* known = nullptr;
    for (Page::Suspect& suspect : page_->suspects) {
      if (suspect.unique == unique && suspect.mount == slot.mount) known = &suspect;
    }
    if (known == nullptr) {  // the oldest makes room
      known = &page_->suspects[page_->next_suspect++ % kSuspects];
      known->crashes = 0;
      known->mount = slot.mount.load();
      known->unique = unique;
    }
    ++known->crashes;
  }
}

}  // namespace hubvfs::fs
