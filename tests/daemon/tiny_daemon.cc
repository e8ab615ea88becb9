// SPDX-License-Identifier: Apache-2.0
// The real keeper with a worker that serves the tiny filesystem: tiny_daemon DIR [BEHAVIOUR [FOLDER]]
//
// BEHAVIOUR of each worker: serve (default); abort (at its start); refuse (says why, ends);
// mute (shuts its link once it serves); abort-after-first (those after the first serve nothing and
// abort); no-resend (serves; the keeper takes the kernel for one before 6.9).
// FOLDER: where its control socket lies; without it, it takes no orders.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>

#include "daemon/keeper.h"
#include "daemon/messages.h"
#include "daemon/mount_point.h"
#include "daemon/privileges.h"
#include "daemon/worker_link.h"
#include "fs/fuse_loop.h"
#include "tests/daemon/tiny_filesystem.h"

namespace {

using namespace hubvfs;
using namespace hubvfs::daemon;

void tell(MessageKind kind, std::uint32_t number, std::string_view text) {
  ByteWriter body;
  body.integer(number);
  body.raw(as_bytes(text));
  static_cast<void>(send_message(kWorkerLinkFd, kind, body.bytes()).has_value());
}

class TinyWorker {
 public:
  TinyWorker(std::string behaviour, std::unique_ptr<fs::RequestJournal> journal)
      : behaviour_(std::move(behaviour)),
        journal_(std::move(journal)),
        log_(make_stderr_logger(LogLevel::kDebug)) {}

  void serve(const Message& message) {
    auto order = ServeOrder::decode(message.body);
    if (!order || message.fds.empty()) ::_exit(4);
    if (behaviour_ == "abort-after-first" && order->again) std::abort();
    const std::uint32_t number = order->number;
    fs::FuseSessionOptions options;
    options.dev_fd = ::dup(message.fds[0].get());
    options.init_request = order->init_request;
    options.number = number;
    options.journal = journal_.get();
    options.on_ready = [this, number] {
      tell(MessageKind::kReady, number, "");
      if (behaviour_ == "mute") ::shutdown(kWorkerLinkFd, SHUT_RDWR);
    };
    auto loop = fs::FuseLoop::create(options, *log_);
    if (!loop) ::_exit(5);
    loops_[number] = std::move(*loop);
    std::thread([served = loops_[number].get()] {
      auto ran = served->run(tiny::operations(), &served->notifier());
      if (!ran) std::fprintf(stderr, "%s\n", ran.error().context.c_str());
    }).detach();
  }

  int obey() {
    for (;;) {
      auto message = receive_message(kWorkerLinkFd);
      if (!message && behaviour_ == "mute") ::pause();  // to be fenced
      if (!message || message->kind == MessageKind::kStop) return 0;
      if (message->kind == MessageKind::kServe) serve(*message);
      const auto number = ByteReader(message->body).integer<std::uint32_t>();
      if (message->kind == MessageKind::kStopMount && loops_.count(number) > 0) {
        loops_[number]->stop();
      }
      if (message->kind == MessageKind::kReport && !message->fds.empty()) {
        static_cast<void>(send_message(message->fds[0].get(), MessageKind::kDone,
                                       as_bytes("{\"tiny\":true}"))
                              .has_value());
      }
    }
  }

 private:
  const std::string behaviour_;
  const std::unique_ptr<fs::RequestJournal> journal_;
  const std::unique_ptr<Logger> log_;
  std::map<std::uint32_t, std::unique_ptr<fs::FuseLoop>> loops_;
};

int work() {
  seal_process();
  if (auto safe = check_unprivileged(); !safe) return 3;
  auto settings = receive_message(kWorkerLinkFd);
  if (!settings || settings->fds.empty()) return 4;
  const std::string behaviour(as_text(settings->body));
  if (behaviour == "abort") std::abort();
  if (behaviour == "refuse") {
    tell(MessageKind::kFailed, kWholeWorker, "no luck today");
    return 1;
  }
  auto journal = fs::RequestJournal::map(settings->fds[0].get());
  if (!journal) return 5;
  TinyWorker worker(behaviour, std::move(*journal));
  ::_exit(worker.obey());  // its threads go with it
}

int keep(const char* dir, const char* behaviour, const char* folder) {
  auto point = prepare_mount_point(dir);
  if (!point) {
    std::fprintf(stderr, "%s\n", point.error().context.c_str());
    return 1;
  }
  KeeperOptions options;
  const ByteView bytes = as_bytes(behaviour);
  options.worker_settings.assign(bytes.begin(), bytes.end());
  options.label = dir;
  options.may_resend = std::strcmp(behaviour, "no-resend") != 0;
  if (folder != nullptr) {
    auto opened = ControlFolder::open(folder);
    auto socket = opened ? opened->listen() : Result<ControlSocket>(opened.error());
    if (!socket) return 2;
    options.control = std::move(*socket);
    options.introduction = Introduction::of(WorkerSettings{}).encode();
  }
  const auto log = make_stderr_logger(LogLevel::kDebug);
  const SystemClock clock;
  auto keeper = Keeper::create(std::move(options), *log, clock);
  Result<void> kept = keeper ? Result<void>() : Result<void>(keeper.error());
  if (kept) {
    kept = (*keeper)->add({point->path, false, {}}, -1, [] {
      std::puts("ready");
      std::fflush(stdout);
    });
  }
  if (kept) kept = (*keeper)->run();
  if (kept) return 0;
  std::fprintf(stderr, "%s\n", kept.error().context.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], kWorkerCommand) == 0) return work();
  if (argc < 2) return 2;
  return keep(argv[1], argc > 2 ? argv[2] : "serve", argc > 3 ? argv[3] : nullptr);
}
