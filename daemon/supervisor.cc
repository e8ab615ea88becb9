// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "daemon/control_socket.h"

namespace hubvfs::daemon {
namespace {

using std::chrono::seconds;

// So many deaths within a second, and the next start waits.
constexpr std::size_t kManyDeaths = 5;
constexpr auto kBackOff = seconds(1);
// After a kill of a hung worker; an unkillable one must not keep the next from starting.
constexpr auto kFenceGrace = seconds(1);
constexpr auto kFruitlessWindow = seconds(10);

std::string how_it_died(int status) {
  if (WIFSIGNALED(status)) return "was killed by signal " + std::to_string(WTERMSIG(status));
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

// By its own fault, and not by somebody's kill (the kernel's, short of memory, among these).
bool is_crash(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM &&
         WTERMSIG(status) != SIGINT;
}

bool is_dead(const WorkerProcess& worker) { return wait_readable(worker.pidfd.get(), Duration(0)); }

void kill(const WorkerProcess& worker) {
  ::syscall(SYS_pidfd_send_signal, worker.pidfd.get(), SIGKILL, nullptr, 0);
}

}  // namespace

Result<std::unique_ptr<Supervisor>> Supervisor::create(Bytes settings, std::string label,
                                                       Logger& log, const Clock& clock) {
  std::unique_ptr<Supervisor> made(
      new Supervisor(std::move(settings), std::move(label), log, clock));
  auto journal = fs::RequestJournal::create();
  if (!journal) return journal.error();
  made->journal_fd_ = std::move(*journal);
  auto mapped = fs::RequestJournal::map(made->journal_fd_.get());
  if (!mapped) return mapped.error();
  made->journal_ = std::move(*mapped);
  auto table = fs::OpenTable::create_memfd();
  if (!table) return table.error();
  made->open_table_fd_ = std::move(*table);
  auto opened = fs::OpenTable::map(made->open_table_fd_.get(), log);
  if (!opened) return opened.error();
  made->open_table_ = std::move(*opened);
  made->start_at_ = clock.now();
  return made;
}

Supervisor::~Supervisor() { stop(Duration(0)); }

std::optional<TimePoint> Supervisor::next_start() const {
  return running() ? std::nullopt : std::optional(start_at_);
}

bool Supervisor::start_if_due() {
  if (running() || clock_.now() < start_at_) return false;
  auto worker =
      start_worker(label_, settings_, {journal_fd_.get(), open_table_fd_.get()});
  if (!worker) {
    last_death_ = worker.error().context;
    log_.error(last_death_);
    note_death(true);
    start_at_ = clock_.now() + kBackOff;
    return false;
  }
  current_ = std::move(*worker);
  current_ready_ = false;
  at_start_ = journal_->counts();
  ++started_;
  log_.debug("started worker " + std::to_string(current_.pid));
  return true;
}

void Supervisor::note_death(bool fruitless) {
  const TimePoint now = clock_.now();
  deaths_.push_back(now);
  while (now - deaths_.front() > seconds(1)) deaths_.pop_front();
  start_at_ = deaths_.size() >= kManyDeaths ? now + kBackOff : now;
  if (!fruitless) return fruitless_.clear();
  fruitless_.push_back(now);
  while (now - fruitless_.front() > kFruitlessWindow) fruitless_.pop_front();
}

std::optional<Supervisor::Death> Supervisor::bury_current() {
  if (!running() || !is_dead(current_)) return std::nullopt;
  Death death;
  while (wait_readable(current_.link.get(), Duration(0))) {
    auto message = receive_message(current_.link.get());
    if (!message) break;
    death.said.push_back(std::move(*message));
  }
  int status = 0;
  ::waitpid(current_.pid, &status, 0);
  death.pid = current_.pid;
  death.how = how_it_died(status);
  death.was_ready = current_ready_;
  journal_->bury_worker(is_crash(status));
  current_ = {};
  ++died_;
  last_death_ = "worker " + std::to_string(death.pid) + " " + death.how;
  const auto now = journal_->counts();
  const bool asked = now.taken != at_start_.taken;
  note_death(!death.was_ready || (asked && now.answered == at_start_.answered));
  return death;
}

void Supervisor::fence() {
  log_.warning("worker " + std::to_string(current_.pid) + " does not behave: killing it");
  current_.link.reset();
  kill(current_);
  fenced_.push_back(std::move(current_));
  current_ = {};
  ++died_;
  last_death_ = "worker " + std::to_string(fenced_.back().pid) + " did not behave and was killed";
  note_death(!current_ready_);
  start_at_ = clock_.now() + kFenceGrace;  // sooner when it dies sooner
}

std::size_t Supervisor::bury_fenced() {
  std::size_t buried = 0;
  for (std::size_t i = fenced_.size(); i-- > 0;) {
    if (!is_dead(fenced_[i])) continue;
    ::waitpid(fenced_[i].pid, nullptr, 0);
    fenced_.erase(fenced_.begin() + static_cast<std::ptrdiff_t>(i));
    ++buried;
  }
  if (buried != 0 && !running()) {
    journal_->bury_worker(false);
    start_at_ = std::min(start_at_, clock_.now());
  }
  return buried;
}

std::vector<int> Supervisor::fenced_fds() const {
  std::vector<int> fds;
  for (const WorkerProcess& worker : fenced_) fds.push_back(worker.pidfd.get());
  return fds;
}

void Supervisor::stop(Duration patience) {
  if (running()) {
    static_cast<void>(send_message(current_.link.get(), MessageKind::kStop, {}).has_value());
    if (!wait_readable(current_.pidfd.get(), patience) && patience != Duration(0)) {
      log_.warning("worker " + std::to_string(current_.pid) + " does not end: killing it");
    }
    fenced_.push_back(std::move(current_));
    current_ = {};
  }
  for (const WorkerProcess& worker : fenced_) {
    kill(worker);
    if (wait_readable(worker.pidfd.get(), kFenceGrace)) ::waitpid(worker.pid, nullptr, 0);
  }
  fenced_.clear();
}

Supervisor::Counts Supervisor::counts() const {
  return {started_, died_, last_death_, journal_->counts()};
}

}  // namespace hubvfs::daemon
