// SPDX-License-Identifier: Apache-2.0
// The part of CurlEngine that starts transfers, watches them and ends them.
#include "hub/curl_transfer.h"

#include <algorithm>

namespace hubvfs::hub {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kDemandBytes = 1u << 20;  // of one demand, about
// A demand may be held up so long by what is under way, and by what is begun while it runs.
constexpr Duration kHeldUpAtOnce = milliseconds(250);
constexpr Duration kHeldUp = milliseconds(500);
constexpr Duration kQuiet = std::chrono::seconds(1);  // after a demand: the next may be near
constexpr std::ptrdiff_t kMostLooked = 256;           // of those that wait for their turn
constexpr double kHedgeShare = 0.03;
constexpr double kHedgesAtOnce = 2;

std::size_t index_of(Priority priority) { return static_cast<std::size_t>(priority); }

}  // namespace

CurlEngine::Multi::Multi(int max_transfers) {
  if (handle == nullptr) return;
  curl_multi_setopt(handle, CURLMOPT_MAXCONNECTS, static_cast<long>(max_transfers) + 4);
  // Streams of one connection share its TCP window, and what a server allows a connection: with
  // four of them eight transfers came at half the speed, with all of them at a third.
  curl_multi_setopt(handle, CURLMOPT_MAX_CONCURRENT_STREAMS, 1L);
}

CurlEngine::Leg::Leg(CurlEngine& of_engine, Transfer& of_transfer, TimePoint now)
    : engine(of_engine), transfer(of_transfer), asked(now), last_byte(now) {
  sink.observer = this;
}

bool CurlEngine::Leg::may_send_to(std::string_view address) {
  if (sink.sent) asked = engine.clock_.awake();
  return transfer.observer->may_send_to(address);
}

// The first answer counts, unless it is a failure and the other may still do better.
bool CurlEngine::Leg::on_head(const HttpHead& head) {
  if (transfer.answered != nullptr && transfer.answered != this) return false;
  if (transfer.legs.size() > 1) {
    if (head.status >= 500 || head.status == 429) return false;
    engine.hedged_.push_back(transfer.id);
    if (this == transfer.legs.back().get()) ++engine.counted_.hedges_won;
  }
  transfer.answered = this;
  last_byte = first_byte = paced = engine.clock_.awake();
  if (transfer.spec.content) {
    engine.model_.on_first_byte(first_byte - asked, head.status == 200 || head.status == 206);
  }
  return transfer.observer->on_head(head);
}

bool CurlEngine::Leg::on_body(ByteView bytes) {
  const TimePoint now = engine.clock_.awake();
  if (transfer.spec.content) engine.model_.on_bytes(bytes.size(), now - last_byte, now);
  last_byte = now;
  received += bytes.size();
  return transfer.observer->on_body(bytes);
}

TransferId CurlEngine::start(TransferSpec spec, TransferObserver& observer) {
  auto transfer = std::make_unique<Transfer>();
  const TransferId id = next_id_++;
  transfer->id = id;
  transfer->spec = std::move(spec);
  transfer->observer = &observer;
  auto& queue = waiting_[index_of(transfer->spec.priority)];
  if (transfer->spec.continues) {
    queue.push_front(id);
  } else {
    queue.push_back(id);
  }
  transfers_.emplace(id, std::move(transfer));
  return id;
}

void CurlEngine::cancel(TransferId id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  Transfer& transfer = *found->second;
  settle(transfer);
  for (const auto& leg : transfer.legs) detach(*leg->easy);
  if (transfer.legs.empty()) std::erase(waiting_[index_of(transfer.spec.priority)], id);
  transfers_.erase(found);
  note_running(clock_.awake());
}

void CurlEngine::raise_priority(TransferId id, Priority priority) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  Transfer& transfer = *found->second;
  if (priority >= transfer.spec.priority) return;
  transfer.raised = true;
  if (transfer.legs.empty()) {
    std::erase(waiting_[index_of(transfer.spec.priority)], id);
    waiting_[index_of(priority)].push_back(id);
  }
  transfer.spec.priority = priority;
}

void CurlEngine::note_refused() { model_.on_refused(clock_.awake()); }

