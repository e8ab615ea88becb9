// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_threads.h"

#include <poll.h>

#include <cerrno>
#include <exception>
#include <system_error>

#include "base/blocking.h"

namespace hubvfs::daemon {
namespace {

constexpr std::size_t kMostCommands = 8;
constexpr auto kTellEvery = std::chrono::milliseconds(100);
constexpr int kLookForHangupMs = 100;

bool hung_up(int connection) {
  pollfd wait{connection, POLLRDHUP, 0};
  return ::poll(&wait, 1, 0) == 1;
}

Error stopped() {
  return {ErrorCode::kCancelled,
          "stopped before it was done; run the same command again and it goes on from there"};
}

}  // namespace

bool CommandCaller::cancelled() const { return cancelled_ || hung_up(connection_.get()); }

void CommandCaller::progress(const CommandProgress& progress) {
  {
    const MutexLock lock(mutex_);
    const TimePoint now = clock_.now();
    if (told_ && now - *told_ < kTellEvery && progress.done < progress.total) return;
    told_ = now;
  }
  // One that is lost is made up for by the next.
  static_cast<void>(
      send_message(connection_.get(), MessageKind::kProgress, progress.encode()).has_value());
}

Result<void> CommandCaller::item(std::string_view json) const {
  return send(MessageKind::kItem, as_bytes(json));
}

void CommandCaller::finish(const Result<std::string>& answer) const {
  // Also when cancelled: the worker may be ending, and the command be there to hear of it.
  Result<void> sent = answer ? send(MessageKind::kDone, as_bytes(*answer)) : answer.error();
  if (!sent) sent = send(MessageKind::kRefused, as_bytes(sent.error().context));
  static_cast<void>(sent.has_value());
}

Result<void> CommandCaller::send(MessageKind kind, ByteView body) const {
  assert_may_block("an answer to a command");
  for (;;) {
    auto sent = send_message(connection_.get(), kind, body);
    if (sent) return sent;
    if (sent.error().code == ErrorCode::kNotFound) return stopped();
    if (sent.error().code != ErrorCode::kTimedOut) return sent;
    pollfd wait{connection_.get(), POLLOUT | POLLRDHUP, 0};
    ::poll(&wait, 1, kLookForHangupMs);
    if (cancelled()) return stopped();
  }
}

void CommandThreads::start(Message message) {
  bury_ended();
  if (message.fds.empty()) return;
  UniqueFd extra = message.fds.size() > 1 ? std::move(message.fds[1]) : UniqueFd();
  auto caller = std::make_shared<CommandCaller>(std::move(message.fds[0]), std::move(extra));
  const auto request = CommandRequest::decode(message.body);
  if (!request) return caller->finish(request.error());
  if (jobs_.size() >= kMostCommands) {
    return caller->finish(Error{ErrorCode::kBusy, std::to_string(kMostCommands) +
                                                      " commands are under way on this cache: wait "
                                                      "until one of them ends"});
  }
  auto ended = std::make_shared<std::atomic<bool>>(false);
  try {
    std::thread thread([this, request = *request, caller, ended] {
      run(request, *caller);
      *ended = true;
    });
    jobs_.push_back({caller, ended, std::move(thread)});
  } catch (const std::system_error& e) {
    caller->finish(
        Error{ErrorCode::kOutOfMemory, std::string("no thread for the command: ") + e.what()});
  }
}

void CommandThreads::run(const CommandRequest& request, CommandCaller& caller) const {
  Result<std::string> answer(ErrorCode::kInternal, "");
  try {
    answer = carry_out_(request, caller);
  } catch (const std::exception& e) {
    answer = Error{ErrorCode::kInternal, std::string("the command failed: ") + e.what()};
  }
  if (!answer && answer.error().code == ErrorCode::kCancelled) answer = stopped();
  if (!answer) log_.debug("a command ended: " + answer.error().context);
  caller.finish(answer);
}

void CommandThreads::bury_ended() {
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    if (!*job->ended) {
      ++job;
      continue;
    }
    job->thread.join();
    job = jobs_.erase(job);
  }
}

void CommandThreads::stop() {
  for (const Job& job : jobs_) {
    if (const auto caller = job.caller.lock()) caller->cancel();
  }
  for (Job& job : jobs_) job.thread.join();
  jobs_.clear();
}

}  // namespace hubvfs::daemon
