// SPDX-License-Identifier: Apache-2.0
#include "hub/link_model.h"

#include <algorithm>
#include <cmath>

namespace hubvfs::hub {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr int kMostConnections = 64;
constexpr int kFirstConnections = 8;
constexpr int kFirstConnectionsNear = 2;
constexpr Duration kNear = milliseconds(2);
constexpr double kFast = 256e6;  // bytes a second
constexpr std::uint64_t kFirstPart = 2 * kMiB;
constexpr std::uint64_t kLeastPart = kMiB;
constexpr std::uint64_t kMostPart = 16 * kMiB;
constexpr std::uint64_t kMostUnderWay = 96 * kMiB;  // N x P: the buffers for it are bounded
constexpr std::uint64_t kMostUnderWayNear = 16 * kMiB;
constexpr Duration kLeastPartTime = milliseconds(8);
constexpr Duration kMostPartTime = seconds(2);
constexpr Duration kPause = milliseconds(10);  // without a transfer, near: what follows is new
constexpr Duration kFirstRest = seconds(4);
constexpr Duration kLongestRest = seconds(60);
constexpr double kFull = 0.75;       // of N under way: the rate is N's
constexpr std::uint32_t kKnown = 8;  // first bytes, before their times are trusted
constexpr Duration kLeastGap = milliseconds(1);
constexpr int kRoundTripMemory = 256;  // first bytes

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

LinkModel::LinkModel(int most)
    : most_(std::clamp(most, 1, kMostConnections)),
      connections_(std::min(most_, kFirstConnections)),
      part_bytes_(kFirstPart),
      rest_(kFirstRest) {}

void LinkModel::begin_epoch(TimePoint now, bool settle) {
  const Duration pick_up = std::max<Duration>(4 * round_trip_, milliseconds(100));
  epoch_begin_ = settle ? now + pick_up : now;
  busy_ = 0;
  bytes_ = 0;
}

void LinkModel::on_running(int transfers, TimePoint now) {
  // Few that are near often end together: that is no pause.
  const bool was_idle = running_ == 0 && (!is_near() || now - last_ >= kPause);
  if (was_idle && transfers > 0) begin_epoch(now, true);
  const TimePoint since = std::max(last_, epoch_begin_);
  if (now > since) busy_ += running_ * seconds_of(now - since);
  running_ = transfers;
  last_ = now;
}

void LinkModel::on_bytes(std::size_t bytes, Duration gap, TimePoint now) {
  if (gap >= kLeastGap) gaps_.add(gap);  // shorter ones are of what had come already
  if (now < epoch_begin_) return;
  bytes_ += bytes;
  const Duration length = now - epoch_begin_;
  if (length < std::max<Duration>(8 * round_trip_, milliseconds(250))) return;
  on_running(running_, now);
  const double rate = static_cast<double>(bytes_) / seconds_of(length);
  const bool full = busy_ >= kFull * connections_ * seconds_of(length);
  // With fewer under way than there might be, the link may do more than that.
  if (full || (rate_ > 0 && rate > rate_)) rate_ = rate;
  const int judged = connections_;
  if (full) end_epoch(rate, now);
  begin_epoch(now, connections_ != judged);
}

void LinkModel::end_epoch(double rate, TimePoint now) {
  switch (trial_) {
    case Trial::kMore:
      return judge_more(rate, now);
    case Trial::kFewer:
      return judge_fewer(rate, now);
    case Trial::kNone:
      before_ = connections_;
      rate_before_ = rate;
      if (now >= rests_until_) try_next();
  }
}

void LinkModel::try_next() {
  const bool fewer = is_thin() && !searching_ && !tried_fewer_ && connections_ > 1;
  tried_fewer_ = fewer;
  if (fewer) return set_connections(connections_ / 2, Trial::kFewer);
  const int more = searching_ ? connections_ * 2 : connections_ + std::max(1, connections_ / 4);
  if (connections_ == most_) {
    searching_ = false;
    return;
  }
  set_connections(std::min(more, most_), Trial::kMore);
}

void LinkModel::judge_more(double rate, TimePoint now) {
  const double grew = static_cast<double>(connections_) / before_ - 1;
  if (rate < rate_before_ * (1 + grew / 2)) return give_up_trial(now);
  trial_ = Trial::kNone;
  rest_ = kFirstRest;
  before_ = connections_;
  rate_before_ = rate;
  try_next();
}

void LinkModel::judge_fewer(double rate, TimePoint now) {
  const double fell = 1 - static_cast<double>(connections_) / before_;
  if (rate < rate_before_ * (1 - fell / 4)) return give_up_trial(now);
  trial_ = Trial::kNone;
  rest_ = kFirstRest;
  before_ = connections_;
  rate_before_ = rate;
  tried_fewer_ = false;
  try_next();
}

void LinkModel::give_up_trial(TimePoint now) {
  set_connections(before_, Trial::kNone);
  // A link where the first more did not help may be one for fewer: that is looked at at once.
  const bool was_searching = searching_;
  searching_ = false;
  rests_until_ = was_searching && is_thin() ? now : now + rest_;
  if (!was_searching) rest_ = std::min(2 * rest_, kLongestRest);
}

void LinkModel::set_connections(int connections, Trial trial) {
  connections_ = connections;
  trial_ = trial;
  size_parts();
}

// Once for all that went wrong at about the same time.
void LinkModel::back_off(int connections, TimePoint now) {
  if (now < backed_off_until_) return;
  backed_off_until_ = rests_until_ = now + kFirstRest;
  searching_ = false;
  set_connections(std::max(1, connections), Trial::kNone);
  begin_epoch(now, true);
}

void LinkModel::on_refused(TimePoint now) { back_off(connections_ / 2, now); }

void LinkModel::on_stall(TimePoint now) { back_off(connections_ - connections_ / 4, now); }

void LinkModel::on_first_byte(Duration latency, bool of_content) {
  first_bytes_.add(latency);
  if (!of_content) return;
  if (round_trip_ != Duration::zero() && latency > round_trip_ &&
      ++since_shortest_ < kRoundTripMemory)
    return;
  round_trip_ = latency;
  since_shortest_ = 0;
  if (rate_ == 0 && is_near()) connections_ = std::min(connections_, kFirstConnectionsNear);
  size_parts();
}

void LinkModel::on_transfer(std::uint64_t bytes, Duration took) {
  if (bytes < kLeastPart / 4 || round_trip_ == Duration::zero()) return;
  // What is short may have come in one go: that says little of the link.
  const double rate = static_cast<double>(bytes) / seconds_of(std::max(took, round_trip_));
  const double whole = std::min(1.0, static_cast<double>(bytes) / static_cast<double>(part_bytes_));
  each_ = each_ == 0 ? rate : each_ + (rate - each_) * whole / 4;
  size_parts();
}

void LinkModel::size_parts() {
  if (each_ == 0) return;
  const Duration time = std::clamp<Duration>(16 * round_trip_, kLeastPartTime, kMostPartTime);
  const double bytes = each_ * seconds_of(time);
  const std::uint64_t under_way = is_near() ? kMostUnderWayNear : kMostUnderWay;
  const std::uint64_t most =
      std::clamp(under_way / static_cast<std::uint64_t>(connections_), kLeastPart, kMostPart);
  const auto whole = static_cast<std::uint64_t>(std::min(bytes, 1e12)) / kMiB * kMiB;
  part_bytes_ = std::clamp(whole, kLeastPart, most);
}

std::uint64_t LinkModel::detour_bytes() const {
  constexpr std::uint64_t kLeast = 64u << 10;
  const double bytes = each_ * seconds_of(round_trip_) / 8;
  return std::max(kLeast, static_cast<std::uint64_t>(std::min(bytes, 1e12)));
}

bool LinkModel::is_near() const { return round_trip_ != Duration::zero() && round_trip_ < kNear; }

bool LinkModel::is_fast() const {
  if (rate_ > 0) return rate_ >= kFast;
  return is_near() && each_ * connections_ >= kFast;
}

bool LinkModel::is_thin() const {
  return each_ > 0 && each_ < static_cast<double>(kLeastPart);  // a part takes over a second
}

Duration LinkModel::held_up_by(int others, std::uint64_t bytes) const {
  if (rate_ == 0) return {};
  const double wait = static_cast<double>(bytes) * others / rate_;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(wait, 1e6)));
}

Duration LinkModel::first_byte_deadline() const {
  return deadline(first_bytes_.at(0.99), seconds(30));
}

Duration LinkModel::gap_deadline() const {
  return deadline(std::max(gaps_.at(0.99), first_bytes_.at(0.99)), seconds(15));
}

// From a few one cannot tell yet what is unusual.
Duration LinkModel::deadline(Duration usual, Duration most) const {
  if (first_bytes_.samples() == 0) return most;
  if (first_bytes_.samples() < kKnown) return std::clamp<Duration>(8 * usual, seconds(3), most);
  return std::clamp<Duration>(2 * usual, seconds(1), most);
}

Duration LinkModel::pace_period() const { return std::max<Duration>(8 * round_trip_, seconds(1)); }

bool LinkModel::is_slow(std::uint64_t bytes, Duration took) const {
  return static_cast<double>(bytes) < each_ / 2 * seconds_of(took);
}

Duration LinkModel::hedge_after() const {
  if (first_bytes_.samples() < kKnown) return {};
  const Duration usual = std::max(first_bytes_.at(0.95), 2 * first_bytes_.at(0.5));
  return std::clamp<Duration>(usual, milliseconds(50), seconds(5));
}

}  // namespace hubvfs::hub