// Of content, and no demand: the last begun first.
std::vector<TransferId> CurlEngine::preemptible() const {
  std::vector<TransferId> ids;
  for (const auto& [id, transfer] : transfers_) {
    const TransferSpec& spec = transfer->spec;
    if (!transfer->legs.empty() && spec.content && spec.priority != Priority::kDemand) {
      ids.push_back(id);
    }
  }
  std::sort(ids.begin(), ids.end(), [&](TransferId a, TransferId b) {
    const Priority of_a = transfers_.at(a)->spec.priority;
    const Priority of_b = transfers_.at(b)->spec.priority;
    return of_a != of_b ? of_a > of_b : a > b;
  });
  return ids;
}

void CurlEngine::preempt(TransferId id) {
  ++counted_.preempted;
  TransferEnd end;
  end.preempted = true;
  end.failure = "a demand goes first";
  finish(id, end);
}

// Ends those others that would hold up a demand that begins now.
void CurlEngine::clear_the_way() {
  demand_until_ = clock_.awake() + kQuiet;
  auto others = preemptible();
  std::reverse(others.begin(), others.end());
  while (!others.empty() &&
         model_.held_up_by(static_cast<int>(others.size()), kDemandBytes) > kHeldUpAtOnce) {
    preempt(others.back());
    others.pop_back();
  }
}

bool CurlEngine::may_start(std::size_t priority) {
  if (priority == 0) {
    if (running_ < options_.max_transfers) return true;
    const auto others = preemptible();
    if (others.empty()) return false;
    preempt(others.front());
    return running_ < options_.max_transfers;
  }
  // What is not urgent leaves room, so that a demand never waits behind long read-aheads.
  const int most = options_.max_transfers - options_.max_transfers / 4;
  if (running_ >= std::min(most, model_.connections())) return false;
  if (clock_.awake() >= demand_until_) return true;
  const auto others = static_cast<int>(preemptible().size());
  return others == 0 ? !demand_runs() : model_.held_up_by(others + 1, kDemandBytes) <= kHeldUp;
}

bool CurlEngine::demand_runs() const {
  return std::any_of(transfers_.begin(), transfers_.end(), [](const auto& item) {
    const Transfer& transfer = *item.second;
    return !transfer.legs.empty() && is_new_demand(transfer);
  });
}

bool CurlEngine::is_new_demand(const Transfer& transfer) {
  return transfer.spec.content && transfer.spec.priority == Priority::kDemand && !transfer.raised;
}

// Whose turn it is of those that wait in one class: the flow that was given least, of a flow a
// demand before what was raised, then the first. What goes on is at the front, and is next
// whoever's it is. What was raised keeps to what the link model says, like the read-ahead that it
// was, and those that were given more wait behind it: many readers would else each get a trickle,
// and unequal ones.
std::optional<TransferId> CurlEngine::take_next(std::size_t priority) {
  std::deque<TransferId>& queue = waiting_[priority];
  // Asked in each turn of the loop: no look at the queue where nothing may start. For a demand room
  // is made, once it is known that there is one.
  if (queue.empty() || (priority != 0 && !may_start(priority))) return {};
  auto next = queue.begin();
  const bool goes_on = transfers_.at(*next)->spec.continues;
  const auto turn = [this](TransferId id) {
    const Transfer& transfer = *transfers_.at(id);
    return std::pair(share_.tag(transfer.spec.flow), transfer.raised);
  };
  if (!goes_on) {
    const auto looked_at = std::min<std::ptrdiff_t>(std::ssize(queue), kMostLooked);
    next = std::min_element(next, next + looked_at,
                            [&](TransferId a, TransferId b) { return turn(a) < turn(b); });
  }
  const int for_link = model_.connections() + std::max(1, model_.connections() / 4);
  if (transfers_.at(*next)->raised && !goes_on && running_ >= for_link) return {};
  if (priority == 0 && !may_start(priority)) return {};
  const TransferId id = *next;
  queue.erase(next);
  return id;
}

// What a transfer that ends has not brought is given back to its flow.
void CurlEngine::settle(const Transfer& transfer) {
  if (transfer.legs.empty()) return;
  std::uint64_t brought = 0;
  for (const auto& leg : transfer.legs) brought = std::max(brought, leg->received);
  share_.take_back(transfer.spec.flow,
                   transfer.spec.bytes - std::min(transfer.spec.bytes, brought));
}

