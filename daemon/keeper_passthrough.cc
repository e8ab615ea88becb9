// SPDX-License-Identifier: Apache-2.0
// The part of the keeper that has files of the cache passed through.
#include "base/text.h"
#include "daemon/keeper.h"

namespace hubvfs::daemon {
namespace {

// A worker says when a node was closed; where that got lost, or it died, this finds it.
constexpr auto kLookEvery = std::chrono::seconds(5);

}  // namespace

// Once the worker's answer to INIT has negotiated it: before that the kernel registers nothing.
void Keeper::settle_passthrough(Held& held) {
  if (held.passthrough.state() != MountPassthrough::State::kUntried) return;
  held.passthrough.try_it(held.kernel.dev_fd(), blobs_);
  const bool on = held.passthrough.state() == MountPassthrough::State::kOn;
  log_.info(escape_for_log(held.order.dir, 1024) + ": " +
            (on ? "complete files are passed through to the kernel"
                : "no passthrough: " + held.passthrough.why_not()));
  if (!supervisor_->running()) return;  // the next worker is told with its order
  ByteWriter body;
  body.integer(held.number);
  body.integer(static_cast<std::uint8_t>(on ? 1 : 0));
  body.string(held.passthrough.why_not());
  static_cast<void>(
      send_message(supervisor_->current().link.get(), MessageKind::kPassthrough, body.bytes())
          .has_value());
}

void Keeper::open_backing(ByteView body) {
  ByteReader in(body);
  const auto held = find(in.integer<std::uint32_t>());
  const auto node = in.integer<std::uint64_t>();
  const auto number = in.integer<std::uint64_t>();
  const std::string name(in.string());
  if (!in.ok() || !in.at_end()) return supervisor_->fence();
  Result<std::int32_t> id(ErrorCode::kNotFound, "no such mount");
  if (held != mounts_.end()) {
    id = held->passthrough.open(held->kernel.dev_fd(), blobs_, node, name);
    look_at_backing_within(kLookEvery);
  }
  ByteWriter answer;
  answer.integer(number);
  answer.integer(static_cast<std::uint32_t>(id ? *id : 0));
  answer.string(id ? "" : id.error().context);
  // One that does not listen asks no more: it waits for a few seconds and then reads.
  static_cast<void>(
      send_message(supervisor_->current().link.get(), MessageKind::kBacking, answer.bytes())
          .has_value());
}

void Keeper::look_at_backing_within(Duration time) {
  const TimePoint then = clock_.now() + time;
  if (!look_at_backing_ || then < *look_at_backing_) look_at_backing_ = then;
}

// At any time: who asks for a file has counted its handle before.
void Keeper::let_go_of_backing() {
  look_at_backing_.reset();
  for (Held& held : mounts_) {
    if (!held.passthrough.has_files()) continue;
    const auto open = supervisor_->open_nodes(held.number);
    if (open) held.passthrough.let_go(held.kernel.dev_fd(), *open);
    if (held.passthrough.has_files()) look_at_backing_within(kLookEvery);
  }
}

}  // namespace hubvfs::daemon
