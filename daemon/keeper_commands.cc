// SPDX-License-Identifier: Apache-2.0
// What commands ask of the keeper: one more mount, how a mount does, and what the worker does for
// them.
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "daemon/keeper.h"

namespace hubvfs::daemon {
namespace {

// Connected at once, of one kind; one more is turned away.
constexpr std::size_t kMostConnections = 64;

void answer(int command, MessageKind kind, std::string_view text) {
  static_cast<void>(send_message(command, kind, as_bytes(text)).has_value());
}

UniqueFd accept_from(int listener) {
  return UniqueFd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

}  // namespace

void Keeper::accept_command() {
  UniqueFd command = accept_from(options_.control.fd());
  if (!command || commands_.size() >= kMostConnections) return;
  if (!peer_of(command.get(), ::geteuid())) return;
  commands_.push_back(std::move(command));
}

void Keeper::hear_command(std::size_t index) {
  UniqueFd command = std::move(commands_[index]);
  commands_.erase(commands_.begin() + static_cast<std::ptrdiff_t>(index));
  auto message = receive_message(command.get());
  if (!message) return;
  if (message->kind == MessageKind::kHello) {
    answer(command.get(), MessageKind::kDone, as_text(options_.introduction));
    commands_.push_back(std::move(command));
  } else if (message->kind == MessageKind::kMount) {
    take_order(std::move(command), message->body);
  } else if (message->kind == MessageKind::kCommand) {
    hand_on({std::move(command), std::move(*message)});
  } else {
    answer(command.get(), MessageKind::kRefused, "the daemon does not know this request");
  }
}

void Keeper::take_order(UniqueFd command, ByteView body) {
  auto order = MountOrder::decode(body);
  if (!order) return answer(command.get(), MessageKind::kRefused, order.error().context);
  if (stop_at_) return;  // hung up on: it starts a daemon of its own
  if (auto added = add(*order, -1, nullptr); !added) {
    return answer(command.get(), MessageKind::kRefused, added.error().context);
  }
  mounts_.back().asker = std::move(command);
}

// What it asks for is the worker's to read. From then on the worker alone has the connection, so
// that its death is seen there. Where that died just now, the next one gets it. What was closed
// before is no longer in use by then: the command may be to evict it.
void Keeper::hand_on(WaitingCommand waiting) {
  let_go_of_backing();
  const int command = waiting.connection.get();
  std::vector<int> fds{command};
  for (const UniqueFd& fd : waiting.order.fds) fds.push_back(fd.get());
  if (fds.size() > kMostDescriptors) {
    return answer(command, MessageKind::kRefused, "the daemon does not know this request");
  }
  const auto sent = supervisor_->running()
                        ? send_message(supervisor_->current().link.get(), MessageKind::kCommand,
                                       waiting.order.body, fds)
                        : Result<void>(Error{ErrorCode::kNotFound, "no worker"});
  if (sent) return;
  if (sent.error().code != ErrorCode::kNotFound || waiting_.size() >= kMostConnections) {
    return answer(command, MessageKind::kRefused,
                  "the worker takes no command just now: run it again in a moment");
  }
  waiting_.push_back(std::move(waiting));
}

void Keeper::hand_on_waiting() {
  for (WaitingCommand& waiting : std::exchange(waiting_, {})) hand_on(std::move(waiting));
}

void Keeper::accept_visitor(Held& held) {
  UniqueFd visitor = accept_from(held.presence.fd());
  if (visitor && held.visitors.size() < kMostConnections) {
    held.visitors.push_back(std::move(visitor));
  }
}

void Keeper::hear_visitor(Held& held, std::size_t index) {
  auto message = receive_message(held.visitors[index].get());
  const auto leave = [&] {
    held.visitors.erase(held.visitors.begin() + static_cast<std::ptrdiff_t>(index));
  };
  if (!message || message->kind != MessageKind::kStatus) return leave();
  const int visitor = held.visitors[index].get();
  if (!peer_of(visitor, ::geteuid())) {
    answer(visitor, MessageKind::kRefused, "belongs to another user");
    return leave();
  }
  answer(visitor, MessageKind::kFacts, facts(held));
  if (!supervisor_->running()) return leave();
  ByteWriter number;
  number.integer(held.number);
  static_cast<void>(send_message(supervisor_->current().link.get(), MessageKind::kReport,
                                 number.bytes(), {visitor})
                        .has_value());
  leave();
}

// For `status`: what holds though the worker may not answer.
std::string Keeper::facts(const Held& held) const {
  const Supervisor::Counts counts = supervisor_->counts();
  JsonWriter json;
  json.begin_object();
  json.key("pid").number(static_cast<std::uint64_t>(::getpid()));
  json.key("worker_pid").number(static_cast<std::uint64_t>(supervisor_->current().pid));
  json.key("ready").boolean(held.ready);
  json.key("mounts").number(static_cast<std::uint64_t>(mounts_.size()));
  const bool passthrough = held.passthrough.state() == MountPassthrough::State::kOn;
  json.key("passthrough").begin_object();
  json.key("in_force").boolean(passthrough);
  json.key("why_not").string(held.passthrough.why_not());
  json.key("files").number(static_cast<std::uint64_t>(held.passthrough.files()));
  json.end_object();
  json.key("after_worker_death").string(restart_way());
  json.key("workers_started").number(counts.started);
  json.key("workers_died").number(counts.died);
  json.key("last_death").string(counts.last_death);
  json.key("remounts").number(remounts_);
  json.key("requests").number(counts.requests.taken);
  json.key("requests_resent").number(counts.requests.resent);
  json.key("requests_refused").number(counts.requests.refused);
  json.end_object();
  return json.text();
}

}  // namespace hubvfs::daemon
