// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "cache/blob_store.h"
#include "cache/meta_store.h"
#include "fs/kernel_notifier.h"
#include "hub/hub_client.h"

namespace hubvfs::fs {

struct OperationsOptions {
  hub::RepoType type = hub::RepoType::kModel;
  std::string endpoint;  // as configured, without trailing '/': part of every metadata key
  uid_t uid = 0;         // owner of every node, and of the namespace for private and gated repos
  gid_t gid = 0;
  bool shared = false;   // allow_other: modes 0444 and 0555, public repos only; else 0400 and 0500
  bool offline = false;
  Duration metadata_ttl = std::chrono::minutes(5);
  Duration metadata_deadline = std::chrono::seconds(30);
  Duration read_deadline = std::chrono::seconds(120);  // without progress
  std::uint64_t memory_budget = 256u << 20;  // bytes of fetch buffers
};

// The filesystem, without libfuse: what each request means and when it is answered.
class Operations;

}  // namespace hubvfs::fs
