// SPDX-License-Identifier: Apache-2.0
// The real keeper with a worker that serves the tiny filesystem: tiny_daemon DIR [BEHAVIOUR]
//
// BEHAVIOUR of each worker: serve (default); abort (at its start); refuse (says why, ends);
// mute (shuts its link once it serves); abort-after-first (the second and later ones abort at
// start).
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "daemon/app.h"
#include "daemon/keeper.h"
#include "daemon/mount_point.h"
#include "daemon/privileges.h"
#include "daemon/worker_link.h"
#include "fs/fuse_loop.h"
#include "tests/daemon/tiny_filesystem.h"

namespace {

using namespace hubvfs;
using namespace hubvfs::daemon;

int work() {
  seal_process();
  if (auto safe = check_unprivileged(); !safe) return 3;
  auto settings = receive_message(kWorkerLinkFd);
  auto init = receive_message(kWorkerLinkFd);
  if (!settings || !init) return 4;
  const std::string behaviour(as_text(settings->body));
  if (behaviour == "abort") std::abort();
  if (behaviour == "refuse") {
    static_cast<void>(send_message(kWorkerLinkFd, MessageKind::kFailed, as_bytes("no luck today")));
    return 1;
  }
  const auto log = make_stderr_logger(LogLevel::kDebug);
  fs::FuseSessionOptions options;
  options.dev_fd = kWorkerDeviceFd;
  options.init_request = init->body;
  options.on_ready = [&] {
    static_cast<void>(send_message(kWorkerLinkFd, MessageKind::kReady, {}));
    if (behaviour == "mute") ::shutdown(kWorkerLinkFd, SHUT_RDWR);
  };
  auto loop = fs::FuseLoop::create(options, *log);
  if (!loop) return 5;
  std::thread([&loop] {
    auto message = receive_message(kWorkerLinkFd);
    if (message && message->kind == MessageKind::kStop) (*loop)->stop();
  }).detach();
  auto ran = (*loop)->run(tiny::operations(), &(*loop)->notifier());
  if (!ran) std::fprintf(stderr, "%s\n", ran.error().context.c_str());
  ::_exit(ran ? 0 : 6);
}

int keep(const char* dir, const char* behaviour) {
  auto point = prepare_mount_point(dir);
  if (!point) {
    std::fprintf(stderr, "%s\n", point.error().context.c_str());
    return 1;
  }
  KeeperOptions options;
  options.dir = point->path;
  const ByteView bytes = as_bytes(behaviour);
  options.worker_settings.assign(bytes.begin(), bytes.end());
  options.on_ready = [] {
    std::puts("ready");
    std::fflush(stdout);
  };
  const auto log = make_stderr_logger(LogLevel::kDebug);
  const SystemClock clock;
  auto keeper = Keeper::create(std::move(options), *log, clock);
  auto kept = keeper ? (*keeper)->run() : Result<void>(keeper.error());
  if (kept) return 0;
  std::fprintf(stderr, "%s\n", kept.error().context.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], kWorkerCommand) == 0) return work();
  if (argc < 2) return 2;
  return keep(argv[1], argc > 2 ? argv[2] : "serve");
}