void CurlEngine::start_waiting() {
  for (std::size_t priority = 0; priority < waiting_.size(); ++priority) {
    while (const auto id = take_next(priority)) {
      Transfer& transfer = *transfers_.at(*id);
      share_.give(transfer.spec.flow, transfer.spec.bytes);
      if (is_new_demand(transfer)) {
        clear_the_way();
        hedges_allowed_ = std::min(hedges_allowed_ + kHedgeShare, kHedgesAtOnce);
      }
      transfer.observer->on_transfer_started();
      if (launch(transfer, transfer.spec.fresh)) continue;
      TransferEnd end;
      end.failure = "libcurl cannot start a transfer";
      finish(*id, end);
    }
  }
}

void CurlEngine::detach(const Easy& easy) {
  curl_multi_remove_handle(multi_->handle, easy.handle);
  --running_;
}

bool CurlEngine::launch(Transfer& transfer, bool fresh) {
  if (spare_.empty()) spare_.push_back(std::make_unique<Easy>());
  if (spare_.back()->handle == nullptr) return false;
  const TimePoint now = clock_.awake();
  auto leg = std::make_unique<Leg>(*this, transfer, now);
  leg->easy = std::move(spare_.back());
  spare_.pop_back();
  CURL* handle = leg->easy->handle;
  curl_easy_reset(handle);
  const bool ready = leg->sink.headers.build(transfer.spec) &&
                     prepare_easy(handle, transfer.spec, options_.user_agent, options_.ca_file,
                                  options_.ca_path, leg->sink) &&
                     curl_easy_setopt(handle, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L) == CURLE_OK &&
                     curl_easy_setopt(handle, CURLOPT_PRIVATE, leg.get()) == CURLE_OK &&
                     curl_multi_add_handle(multi_->handle, handle) == CURLM_OK;
  if (!ready) return false;
  transfer.legs.push_back(std::move(leg));
  ++running_;
  note_running(now);
  next_watch_ = now;
  return true;
}

void CurlEngine::hedge(Transfer& transfer) {
  hedges_allowed_ -= 1;
  ++counted_.hedged;
  transfer.observer->on_hedged();
  (void)launch(transfer, false);
}

// Gives how long it is until it has to be looked at again. It may be gone afterwards.
Duration CurlEngine::watch(Transfer& transfer, TimePoint now) {
  const Leg& leg = transfer.answered != nullptr ? *transfer.answered : *transfer.legs.front();
  const bool answered = transfer.answered != nullptr;
  const Duration patience = answered ? model_.gap_deadline() : model_.first_byte_deadline();
  const Duration left =
      std::max(leg.last_byte, leg.asked) + transfer.spec.patience * patience - now;
  if (left <= Duration::zero()) {
    model_.on_stall(now);
    end_stalled(transfer, "it stalled");
    return Duration::max();
  }
  if (answered) {
    Leg& answer = *transfer.answered;
    const Duration until = answer.paced + model_.pace_period() - now;
    if (until > Duration::zero()) return std::min(left, until);
    if (drags(transfer, now)) {
      end_stalled(transfer, "it drags");
      return Duration::max();
    }
    answer.paced = now;
    answer.paced_at = answer.received;
    return std::min(left, model_.pace_period());
  }
  if (transfer.legs.size() > 1 || transfer.spec.priority != Priority::kDemand ||
      !transfer.spec.hedged || hedges_allowed_ < 1 || running_ >= options_.max_transfers) {
    return left;
  }
  Duration usual = model_.hedge_after();
  if (usual == Duration::zero()) return left;
  if (!leg.sink.sent) usual += 3 * model_.round_trip();  // its connection is being made
  const Duration until = leg.asked + usual - now;
  if (until > Duration::zero()) return std::min(left, until);
  hedge(transfer);
  return left;
}

// One connection may crawl for long after it lost packets, while those beside it brought all that
// may be read ahead and idle. Not twice in a row: it may be the link.
bool CurlEngine::drags(const Transfer& transfer, TimePoint now) const {
  const Leg& leg = *transfer.answered;
  return transfer.spec.priority == Priority::kDemand && !transfer.spec.fresh &&
         2 * running_ <= model_.connections() &&
         model_.is_slow(leg.received - leg.paced_at, now - leg.paced);
}

void CurlEngine::end_stalled(Transfer& transfer, const char* why) {
  ++counted_.stalled;
  TransferEnd end;
  end.stalled = true;
  end.failure = why;
  finish(transfer.id, end);
}

