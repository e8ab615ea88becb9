// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/shaper.h"

#include <algorithm>
#include <utility>

namespace hubvfs::bench {

// Stalls come whether or not anything is sent: else every packet of a slow sender would meet one.
void Shaper::stall(Flow& flow, double now) {
  if (shape_.stall_every <= 0) return;
  std::uniform_real_distribution<double> share(0.5, 1.5);
  if (flow.next_stall < 0) flow.next_stall = now + shape_.stall_every * share(random_);
  while (now >= flow.next_stall + shape_.stall_for) {
    flow.next_stall += shape_.stall_for + shape_.stall_every * share(random_);
  }
  if (now >= flow.next_stall) flow.stalled_to = flow.next_stall + shape_.stall_for;
}

bool Shaper::offer(Packet packet, double now) {
  Flow& flow = flows_[packet.flow];
  stall(flow, now);
  const double begin = std::max({flow.free, flow.stalled_to, now});
  if (begin - std::max(now, flow.stalled_to) > shape_.queue) {
    ++dropped_;
    return false;
  }
  const double size = static_cast<double>(packet.data.size());
  flow.free = begin + (shape_.flow_rate > 0 ? size / shape_.flow_rate : 0);
  paced_.push_back({flow.free, order_++, std::move(packet)});
  std::push_heap(paced_.begin(), paced_.end());
  enter_line(now);
  return true;
}

// Moves what has left its flow's queue to the line, in the order in which it did.
void Shaper::enter_line(double now) {
  while (!paced_.empty() && paced_.front().leaves <= now) {
    std::pop_heap(paced_.begin(), paced_.end());
    Paced paced = std::move(paced_.back());
    paced_.pop_back();
    const double begin = std::max(line_free_, paced.leaves);
    if (begin - paced.leaves > shape_.queue) {
      ++dropped_;
      continue;
    }
    line_free_ = begin + static_cast<double>(paced.packet.data.size()) / shape_.rate;
    delayed_.push_back({line_free_ + shape_.delay, std::move(paced.packet)});
  }
}

bool Shaper::next_due(double now, Packet& packet) {
  enter_line(now);
  if (delayed_.empty() || delayed_.front().due > now) return false;
  packet = std::move(delayed_.front().packet);
  delayed_.pop_front();
  return true;
}

double Shaper::wake_at(double now) const {
  constexpr double kIdle = 3600;
  double at = now + kIdle;
  if (!paced_.empty()) at = std::min(at, paced_.front().leaves);
  if (!delayed_.empty()) at = std::min(at, delayed_.front().due);
  return at;
}

}  // namespace hubvfs::bench
