// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <unordered_map>

namespace hubvfs::hub {

// Says whose turn it is of several flows (contents that are fetched) which share a link: of those
// that wait, the one that was given least. One that asked for nothing for a while has no credit for
// that. Start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996), all of one weight.
//
// Not thread-safe, no I/O. Flow 0 is nobody's: it is always its turn.
class FairShare {
 public:
  // Whose is least is next.
  std::uint64_t tag(std::uint64_t flow) const;
  void give(std::uint64_t flow, std::uint64_t bytes);       // it was its turn
  void take_back(std::uint64_t flow, std::uint64_t bytes);  // given, and not used

 private:
  std::uint64_t now_ = 0;  // tag of whose turn it was last
  std::unordered_map<std::uint64_t, std::uint64_t> given_;
};

}  // namespace hubvfs::hub
