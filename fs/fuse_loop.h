// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>

#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/fuse_notifier.h"
#include "fs/fuse_session.h"
#include "fs/request_journal.h"

struct fuse_lowlevel_ops;
struct fuse_req;

namespace hubvfs::fs {

// The `userdata` given to FuseLoop::run, in an operation of libfuse's. libfuse's own
// fuse_req_userdata() gives what the loop needs in its hooks.
void* userdata_of(fuse_req* request);

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

  // As FuseSession::run. Of `ops` the init, destroy and flush entries are not used: what INIT
  // negotiates is decided here, and without FLUSH no close waits for a worker. Only once.
  Result<void> run(const fuse_lowlevel_ops& ops, void* userdata);
  void stop();
  KernelNotifier& notifier() { return notifier_; }

 private:
  struct SessionDeleter {
    void operator()(fuse_session* session) const;
  };

  FuseLoop(FuseSessionOptions options, Logger& log);
  Result<void> prepare();
  Result<void> open_session(const fuse_lowlevel_ops& ops, void* userdata);
  Result<void> answer_init();
  void serve();
  bool receive(Bytes& buffer, std::size_t slot);
  void handle(Bytes& buffer, std::size_t size, std::size_t slot);
  void end(int failure);

  // What libfuse hands to its hooks and operations.
  struct Served {
    RequestJournal& journal;
    void* userdata;
  };
  friend void* userdata_of(fuse_req* request);
  friend struct FuseHooks;

  FuseSessionOptions options_;
  Logger& log_;
  std::unique_ptr<Served> served_;
  UniqueFd epoll_;
  UniqueFd wake_;
  // Outlives run(): requests that were parked hold a pointer to it until they are answered.
  std::unique_ptr<fuse_session, SessionDeleter> session_;
  FuseNotifier notifier_;
  std::atomic<bool> ended_{false};
  std::atomic<int> failure_{0};  // errno of the descriptor's failure; 0: unmounted or stopped
};

}  // namespace hubvfs::fs
