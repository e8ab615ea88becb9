// SPDX-License-Identifier: Apache-2.0
#include "daemon/backing_requests.h"

#include <utility>
#include <vector>

#include "daemon/messages.h"

namespace hubvfs::daemon {
namespace {

// A keeper answers within a millisecond, if it is not stopped or busy with a disk that hangs.
constexpr Duration kPatience = std::chrono::seconds(5);

Error no_answer() { return {ErrorCode::kTimedOut, "the keeper does not answer"}; }

}  // namespace

BackingRequests::~BackingRequests() {
  std::map<std::uint64_t, Waiting> left;
  {
    MutexLock lock(mutex_);
    left.swap(waiting_);
  }
  for (const auto& [number, waiting] : left) waiting.done(no_answer());
}

void BackingRequests::open(std::uint32_t mount, fs::NodeId node, const std::string& name,
                           Done done) {
  std::uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    number = next_++;
    waiting_.emplace(number, Waiting{std::move(done), clock_.awake() + kPatience});
  }
  ByteWriter body;
  body.integer(mount);
  body.integer(node.raw());
  body.integer(number);
  body.string(name);
  auto sent = send_message(link_, MessageKind::kOpenBacking, body.bytes());
  if (sent) return;
  std::map<std::uint64_t, Waiting>::node_type failed;
  {
    MutexLock lock(mutex_);
    failed = waiting_.extract(number);
  }
  if (!failed.empty()) failed.mapped().done(sent.error());
}

// Only a hint, which may get lost: the keeper looks by itself now and then.
void BackingRequests::closed() {
  const TimePoint now = clock_.awake();
  {
    MutexLock lock(mutex_);
    if (told_at_ != TimePoint() && now < told_at_ + kClosedHintAge / 2) return;
    told_at_ = now;
  }
  static_cast<void>(send_message(link_, MessageKind::kClosedBacking, {}).has_value());
}

void BackingRequests::take_answer(ByteView body) {
  ByteReader in(body);
  const auto number = in.integer<std::uint64_t>();
  const auto id = static_cast<std::int32_t>(in.integer<std::uint32_t>());
  const std::string why(in.string());
  std::map<std::uint64_t, Waiting>::node_type answered;
  {
    MutexLock lock(mutex_);
    answered = waiting_.extract(number);
  }
  if (answered.empty()) return;  // too late
  if (in.ok() && id > 0) return answered.mapped().done(id);
  answered.mapped().done(Error{ErrorCode::kUnsupported, why});
}

void BackingRequests::expire() {
  std::vector<Waiting> late;
  {
    MutexLock lock(mutex_);
    while (!waiting_.empty() && waiting_.begin()->second.until <= clock_.awake()) {
      late.push_back(std::move(waiting_.extract(waiting_.begin()).mapped()));
    }
  }
  for (const Waiting& waiting : late) waiting.done(no_answer());
}

}  // namespace hubvfs::daemon
