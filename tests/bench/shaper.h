// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <unordered_map>
#include <vector>

namespace hubvfs::bench {

struct Packet {
  std::vector<char> data;
  std::uint64_t flow = 0;  // the same for all packets of one connection in one direction
};

// What one direction of a link does to packets. Times are seconds, rates bytes a second.
struct LinkShape {
  double delay = 0;      // one way, after the packet has left the line
  double rate = 1e9;     // of the line, shared by all flows
  double flow_rate = 0;  // of each flow before it reaches the line; 0: no limit
  // How long a packet may wait for its flow, and then for the line; one that would wait longer is
  // dropped.
  double queue = 0.1;
  // A flow stands still about so often (0.5 to 1.5 times) and for so long; 0: never. Its packets
  // wait, and their time in the queue begins when it goes on.
  double stall_every = 0;
  double stall_for = 0;
  std::uint32_t seed = 1;  // of the stalls
};

// One direction of a shaped link, as arithmetic on given times: a queue for each flow, paced at its
// rate, then one line at the rate of all, then the delay. Packets of a flow keep their order.
//
// Not a clock and not a socket: delay_line.cc has these. Not thread-safe. The times that it is
// given must not fall.
class Shaper {
 public:
  explicit Shaper(const LinkShape& shape) : shape_(shape), random_(shape.seed) {}

  // Takes a packet that arrives at `now`. False: it was dropped, its queue being full.
  bool offer(Packet packet, double now);
  // The next packet that is due at `now` or earlier, into `packet`. False: there is none.
  bool next_due(double now, Packet& packet);
  // When something is to be done at the latest; an hour from `now` where nothing waits.
  double wake_at(double now) const;
  std::uint64_t dropped() const { return dropped_; }

 private:
  struct Flow {
    double free = 0;        // when what it sent so far has left its queue
    double stalled_to = 0;  // it stands still until then
    double next_stall = -1;
  };
  struct Paced {
    double leaves;  // its flow's queue
    std::uint64_t order;
    Packet packet;
    bool operator<(const Paced& other) const {  // the earliest comes first in a heap
      return leaves != other.leaves ? leaves > other.leaves : order > other.order;
    }
  };
  struct Delayed {
    double due;
    Packet packet;
  };

  void stall(Flow& flow, double now);
  void enter_line(double now);

  const LinkShape shape_;
  std::minstd_rand random_;
  std::unordered_map<std::uint64_t, Flow> flows_;
  std::vector<Paced> paced_;  // a heap
  std::deque<Delayed> delayed_;
  double line_free_ = 0;
  std::uint64_t order_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace hubvfs::bench
