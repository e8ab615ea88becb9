// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/fuse_notifier.h"
#include "fs/fuse_session.h"
#include "fs/request_journal.h"

struct fuse_conn_info;
struct fuse_lowlevel_ops;
struct fuse_req;
struct iovec;

namespace hubvfs::fs {

// What FuseSession does, for any set of libfuse operations.
//
// The receive loop is our own, not libfuse's: libfuse ends its threads by cancelling them inside
// the read hook, which leaves no room for what each thread owns here (its scope, its touched
// buffer). Ours read without waiting and sleep in one epoll set, edge-triggered, where an eventfd
// wakes them too.
class FuseLoop {
 public:
  static Result<std::unique_ptr<FuseLoop>> create(const FuseSessionOptions& options, Logger& log);
  ~FuseLoop();
  FuseLoop(const FuseLoop&) = delete;
  FuseLoop& operator=(const FuseLoop&) = delete;

  // What run() was given as `userdata`, for `ops`: libfuse's own belongs to the loop.
  static void* userdata_of(fuse_req* request);
  // The `unique` of the request that this thread is giving to libfuse, which does not tell it. For
  // an operation as it begins: its reply may come later and on another thread.
  static std::uint64_t unique_in_hand();

  // As FuseSession::run. Of `ops` the init, destroy and flush entries are not used: what INIT
  // negotiates is decided here, and without FLUSH no close waits for a worker. Only once.
  Result<void> run(const fuse_lowlevel_ops& ops, void* userdata);
  void stop();
  KernelNotifier& notifier() { return notifier_; }

 private:
  struct InitReply;
  struct SessionDeleter {
    void operator()(fuse_session* session) const;
  };

  FuseLoop(FuseSessionOptions options, Logger& log);
  Result<void> prepare();
  Result<void> open_session(const fuse_lowlevel_ops& ops, void* userdata);
  Result<void> answer_init();
  static void negotiate(void* loop, fuse_conn_info* conn);
  static ssize_t write_hook(int fd, iovec* parts, int count, void* loop);
  void serve();
  bool receive(Bytes& buffer, std::size_t slot);
  void handle(Bytes& buffer, std::size_t size, std::size_t slot);
  void end(int failure);

  FuseSessionOptions options_;
  Logger& log_;
  void* userdata_ = nullptr;
  InitReply* init_reply_ = nullptr;  // while INIT is fed to libfuse, before any other thread runs
  UniqueFd epoll_;
  UniqueFd wake_;
  // Outlives run(): requests that were parked hold a pointer to it until they are answered.
  std::unique_ptr<fuse_session, SessionDeleter> session_;
  FuseNotifier notifier_;
  std::atomic<bool> ended_{false};
  std::atomic<int> failure_{0};  // errno of the descriptor's failure; 0: unmounted or stopped
};

}  // namespace hubvfs::fs
