// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "cache/blob_store.h"
#include "cache/meta_store.h"
#include "daemon/command_request.h"
#include "daemon/command_threads.h"
#include "fs/backend.h"
#include "hub/hub_client.h"

namespace hubvfs::daemon {

// What commands work on: the parts of the worker they run in.
struct CommandParts {
  fs::Backend& backend;
  cache::BlobStore& store;
  cache::MetaStore& meta;
  hub::HubClient& hub;  // with the user's token
  Logger& log;
  const Clock& clock;
};

// Carries out what commands ask, where the cache is open. Everything of it runs on the threads of
// the commands, which may wait. Thread-safe.
class WorkerCommands {
 public:
  explicit WorkerCommands(const CommandParts& parts) : parts_(parts) {}

  // A JSON object. kCancelled: the caller went away, or the worker ends.
  Result<std::string> carry_out(const CommandRequest& request, CommandCaller& caller);

 private:
  std::string stats() const;

  const CommandParts parts_;
};

}  // namespace hubvfs::daemon
