// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/bytes.h"
#include "base/log.h"
#include "base/result.h"
#include "fs/kernel_notifier.h"

namespace hubvfs::fs {

class Operations;
class RequestJournal;

struct FuseSessionOptions {
  int dev_fd = -1;                    // /dev/fuse, mounted; borrowed
  std::uint32_t number = 0;           // the mount's, in the journal
  RequestJournal* journal = nullptr;  // the worker's; borrowed
  Bytes init_request;                 // the INIT request the keeper read from it
  bool passthrough = false;           // negotiate it, where the kernel offers it
  unsigned threads = 8;               // that read requests
  // Called by run(), on its thread, once INIT is answered and before any request is taken.
  std::function<void()> on_ready;
};

// One FUSE connection as the worker serves it (threats-and-faults, section 7): INIT is replayed
// from the saved bytes; where it was answered by an earlier worker the reply is swallowed and
// FUSE_NOTIFY_RESEND asks for all that is unanswered.
class FuseSession {
 public:
  static Result<std::unique_ptr<FuseSession>> create(const FuseSessionOptions& options,
                                                     Logger& log);
  virtual ~FuseSession() = default;
  // Serves until the mount is gone (success) or the descriptor fails. Blocks.
  // `operations` must outlive the call; requests parked in it may be answered later, harmlessly,
  // for as long as the session lives: Operations::close() ends that.
  virtual Result<void> run(Operations& operations) = 0;
  // Makes run() return soon. Thread-safe, not for signal handlers.
  virtual void stop() = 0;
  // For the life of the session; usable before run(), then it does nothing.
  virtual KernelNotifier& notifier() = 0;
};

}  // namespace hubvfs::fs
