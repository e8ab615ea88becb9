// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"

namespace hubvfs::fs {

// What the workers of one daemon did with the kernel's requests, in memory that outlives them.
//
// It lies in a memfd that the keeper holds and each worker maps. It tells the keeper whether a
// worker answered anything in its life, and the next worker which requests its forerunners crashed
// on: one that was in hand at two crashes is answered EIO instead of being tried a third time
// (threats-and-faults, F19). Every update is a store or an add to one word, so that a SIGKILL
// between any two leaves it usable. Thread-safe, across processes too.
class RequestJournal {
 public:
  struct Counts {
    std::uint64_t taken = 0;   // requests read from the kernel
    std::uint64_t resent = 0;  // of these: read by an earlier worker before, and not answered
    std::uint64_t answered = 0;
    std::uint64_t refused = 0;  // of these: with EIO, since workers crashed on them
  };

  static Result<UniqueFd> create();
  // kCorrupt: it is no journal of this version.
  static Result<std::unique_ptr<RequestJournal>> map(int fd);
  ~RequestJournal();
  RequestJournal(const RequestJournal&) = delete;
  RequestJournal& operator=(const RequestJournal&) = delete;

  Counts counts() const;
  void note_answered();

  // A request of connection `mount` while a thread works on it.
  class InHand {
   public:
    InHand(RequestJournal& journal, std::size_t slot, std::uint32_t mount, std::uint64_t unique);
    ~InHand();
    InHand(const InHand&) = delete;
    InHand& operator=(const InHand&) = delete;

   private:
    RequestJournal& journal_;
    const std::size_t slot_;
  };
  // A place in the journal for a thread that takes requests; as many as there are threads.
  std::size_t claim_slot();
  // Whether two workers crashed with this request in hand. Counts it as refused, if so.
  bool refuses(std::uint32_t mount, std::uint64_t unique);

  // For the keeper, when the worker is dead. `crashed`: it died of itself, so that what it had in
  // hand is suspect; a worker that was killed says nothing about its requests.
  void bury_worker(bool crashed);

 private:
  struct Page;
  explicit RequestJournal(Page* page) : page_(page) {}
  Page* page_;
  std::atomic<std::size_t> slots_claimed_{0};  // by this process
};

}  // namespace hubvfs::fs