void CurlEngine::watch_all() {
  const TimePoint now = clock_.awake();
  if (now < next_watch_) return;
  std::vector<TransferId> watched;
  for (const auto& [id, transfer] : transfers_) {
    if (!transfer->legs.empty() && transfer->spec.content) watched.push_back(id);
  }
  next_watch_ = TimePoint::max();
  for (const TransferId id : watched) {
    const auto found = transfers_.find(id);  // the observer of another may have cancelled it
    if (found == transfers_.end() || found->second->legs.empty()) continue;
    const Duration next = std::max<Duration>(watch(*found->second, now), milliseconds(1));
    if (next != Duration::max()) next_watch_ = std::min(next_watch_, now + next);
  }
}

void CurlEngine::drop_losers() {
  for (const TransferId id : hedged_) {
    const auto found = transfers_.find(id);
    if (found == transfers_.end()) continue;
    Transfer& transfer = *found->second;
    std::erase_if(transfer.legs, [&](const std::unique_ptr<Leg>& leg) {
      if (leg.get() == transfer.answered) return false;
      detach(*leg->easy);
      return true;
    });
  }
  hedged_.clear();
}

void CurlEngine::finish(TransferId id, const TransferEnd& end) {
  const auto found = transfers_.find(id);
  const std::unique_ptr<Transfer> transfer = std::move(found->second);
  transfers_.erase(found);
  settle(*transfer);
  for (const auto& leg : transfer->legs) {
    detach(*leg->easy);
    // What libcurl leaves in a handle that failed can make it refuse an option the next time.
    if (end.complete && leg.get() == transfer->answered) spare_.push_back(std::move(leg->easy));
  }
  const TimePoint now = clock_.awake();
  if (end.complete && transfer->spec.content) {
    const Leg& leg = *transfer->answered;
    model_.on_transfer(leg.received, now - leg.first_byte);
  }
  note_running(now);
  publish();  // whoever hears of the end may ask how it was
  transfer->observer->on_transfer_end(end);
}

void CurlEngine::leg_ended(TransferId id, const Leg* leg, int code) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  Transfer& transfer = *found->second;
  const auto ended = std::find_if(transfer.legs.begin(), transfer.legs.end(),
                                  [&](const auto& other) { return other.get() == leg; });
  if (ended == transfer.legs.end()) return;
  if (transfer.legs.size() > 1 && transfer.answered != leg) {  // the other may do better
    detach(*(*ended)->easy);
    transfer.legs.erase(ended);
    return;
  }
  finish(id, end_of(leg->sink, transfer.spec, leg->easy->handle, static_cast<CURLcode>(code)));
}

void CurlEngine::collect_ended() {
  // The observers of those that ended may cancel others: look each up again.
  struct Ended {
    TransferId id;
    const Leg* leg;
    CURLcode code;
  };
  std::vector<Ended> ended;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_->handle, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    char* data = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &data);
    const auto* leg = reinterpret_cast<const Leg*>(data);
    ended.push_back({leg->transfer.id, leg, message->data.result});
  }
  for (const Ended& each : ended) leg_ended(each.id, each.leg, each.code);
}

void CurlEngine::note_running(TimePoint now) {
  int running = 0;
  for (const auto& [id, transfer] : transfers_) {
    if (!transfer->legs.empty() && transfer->spec.content) ++running;
  }
  counted_.running = running;
  model_.on_running(running, now);
}

void CurlEngine::publish() {
  LinkState state = counted_;
  state.connections = model_.connections();
  state.part_bytes = model_.part_bytes();
  state.detour_bytes = model_.detour_bytes();
  state.fast = model_.is_fast();
  state.round_trip = model_.round_trip();
  state.rate = static_cast<std::uint64_t>(model_.rate());
  if (state == published_) return;
  published_ = state;
  MutexLock lock(link_mutex_);
  link_ = state;
}

LinkState CurlEngine::link() const {
  MutexLock lock(link_mutex_);
  return link_;
}

FetchAdvice CurlEngine::advice() const {
  const LinkState state = link();
  // A few more than may run, so that the next is there when one ends.
  FetchAdvice advice;
  advice.part_bytes = state.part_bytes;
  advice.detour_bytes = state.detour_bytes;
  advice.fast = state.fast;
  advice.parallel = state.connections + std::max(1, state.connections / 4);
  return advice;
}

}  // namespace hubvfs::hub
