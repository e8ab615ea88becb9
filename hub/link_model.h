// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "hub/hub_client.h"
#include "hub/running_quantile.h"

namespace hubvfs::hub {

// What the link to the Hub can do, learnt from the transfers of content on it: how many at a time,
// how large each, and when one is late.
//
// Connections, N: from 8 (or the cap) it doubles as long as the rate of all together grows by half
// of what N grew by at least. Then it stays, and now and then (after 4 s, after each failure twice
// as long, to a minute) a quarter more is tried by the same rule. On a thin link, where a part of
// the least size takes over a second, fewer are tried in turn: half as many, kept when the rate
// falls by less than a quarter of what N fell by. A 429 or 503 halves it, a stall takes a quarter
// off. A rate is measured over eight round trips (0.25 s at least) in which N transfers were under
// way, begun once the new ones have had four to pick up speed.
//
// Part size, P: what one connection brings in 16 round trips (8 ms at least, so that a request's
// own work costs little; 2 s at most, so that nobody waits long behind one): 1 to 16 MiB. A
// connection then waits for first bytes for about a sixteenth of its time. N x P is about 16 times
// what fills the link, whatever N is, and 96 MiB at most.
//
// Near, a round trip below 2 ms: TCP needs no time to pick up speed, so N is 2 at first, and N x P
// is 16 MiB at most, or N parts of 1 MiB. More would come out of order, which costs whoever hashes
// it, and memory.
//
// Not thread-safe, no I/O; time is told by each call, and must not go back.
class LinkModel {
 public:
  // `most`: transfers at a time, from 1. More than 64 counts as 64.
  explicit LinkModel(int most);

  // --- what happens ---
  void on_running(int transfers, TimePoint now);  // of content, under way from now on
  // From a request to its answer's first byte. `of_content`: that answer brings bytes of a file.
  void on_first_byte(Duration latency, bool of_content);
  // `gap`: since the last ones of the same transfer.
  void on_bytes(std::size_t bytes, Duration gap, TimePoint now);
  void on_transfer(std::uint64_t bytes, Duration took);  // one came whole: its body
  void on_refused(TimePoint now);                        // a 429 or a 503
  void on_stall(TimePoint now);

  // --- what follows ---
  int connections() const { return connections_; }
  std::uint64_t part_bytes() const { return part_bytes_; }
  // What one connection brings in an eighth of a round trip; 64 KiB at least.
  std::uint64_t detour_bytes() const;
  bool is_thin() const;
  // Brings 256 MB/s or more; near, before that is measured, by what one connection does.
  bool is_fast() const;
  // The shortest time to a first byte of content among the last few hundred; zero without any.
  Duration round_trip() const { return round_trip_; }
  // Bytes a second of all together, when as many ran as may; 0 until they did.
  double rate() const { return rate_; }
  // How long a request for `bytes` would be held up by `others`, if they share the link with it.
  Duration held_up_by(int others, std::uint64_t bytes) const;
  // When a transfer counts as stalled: without a first byte for (1 to 30 s), without another (1 to
  // 15 s).
  Duration first_byte_deadline() const;
  Duration gap_deadline() const;
  // A transfer is looked at so often for its pace, from its first byte on: 8 round trips, 1 s at
  // least.
  Duration pace_period() const;
  // Whether one that brought so much in that time is slow: less than half of what is usual.
  bool is_slow(std::uint64_t bytes, Duration took) const;
  // When a first byte is far past its usual time. Zero: nobody knows yet.
  Duration hedge_after() const;

 private:
  enum class Trial { kNone, kMore, kFewer };

  void begin_epoch(TimePoint now, bool settle);
  void end_epoch(double rate, TimePoint now);
  void judge_more(double rate, TimePoint now);
  void judge_fewer(double rate, TimePoint now);
  void give_up_trial(TimePoint now);
  void try_next();
  void set_connections(int connections, Trial trial);
  void back_off(int connections, TimePoint now);
  void size_parts();
  bool is_near() const;
  Duration deadline(Duration usual, Duration most) const;

  const int most_;
  int connections_;
  std::uint64_t part_bytes_;
  Duration round_trip_{};
  double rate_ = 0;
  double each_ = 0;  // bytes a second of one connection, while it brings bytes

  // The epoch under way.
  TimePoint epoch_begin_;  // later than now while the connections pick up speed
  TimePoint last_;         // on_running was called
  int running_ = 0;
  double busy_ = 0;  // transfer-seconds since epoch_begin_
  std::uint64_t bytes_ = 0;

  Trial trial_ = Trial::kNone;
  bool searching_ = true;     // the first growth: by doubling
  bool tried_fewer_ = false;  // last, of the two
  int before_ = 0;            // the trial: connections
  double rate_before_ = 0;
  Duration rest_;
  TimePoint rests_until_;
  TimePoint backed_off_until_;

  RunningQuantile first_bytes_;
  RunningQuantile gaps_;
  int since_shortest_ = 0;  // first bytes since round_trip_ was heard
};

}  // namespace hubvfs::hub
